"""lme4's results for nearly nested factors: tests/data/crossed_reference.json.

Made by r_scripts/crossed_reference.R, which also writes the versions; a tight optimizer. The data
are drawn again: `RRandom` has R's stream.
"""

import json

import numpy as np
import pandas as pd

from places import DATA
from rparity import RRandom

MODELS = json.loads((DATA / "crossed_reference.json").read_text())["models"]


def pupils() -> pd.DataFrame:
    """Pupils in three years: some change their class, and a class may change its school."""
    pupil, year = np.repeat(np.arange(1000), 3), np.tile(np.arange(3), 1000)
    group = pupil * 7 // 10 + ((year > 0) & (pupil * pupil % 13 < 2))
    rng = RRandom(1)
    x = rng.rnorm(3000)
    y = 1 + x + year / 2 + rng.rnorm(1000)[pupil] + rng.rnorm(701)[group] * (1 + x / 2)
    y = y + rng.rnorm(3000)
    return pd.DataFrame(
        {
            "y": y,
            "x": x,
            "year": year,
            "pupil": pd.Categorical(pupil),
            "class": pd.Categorical(group),
            "school": pd.Categorical(group // 9),
        }
    )
