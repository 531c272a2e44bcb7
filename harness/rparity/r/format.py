"""Numbers as R's `format` writes them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def format_r(values: ArrayLike, digits: int = 7) -> list[str]:
    """Format numbers together as R's `format(x, digits = …)` does.

    All get the same number of decimals: the fewest with which each shows at least `digits`
    significant digits, or all that it has. Scientific notation is used only if it is narrower.
    """
    x = np.asarray(values, dtype=np.float64).ravel()
    finite = x[np.isfinite(x)]
    parts = [_significant(v, digits) for v in finite]
    decimals = max((max(0, sig - 1 - exponent) for sig, exponent in parts), default=0)
    minus = finite < 0.0
    left = max(
        (sign + max(1, exponent + 1) for sign, (_, exponent) in zip(minus, parts, strict=True)),
        default=1,
    )
    mantissa = max((sig - 1 for sig, _ in parts), default=0)
    wide_exponent = any(abs(exponent) >= 100 for _, exponent in parts)
    fixed_width = left + (decimals + 1 if decimals else 0)
    scientific_width = (
        int(minus.any()) + 1 + (mantissa + 1 if mantissa else 0) + (5 if wide_exponent else 4)
    )
    kind = f".{decimals}f" if fixed_width <= scientific_width else f".{mantissa}e"
    out = []
    for v in x:
        if np.isnan(v):
            out.append("NA")
        elif np.isinf(v):
            out.append("Inf" if v > 0 else "-Inf")
        else:
            out.append(format(v, kind))
    return out


def _significant(value: float, digits: int) -> tuple[int, int]:
    """Return the significant digits that a value needs, at most `digits`, and its exponent."""
    if value == 0.0:
        return 1, 0
    text, exponent = format(abs(value), f".{digits - 1}e").split("e")
    return len(text.replace(".", "").rstrip("0")) or 1, int(exponent)
