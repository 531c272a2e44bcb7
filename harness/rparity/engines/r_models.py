"""R's engines for single models: lme4, lme4 with tight controls, nlme and lm."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import pandas as pd

from rparity import paths
from rparity.cases.base import LM_TABLES, LMER_TABLES, Part
from rparity.cases.base import Lm as LinearModel
from rparity.cases.base import Lmer as MixedModel
from rparity.compare import Tables, kind_of
from rparity.engines.base import Answer, ModelEngine, Question, UnsupportedError
from rparity.engines.r import made_by, plain
from rparity.errors import RNotAvailableError
from rparity.files import sha256
from rparity.lmm.language.formula import parse, terms
from rparity.r.session import RSession

SCRIPT, LIBRARIES = "engines.R", ("tables.R", "models.R")
# With contrasts in a mixed model, this script asks the other one.
CODED = "coded.R"


class RModels(ModelEngine):
    """An engine that asks live R. R stays up from one question to the next.

    After `answer`, `provenance` describes what gave it. `timeout` is the limit for a model, in
    seconds. A `session` that is passed in is shared, and keeps its own limit.
    """

    packages: ClassVar[tuple[str, ...]] = ("lme4",)
    # Gaps of values that R's package does not give, as in `Answer.gaps` without the part's name.
    lacks: ClassVar[Mapping[str, str]] = {}
    decimals: ClassVar[Tables] = {}

    def __init__(self, session: RSession | None = None, *, timeout: float | None = None) -> None:
        self._session = session or RSession(timeout=timeout)
        self._optimizers: dict[str, Any] = {}
        self._scripts: dict[str, None] = {}

    def answer(self, question: Question) -> Answer:
        """Answer every model. A model that R cannot fit is a gap; R's warnings become notes.

        Raises
        ------
        RNotAvailableError
            If there is no R, or R lacks the package.
        """
        self._optimizers, self._scripts = {}, dict.fromkeys((*LIBRARIES, SCRIPT))
        _ = self.made_by  # a missing R is an error, not a gap
        return super().answer(question)

    def fit(
        self, part: MixedModel | LinearModel, data: pd.DataFrame
    ) -> tuple[Tables, Mapping[str, str]]:
        """Ask R for one model."""
        kinds = [kind_of(table) for table in self.expected(part)]
        contrasts = dict(part.contrasts) or None
        model: dict[str, object] = {"formula": part.formula, "kinds": kinds}
        *libraries, script = (*LIBRARIES, SCRIPT)
        function = "engine_answer"
        if isinstance(part, LinearModel):
            model |= {"contrasts": contrasts, "perfect": part.perfect}
        else:
            model |= {"reml": part.reml, "weights": part.weights}
            if contrasts:
                _require_fixed(part)
                model |= {"contrasts": contrasts}
                *libraries, script = (*LIBRARIES, SCRIPT, CODED)
                function = "coded_answer"
        self._scripts |= dict.fromkeys((*libraries, script))
        folder = paths.r_scripts()
        found = self._session.call(
            folder / script,
            function,
            {"engine": self.name, "data": data, "model": model},
            libraries=[folder / name for name in libraries],
        ).value
        for text in _texts(found["said"]):
            warnings.warn(text, RuntimeWarning, stacklevel=2)
        if "gap" in found:
            raise UnsupportedError(found["gap"])
        if "optimizer" in found:
            self._optimizers[part.name] = plain(found["optimizer"])
        lacks = {
            place: why for place, why in self.lacks.items() if place.split("/")[0] in part.kinds
        }
        return found["tables"], lacks

    @cached_property
    def made_by(self) -> dict[str, Any]:
        """The versions and settings of R, its libraries and its packages.

        Raises
        ------
        RNotAvailableError
        """
        found = made_by(self._session, self.packages)
        for name in self.packages:
            if pd.isna(found["packages"][name]):
                raise RNotAvailableError(
                    f'The R package {name} is not installed: install.packages("{name}") in R.'
                )
        return found

    @property
    def provenance(self) -> dict[str, Any]:
        """Versions, scripts and optimizers of the last answer."""
        folder = paths.r_scripts()
        return {
            "made_by": self.made_by,
            "scripts": {n: sha256((folder / n).read_bytes()) for n in self._scripts},
            "optimizers": self._optimizers,
        }


class RLme4(RModels):
    """lme4 with its default optimizer, nloptwrap, whose BOBYQA stops at xtol_rel = 1e-4."""

    name = "lme4"
    kinds: Mapping[type[Part], tuple[str, ...]] = {MixedModel: LMER_TABLES}


class RLme4Tight(RLme4):
    """lme4 with tight controls: its optimizer runs until rounding stops it."""

    name = "lme4-tight"


class RNlme(RModels):
    """nlme's lme with its defaults, on the columns that lme4 makes of the model.

    `coef` is what `summary()` shows: under maximum likelihood its standard errors are those of
    `vcov` times √(n / (n − p)). θ is computed from the covariances. An offset is subtracted from
    the response. Prior weights w become variances 1/w.
    """

    name = "nlme"
    packages = ("lme4", "nlme")
    kinds: Mapping[type[Part], tuple[str, ...]] = {
        MixedModel: tuple(kind for kind in LMER_TABLES if kind != "confint_wald")
    }
    lacks: ClassVar[Mapping[str, str]] = {
        "confint_wald": "intervals.lme() are Student's t, with degrees of freedom of each term",
        "ranef/*/condsd": "ranef.lme() has no conditional variances",
        "glance/*/df_residual": "lme() has degrees of freedom of each term, none of the residual",
    }


class RLm(RModels):
    """R's lm, by QR."""

    name = "lm"
    packages = ()
    kinds: Mapping[type[Part], tuple[str, ...]] = {LinearModel: LM_TABLES}


def _require_fixed(part: MixedModel) -> None:
    """Refuse contrasts of a factor whose effects vary: lme4's argument leaves these as they are.

    Raises
    ------
    UnsupportedError
    """
    varying = {name for bar in parse(part.formula).bars for name in terms(bar.lhs).variables}
    if both := sorted(varying & set(part.contrasts)):
        raise UnsupportedError(f"contrasts of {both[0]!r}, which is also in a random term")


def _texts(value: Any) -> list[str]:
    """Return a character vector of R as a list; R gives one of length one as a scalar."""
    return [value] if isinstance(value, str) else list(value)
