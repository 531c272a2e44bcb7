"""lme4's answers in tests/data/mixed_reference.json, made by r_scripts/mixed_reference.R."""

import json

import pandas as pd

from lmm_recorded import frame
from places import DATA

MIXED = json.loads((DATA / "mixed_reference.json").read_text())


def mixed_data() -> pd.DataFrame:
    data = frame("mixed", MIXED["frames"])
    data.attrs["name"] = "frame"
    return data


def new_data() -> pd.DataFrame:
    """New rows, some of whose levels the data lack; text, because their levels are in no order."""
    return frame("new", MIXED["frames"]).astype({"g": str, "h": str})
