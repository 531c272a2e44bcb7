"""Compute the atlas's kept results and write docs/reference/atlas.md: `python docs/atlas_page.py`.

Python's side is computed; R's side is its recordings. The page alone follows from the kept results.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from rparity.cases.atlas import atlas_cases
from rparity.errors import install
from rparity.paths import fixtures
from rparity.report import atlas
from rparity.run import run_case

PAGE = Path(__file__).parent / "reference" / "atlas.md"
PACKAGES = ("numpy", "pandas", "scipy", "statsmodels", "scikit-learn", "pingouin", "lifelines")
PACKAGES += ("linearmodels", "pyfixest", "scikit-misc")


def computed() -> dict[str, object]:
    """Return all results, with the versions that gave them.

    Raises
    ------
    SystemExit
        If a package of the atlas is not installed: its pairs would have no result.
    """
    runs = [run_case(case, fixtures=fixtures()) for case in atlas_cases()]
    gaps = {gap for run in runs for answer in run.answers.values() for gap in answer.gaps.values()}
    if gaps:
        raise SystemExit(f"{', '.join(sorted(gaps))}: {install('atlas')}")
    r = {k: v for run in runs for k, v in run.provenance["made_by"]["packages"].items()}
    python = {"Python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    made_by = {"R": r.pop("R"), **r, **python, **{name: version(name) for name in PACKAGES}}
    return {
        "made_by": made_by,
        "pairs": atlas.summarised(pd.concat([run.comparisons for run in runs])),
    }


def page() -> str:
    """Return the page of the kept results."""
    return atlas.page(atlas.read(), atlas_cases())


if __name__ == "__main__":
    kept = json.dumps(computed(), indent=1, ensure_ascii=False)
    Path(str(atlas.RESULTS)).write_text(kept + "\n", encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")
