"""What cases and engines of other projects are made of; all else in the package may move.

A case is a `Case` of parts (`Data`, `Lm`, `Lmer`, `Boot`, `Call`), whose tolerances are `Rule`s. An
engine derives from `ModelEngine`, or is any `Engine`, and gives an `Answer` to a `Question`.
`build` returns a model's matrices as R has them.
"""

from rparity.cases.base import Boot, Call, Case, Claim, Data, Lm, Lmer, Part, Printed, Rule
from rparity.compare import Tolerance
from rparity.engines.base import Answer, Engine, ModelEngine, Question, UnsupportedError
from rparity.lmm.matrices import ModelMatrices, build

__all__ = [
    "Answer",
    "Boot",
    "Call",
    "Case",
    "Claim",
    "Data",
    "Engine",
    "Lm",
    "Lmer",
    "ModelEngine",
    "ModelMatrices",
    "Part",
    "Printed",
    "Question",
    "Rule",
    "Tolerance",
    "UnsupportedError",
    "build",
]
