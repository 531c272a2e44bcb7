"""Plots of a fit: residuals, normal quantiles, random effects with intervals, and profiles.

They need matplotlib, the extra `plot`. Source: Bates, Mächler, Bolker and Walker (2015), JSS 67(1),
section 5, for random effects with intervals and for profile ζ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.util import find_spec
from io import BytesIO
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rparity.errors import UsageError, install
from rparity.lmm.matrices.varcorr import labels, order, sd_names, sd_order
from rparity.lmm.numbers.distributions import normal_quantile

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from rparity.lmm.fit import LmerResults
    from rparity.lmm.linear import LmResults

Array = NDArray[np.float64]
Panel = Literal["residuals", "quantiles", "random_effects", "profile"]
Draw = Callable[["Axes"], None]

INK, SOFT, BAND = "#1b4f72", "#7f8c8d", "#d6dbdf"
STYLE: dict[Any, Any] = {
    "text.parse_math": False,  # a name may hold dollar signs
    "font.size": 8.0,
    "axes.titlesize": 8.0,
    "axes.labelsize": 8.0,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
}
# Inches: the width of two columns of a journal, and the height of a row of panels.
WIDTH, HEIGHT, ACROSS = 7.0, 2.6, 3
# Levels that have room for their names.
NAMED = 30
# Points of a profile on each side of its minimum.
POINTS = 20


def draw(fit: LmerResults | LmResults, *panels: Panel) -> Figure:
    """Draw panels of a fit of `lmer` or `lm`, in the order given.

    - "residuals": residuals in units of σ̂/√w against fitted values
    - "quantiles": their quantiles against those of the normal distribution, with the pointwise
      95 % band of a normal sample
    - "random_effects": the conditional modes of each coefficient and grouping factor, with 95 %
      intervals, in increasing order
    - "profile": ζ, the signed root of the rise of the deviance above its minimum, against each
      parameter, between the ends of its 99 % interval; dashed lines are the ends of its 95 %
      interval. A straight line means that a Wald interval is as good. This takes as long as
      `conf_int(method="profile")`

    Without `panels`: residuals, quantiles and, of a mixed model, random effects. A linear model
    has only the first two.

    Returns
    -------
    matplotlib.figure.Figure
        `savefig("fit.pdf")` writes it. A notebook shows it, also without `%matplotlib`.

    Raises
    ------
    UsageError
        For an unknown panel, one that the fit does not have, and without matplotlib.
    """
    if find_spec("matplotlib") is None:
        raise UsageError(f"Plots need matplotlib: {install('plot')}")
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from rparity.lmm.linear import LmResults

    known = get_args(Panel)[:2] if isinstance(fit, LmResults) else get_args(Panel)
    chosen = panels or known[:3]
    for panel in chosen:
        if panel not in known:
            raise UsageError(f"There is no panel {panel!r}: choose from {', '.join(known)}.")
    with rc_context(STYLE):
        parts = [part for panel in chosen for part in _PANELS[panel](fit)]
        across = 2 if len(parts) in (2, 4) else min(ACROSS, len(parts))
        down = -(-len(parts) // across)
        figure = Figure(
            figsize=(WIDTH if len(parts) > 1 else WIDTH / 2, HEIGHT * down), layout="constrained"
        )
        every = figure.subplots(down, across, squeeze=False).ravel()
        for axes, part in zip(every, parts, strict=False):
            part(axes)
        for axes in every[len(parts) :]:
            axes.remove()
        if len(parts) > 1:
            lettered(every[: len(parts)], size=9.0)
    vars(figure)["_repr_png_"] = partial(_png, figure)
    return figure


def lettered(panels: Iterable[Axes], size: float) -> None:
    """Write a letter above the left edge of each panel: a, b, ..."""
    for axes, letter in zip(panels, ascii_lowercase, strict=False):
        axes.set_title(letter, loc="left", fontweight="bold", fontsize=size)
        axes.spines[["top", "right"]].set_visible(False)


def _png(figure: Figure) -> bytes:
    """Return the picture that a notebook shows."""
    target = BytesIO()
    figure.savefig(target, format="png", dpi=150)
    return target.getvalue()


# -- residuals -------------------------------------------------------------------------------------


def _residuals(fit: LmerResults | LmResults) -> Iterator[Draw]:
    fitted, residuals = _scaled(fit)

    def show(axes: Axes) -> None:
        axes.axhline(0.0, color=SOFT, linewidth=0.6)
        axes.plot(fitted, residuals, "o", **_points(len(fitted)))
        axes.set(xlabel="fitted value", ylabel="scaled residual")

    yield show


def _quantiles(fit: LmerResults | LmResults) -> Iterator[Draw]:
    from scipy.special import betaincinv

    _, residuals = _scaled(fit)
    n = len(residuals)
    at = np.arange(1, n + 1)
    shift = 3.0 / 8.0 if n <= 10 else 0.5  # R's ppoints()
    normal = normal_quantile((at - shift) / (n + 1.0 - 2.0 * shift))
    low, high = (normal_quantile(betaincinv(at, n + 1 - at, p)) for p in (0.025, 0.975))
    spread, centre = residuals.std(), residuals.mean()

    def show(axes: Axes) -> None:
        axes.fill_between(
            normal, centre + spread * low, centre + spread * high, color=BAND, linewidth=0.0
        )
        axes.plot(normal[[0, -1]], centre + spread * normal[[0, -1]], color=SOFT, linewidth=0.8)
        axes.plot(normal, np.sort(residuals), "o", **_points(n) | {"alpha": 0.8})
        axes.set(xlabel="normal quantile", ylabel="scaled residual")

    yield show


def _scaled(fit: LmerResults | LmResults) -> tuple[Array, Array]:
    """Return fitted values and residuals over σ̂/√w, of rows whose weight is not zero."""
    from rparity.lmm.linear import LmResults

    if not isinstance(fit, LmResults):
        return np.array(fit.predict(), dtype=np.float64), fit.scaled_resid
    w = fit.matrices.weights
    keep = w > 0.0
    scaled: Array = np.sqrt(w) * fit.resid.to_numpy() / np.sqrt(fit.scale)
    return np.array(fit.fittedvalues, dtype=np.float64)[keep], scaled[keep]


def _points(n: int) -> dict[str, Any]:
    """Return the style of n points: the more there are, the smaller and fainter."""
    size = 3.0 if n <= 200 else 2.0
    return {
        "color": INK,
        "markersize": size,
        "markeredgewidth": 0.0,
        "alpha": float(np.clip(60.0 / np.sqrt(n) / 5.0, 0.2, 0.8)),
    }


# -- random effects --------------------------------------------------------------------------------


def _random_effects(fit: LmerResults) -> Iterator[Draw]:
    modes, sds = fit.ranef(), fit.ranef(condsd=True)
    half = float(normal_quantile(0.975))
    for group, frame in modes.items():
        for name in frame:
            yield _caterpillar(group, str(name), frame[name], half * sds[group][name])


def _caterpillar(group: str, name: str, values: pd.Series[float], halves: pd.Series[float]) -> Draw:
    rising = np.argsort(values.to_numpy(), kind="stable")
    centre, half = values.to_numpy()[rising], halves.to_numpy()[rising]
    levels = [str(level) for level in values.index[rising]]
    at = np.arange(len(levels))

    def show(axes: Axes) -> None:
        axes.axvline(0.0, color=SOFT, linewidth=0.6)
        thin = min(1.0, NAMED / len(levels))
        width = max(0.2, 0.8 * thin)
        axes.hlines(at, centre - half, centre + half, color=INK, linewidth=width, alpha=0.7)
        axes.plot(centre, at, "o", color=INK, markersize=max(1.0, 2.5 * thin), markeredgewidth=0.0)
        if len(levels) <= NAMED:
            axes.set_yticks(at, levels, fontsize=7.0 if len(levels) <= NAMED / 2 else 5.5)
        else:
            axes.set_yticks([])
        axes.tick_params(axis="y", length=0.0)
        axes.spines["left"].set_visible(False)
        what = "intercept" if name == "(Intercept)" else name
        axes.set(xlabel=f"random effect, {what}", ylabel=group)
        axes.margins(y=0.5 / max(len(levels), 1) + 0.02)

    return show


# -- profiles --------------------------------------------------------------------------------------


def _profiles(fit: LmerResults) -> Iterator[Draw]:
    from rparity.lmm.bootstrap.bootmer import Replicates
    from rparity.lmm.profile import profile_intervals

    ml = fit if not fit.reml else fit.refit(REML=False)
    estimates = Replicates.of(ml, ml.solution_from_itself).everything.iloc[0]
    ends, inner = (profile_intervals(fit, alpha) for alpha in (0.01, 0.05))
    called = _called(fit)
    for name in ends.index:
        estimate, (low, high) = float(estimates[name]), ends.loc[name]
        right = np.linspace(estimate, high, POINTS)
        values = np.concatenate([np.linspace(low, estimate, POINTS), right[1:]])
        found = zeta(fit, str(name), estimate, values)
        finite = np.isfinite(found)
        label = called.get(str(name), str(name))
        yield _profile(label, values[finite], found[finite], estimate, inner.loc[name])


def _called(fit: LmerResults) -> dict[str, str]:
    """Return what `.sig01`, … and `.sigma` are, for labels."""
    template, matrices = fit.model.template, fit.model.matrices
    places = zip(*order(template), labels(matrices.random), strict=True)
    named = {(int(row), int(col)): label for row, col, label in places}
    *sds, residual = sd_names(template.m)
    found = {residual: "residual SD"}
    for name, row, col in zip(sds, *sd_order(template, matrices.lme4), strict=True):
        what = "SD" if row == col else "correlation"
        found[name] = f"{what}, {named[int(row), int(col)]}"
    return found


def zeta(fit: LmerResults, name: str, estimate: float, values: Array) -> Array:
    """Return ζ of a parameter of `profile_intervals` at some values, (k,).

    ζ is the root of the rise of the profiled deviance above its minimum, which is at `estimate`;
    negative below it, and infinite at impossible values.
    """
    from rparity.lmm.profile import profile_rise

    rise = np.maximum(profile_rise(fit, name, list(values)), 0.0)
    return np.asarray(np.sign(values - estimate) * np.sqrt(rise))


def _profile(
    name: str, values: Array, found: Array, estimate: float, inner: pd.Series[float]
) -> Draw:
    level = float(normal_quantile(0.975))

    def show(axes: Axes) -> None:
        axes.axhline(0.0, color=SOFT, linewidth=0.6)
        axes.plot(values, found, color=INK, linewidth=1.2)
        axes.plot([estimate], [0.0], "o", color=INK, markersize=3.0)
        for end, side in zip(inner, (-level, level), strict=True):
            axes.plot([end, end], [0.0, side], color=SOFT, linewidth=0.8, linestyle=(0, (4, 2)))
        axes.set(xlabel=name, ylim=(-2.8, 2.8))
        axes.set_ylabel("ζ", rotation=0.0)
        axes.margins(x=0.04)

    return show


_PANELS: dict[str, Callable[[Any], Iterator[Draw]]] = {
    "residuals": _residuals,
    "quantiles": _quantiles,
    "random_effects": _random_effects,
    "profile": _profiles,
}
