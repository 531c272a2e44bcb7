"""The folders of R scripts and recordings, in the source tree or in the installed package."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _home() -> Path:
    tree = _PACKAGE.parents[1]
    return tree if (tree / "r_scripts").is_dir() else _PACKAGE / "_bundled"


def r_scripts() -> Path:
    """Return the folder of the R scripts."""
    return _home() / "r_scripts"


def fixtures() -> Path:
    """Return the folder of the built-in cases' recordings."""
    return _home() / "fixtures"
