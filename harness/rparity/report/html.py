"""An audit as one HTML page. It needs no network.

Its script sorts, filters, draws the figures, and unpacks the details of a cell when a reader opens
it. Figures and details are compressed: as text they are many times as large as the rest.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from rparity import __version__
from rparity.audit.results import Audit
from rparity.compare import Verdict
from rparity.diagnosis.ledger import Entry
from rparity.report import summary
from rparity.report.charts import figures
from rparity.report.details import details
from rparity.report.numbers import counted, everything, exactly

FAILURES = 60
SOFT_HYPHEN = "\u00ad"
TEMPLATES = files("rparity.report") / "templates"


def page(audit: Audit) -> str:
    """Return the page. Text from data is escaped, and only the page's own script may run.

    Raises
    ------
    ModuleNotFoundError
        If jinja2 is not installed. The extra `audit` installs it.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup, escape

    def breakable(name: str) -> Markup:
        """Mark where a narrow column may break a name: after a hyphen or between syllables."""
        for word, broken in summary.SYLLABLES.items():
            name = name.replace(word, broken.replace("-", SOFT_HYPHEN))
        return escape(name).replace("-", Markup("-<wbr>")).replace("_", Markup("_<wbr>"))

    def read(name: str) -> str:
        return (TEMPLATES / name).read_text("utf-8")

    style, script = read("audit.css"), read("audit.js")
    environment = Environment(
        loader=FunctionLoader(read),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"exactly": exactly, "everything": everything, "breakable": breakable}
    environment.globals["anchor"] = anchor
    drawn = figures(audit, address)
    found = details(audit)
    cell = environment.get_template("audit_cell.html")
    shown = environment.get_template("audit_figures.html").render(figures=drawn, drawn=Markup)
    parts: dict[str, dict[str, str]] = {"figures": {"figures": shown}}
    parts |= {f"case {case.name}": {} for case in audit.cases}
    for (engine, case), detail in found.items():
        parts[f"case {case}"][anchor(case, engine)] = cell.render(
            engine=engine, case=case, detail=detail
        )
    text: str = environment.get_template("audit.html").render(
        audit=audit,
        version=__version__,
        style=Markup(style),
        script=Markup(script),
        policy=f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}",
        figures=drawn,
        details=found,
        packed={part: Markup(_packed(elements)) for part, elements in parts.items()},
        **_found(audit),
    )
    return text


def anchor(*names: str) -> str:
    """Return the id of the element of the page with these names."""
    return "--".join(quote(name, safe="") for name in names)


def address(engine: str, case: str) -> str:
    """Return the link to an engine's answer to a case, within the page."""
    return f"#{anchor(case, engine)}"


def _packed(elements: Mapping[str, str]) -> str:
    """Compress what belongs into elements of the page, by their ids, as text for the page."""
    return base64.b64encode(gzip.compress(json.dumps(elements).encode(), mtime=0)).decode()


def _hash(text: str) -> str:
    """Return the hash by which a content security policy allows a style or a script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _found(audit: Audit) -> dict[str, Any]:
    causes = summary.causes(audit)
    cells = summary.shown_cells(audit)
    kinds = {cell.kind for cell in cells.values()}
    return {
        "shown_cells": cells,
        "causes": causes,
        "entries": _entries(audit),
        "failing": [row for _, row in summary.failure_groups(audit).iterrows()],
        "to_paste": summary.entries_to_paste(audit),
        "problems": summary.problems(audit),
        "gaps": summary.gaps(audit),
        "sources": summary.sources(audit),
        "counts": counted(audit.comparisons),
        "kinds": [kind for kind in (*Verdict, *summary.BLANK) if kind in kinds],
        "most_failures": FAILURES,
        "machines": _machines(audit),
    }


def _entries(audit: Audit) -> list[Entry]:
    """Return the entries of the ledger that occur in this audit."""
    found = {f.entry.id: f.entry for f in audit.findings if f.entry is not None}
    return list(found.values())


def _machines(audit: Audit) -> list[tuple[Mapping[str, Any], list[str], list[str]]]:
    """Return the machines on which R recorded the cases, each with its cases and days."""
    found: dict[str, tuple[Mapping[str, Any], list[str], list[str]]] = {}
    for case, provenance in audit.provenance.items():
        made_by = provenance.get("made_by", {})
        machine = found.setdefault(repr(made_by), (made_by, [], []))
        machine[1].append(case)
        machine[2].append(str(provenance.get("time", ""))[:10])
    return list(found.values())
