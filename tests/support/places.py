"""Where the files of the tests lie."""

from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent  # of the repository
DATA = TESTS / "data"
SUPPORT = TESTS / "support"
R_SCRIPTS = TESTS / "r"  # R code that only tests run
