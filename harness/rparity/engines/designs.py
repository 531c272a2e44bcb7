"""The model matrices of a part, for engines that take them or compare their own with them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rparity.cases.base import Lm, Lmer
from rparity.lmm.matrices.model_matrices import ModelMatrices, build


def prior_weights(part: Lmer | Lm, data: pd.DataFrame) -> NDArray[np.float64] | None:
    """Return the prior weights of a part, (n,), or None if it has none."""
    name = part.weights if isinstance(part, Lmer) else None
    return None if name is None else data[name].to_numpy()


def design(part: Lmer | Lm, data: pd.DataFrame) -> ModelMatrices:
    """Return R's matrices of a part; the data of a case have no missing values."""
    return build(
        part.formula,
        data,
        weights=prior_weights(part, data),
        contrasts=part.contrasts,
        na_action="fail",
        collate="C",
    )
