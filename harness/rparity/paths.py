"""Where the R scripts and the recordings lie: in the source tree or in the installed package."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _home() -> Path:
    tree = _PACKAGE.parents[1]
    return tree if (tree / "r_scripts").is_dir() else _PACKAGE / "_bundled"


def r_scripts() -> Path:
    """Folder of the R scripts."""
    return _home() / "r_scripts"


def fixtures() -> Path:
    """Folder of the built-in cases' recordings."""
    return _home() / "fixtures"
