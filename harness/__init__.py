"""R-parity validation: whether Python gives what R gives, to how many digits, and if not, why."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.cases.document import document_data
    from harness.compare import digits
    from harness.errors import RparityError
    from harness.linear import lm
    from harness.lmm.anova import anova
    from harness.lmm.bootstrap import bootmer
    from harness.lmm.fit import lmer
    from harness.rrandom import RRandom
    from harness.rsession import RSession

__all__ = [
    "RRandom",
    "RSession",
    "RparityError",
    "anova",
    "bootmer",
    "digits",
    "document_data",
    "lm",
    "lmer",
]
__version__ = "0.1.0.dev0"

# Found when first used: the command answers `--help` before numpy has loaded.
_HOME = {
    "RRandom": "harness.rrandom",
    "RSession": "harness.rsession",
    "RparityError": "harness.errors",
    "anova": "harness.lmm.anova",
    "bootmer": "harness.lmm.bootstrap",
    "digits": "harness.compare",
    "document_data": "harness.cases.document",
    "lm": "harness.linear",
    "lmer": "harness.lmm.fit",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
