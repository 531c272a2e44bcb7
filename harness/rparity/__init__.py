"""R-parity validation: compare Python with R, count the digits, find the cause of differences."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rparity.cases.document import document_data
    from rparity.compare import digits
    from rparity.diagnosis.alternatives import diagnose
    from rparity.errors import RparityError
    from rparity.lmm.bayes.posterior import posterior
    from rparity.lmm.bootstrap.bootmer import bootmer
    from rparity.lmm.bootstrap.pbmodcomp import pbmodcomp
    from rparity.lmm.control import lmer_control
    from rparity.lmm.inference.anova import anova
    from rparity.lmm.inference.emmeans import emmeans
    from rparity.lmm.inference.term_tests import drop1, ranova
    from rparity.lmm.influence import cooks_distance, hatvalues, influence, is_nested
    from rparity.lmm.linear import lm
    from rparity.lmm.lists import lmlist
    from rparity.lmm.mixed import lmer
    from rparity.r.session import RSession
    from rparity.rrandom import RRandom

__all__ = [
    "RRandom",
    "RSession",
    "RparityError",
    "anova",
    "bootmer",
    "cooks_distance",
    "diagnose",
    "digits",
    "document_data",
    "drop1",
    "emmeans",
    "hatvalues",
    "influence",
    "is_nested",
    "lm",
    "lmer",
    "lmer_control",
    "lmlist",
    "pbmodcomp",
    "posterior",
    "ranova",
]
__version__ = "0.1.0.dev0"

# Imported when first used, so that the command answers `--help` without loading numpy.
_HOME = {
    "RRandom": "rparity.rrandom",
    "RSession": "rparity.r.session",
    "RparityError": "rparity.errors",
    "anova": "rparity.lmm.inference.anova",
    "bootmer": "rparity.lmm.bootstrap.bootmer",
    "cooks_distance": "rparity.lmm.influence",
    "diagnose": "rparity.diagnosis.alternatives",
    "digits": "rparity.compare",
    "document_data": "rparity.cases.document",
    "drop1": "rparity.lmm.inference.term_tests",
    "emmeans": "rparity.lmm.inference.emmeans",
    "hatvalues": "rparity.lmm.influence",
    "influence": "rparity.lmm.influence",
    "is_nested": "rparity.lmm.influence",
    "lm": "rparity.lmm.linear",
    "lmer": "rparity.lmm.mixed",
    "lmer_control": "rparity.lmm.control",
    "lmlist": "rparity.lmm.lists",
    "pbmodcomp": "rparity.lmm.bootstrap.pbmodcomp",
    "posterior": "rparity.lmm.bayes.posterior",
    "ranova": "rparity.lmm.inference.term_tests",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
