"""The public classes for cases and engines of other projects. All other modules may change.

A `Case` consists of parts (`Data`, `Lm`, `Lmer`, `Boot`, `Call`), and `Rule`s state its tolerances.
An engine derives from `ModelEngine`, or has the methods of `Engine`, and returns an `Answer` to a
`Question`. `build` returns the matrices of a model with R's column names. `LMER_TABLES` are the
kinds of tables that every mixed model has, and `TEST_TABLES` those of tests of its fixed effects.
"""

from rparity.cases.base import (
    LMER_TABLES,
    TEST_TABLES,
    Boot,
    Call,
    Case,
    Claim,
    Data,
    Lm,
    Lmer,
    Part,
    Printed,
    Rule,
)
from rparity.compare import Tolerance
from rparity.engines.base import Answer, Engine, ModelEngine, Question, UnsupportedError
from rparity.lmm.matrices.model_matrices import ModelMatrices, build

__all__ = [
    "LMER_TABLES",
    "TEST_TABLES",
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
