"""`lmer_control`: the settings of R's `lmerControl`, and the checks of a model that they govern."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rparity.errors import DataError, UsageError, did_you_mean
from rparity.lmm.numbers.linalg import sparse_columns

if TYPE_CHECKING:
    from rparity.lmm.matrices.model_matrices import RandomTerm

ACTIONS = ("stop", "warning", "message", "ignore")
SMALL = tuple(f"{action}Small" for action in ACTIONS)
RANK = ("message+drop.cols", "warn+drop.cols", "silent.drop.cols", "stop.deficient", "ignore")
# R's limits: elements of Z of which "…Small" takes the rank, the ratio of standard deviations of
# columns of X, and the least diagonal element of θ of a fit that is not singular.
SMALL_Z = 1e6
SCALES = 1e3
SINGULAR = 1e-4


LOG = logging.getLogger("rparity")


class CheckWarning(UserWarning):
    """A check of `lmer` failed, and its setting in `lmer_control` is "warning"."""


class SingularFitWarning(CheckWarning):
    """A variance is estimated as zero or a correlation as ±1."""


@dataclass(frozen=True)
class Control:
    """Settings of `lmer`, made by `lmer_control`: what to do if a check fails."""

    check_nobs_vs_rankZ: str = "ignore"
    check_nobs_vs_nlev: str = "stop"
    check_nlev_gtreq_5: str = "ignore"
    check_nlev_gtr_1: str = "stop"
    check_nobs_vs_nRE: str = "stop"
    check_rankX: str = "message+drop.cols"
    check_scaleX: str = "ignore"
    check_conv_grad: str = "warning"
    check_conv_singular: str = "message"
    check_conv_hess: str = "warning"
    singular_tol: float = SINGULAR


DEFAULT = Control()
# For callers that say by themselves whether a fit is singular.
NO_MESSAGE = Control(check_conv_singular="ignore")


def lmer_control(
    optimizer: str = "nloptwrap",
    *,
    restart_edge: bool = True,
    boundary_tol: float = 1e-5,
    calc_derivs: bool = True,
    use_last_params: bool = False,
    sparseX: bool = False,
    standardize_X: bool = False,
    check_nobs_vs_rankZ: str = "ignore",
    check_nobs_vs_nlev: str = "stop",
    check_nlev_gtreq_5: str = "ignore",
    check_nlev_gtr_1: str = "stop",
    check_nobs_vs_nRE: str = "stop",
    check_rankX: str = "message+drop.cols",
    check_scaleX: str = "ignore",
    check_formula_LHS: str = "stop",
    check_conv_grad: str | Mapping[str, Any] = "warning",
    check_conv_singular: str | Mapping[str, Any] = "message",
    check_conv_hess: str | Mapping[str, Any] = "warning",
    optCtrl: Mapping[str, Any] | None = None,
    **unknown: object,
) -> Control:
    """Settings of `lmer`, with the names of R's `lmerControl`; underscores replace dots.

    A check's setting is "stop" (DataError), "warning" (a Python warning), "message", or "ignore".
    A message goes to the logger ``rparity``, which writes to stderr unless the program configures
    logging. As in R, it is no warning: ``-W error`` and pytest's ``filterwarnings = error`` do not
    make it an error. Defaults are R's with one exception: `check_scaleX` is "ignore", because the
    columns of X are made orthonormal, so that their scales cost no digits.

    Parameters
    ----------
    optimizer, optCtrl, restart_edge, boundary_tol, calc_derivs, use_last_params
        Settings of R's optimizers. They have no effect: there is one optimizer, which continues
        to the limit of rounding.
    sparseX, standardize_X, check_formula_LHS
        They have no effect, as in R's `lmer`; a formula needs a response.
    check_nlev_gtr_1, check_nobs_vs_nlev, check_nobs_vs_nRE
        If a grouping factor has one level, if it has as many levels as rows, and if a term has as
        many random effects as rows.
    check_nlev_gtreq_5
        If a grouping factor has fewer than five levels.
    check_nobs_vs_rankZ
        If the rank of Z is the number of rows; "stopSmall" and "warningSmall" only if Z has at
        most a million elements.
    check_rankX : {"message+drop.cols", "warn+drop.cols", "silent.drop.cols", "stop.deficient"}
        If columns of X depend linearly on columns before them: drop them, or raise DataError. The
        first two warn, both with `RankDeficientWarning`, because the fit then lacks coefficients
        that its formula names. With "ignore", too, such an X raises DataError: it has no estimates,
        and R ends with an error of its own.
    check_scaleX
        If the standard deviations of columns of X differ from each other or from 1 by a factor of
        1000. R's settings that rescale columns are refused.
    check_conv_grad, check_conv_hess
        If the search did not end at an optimum, and if the criterion is flat there. A mapping such
        as ``{"action": "stop", "tol": 0.002}`` is accepted; the tolerance has no effect.
    check_conv_singular
        If the fit is singular: a diagonal element of θ is less than 1e-4, or than the `tol` of a
        mapping.

    Raises
    ------
    UsageError
        For unknown settings, and for values that they do not have.
    """
    given = dict(locals())
    for name in unknown:
        known = [each for each in given if each != "unknown"]
        near = did_you_mean(name.replace(".", "_"), known)
        raise UsageError(
            f"lmer_control() has no setting {name!r}. {near}It has {', '.join(known)}."
        )
    if not isinstance(optimizer, str):
        raise UsageError(
            f"optimizer must be the name of an optimizer, and is {optimizer!r}: there is one, and "
            "fit.at(theta) gives the results at other θ."
        )
    if optCtrl is not None and not isinstance(optCtrl, Mapping):
        raise UsageError(f"optCtrl must be a mapping, and is {optCtrl!r}.")
    chosen: dict[str, Any] = {}
    for name in Control.__dataclass_fields__:
        if name != "singular_tol":
            value = given[name]
            if name.startswith("check_conv_") and isinstance(value, Mapping):
                value = _action(name, value, chosen)
            chosen[name] = _one_of(name, value)
    return Control(**chosen)


def _action(name: str, given: Mapping[str, Any], chosen: dict[str, Any]) -> object:
    """Return the action of a mapping; the tolerance of a singular fit goes to `chosen`."""
    extra = [key for key in given if key not in {"action", "tol", "relTol"}]
    tol = given.get("tol", SINGULAR)
    if extra or not isinstance(tol, int | float) or not tol >= 0.0:
        raise UsageError(f"{name} must have an action and a tol of 0 or more, and is {given!r}.")
    if name == "check_conv_singular":
        chosen["singular_tol"] = float(tol)
    return given.get("action")


def _one_of(name: str, value: object) -> object:
    known: tuple[str, ...] = RANK if name == "check_rankX" else ACTIONS
    if name == "check_nobs_vs_rankZ":
        known = (*ACTIONS, *SMALL)
    if value not in known:
        more = " Scale the columns of the data." if "scale" in str(value) else ""
        raise UsageError(f"{name} must be one of {', '.join(known)}, and is {value!r}.{more}")
    return value


def require_control(control: object) -> Control:
    """Return the settings; None stands for the defaults."""
    if control is None:
        return DEFAULT
    if not isinstance(control, Control):
        raise UsageError(
            f"control must be made by lmer_control(), and is a {type(control).__name__}."
        )
    return control


def report(
    action: str,
    sentence: str,
    category: type[UserWarning] = CheckWarning,
    *,
    stacklevel: int,
) -> None:
    """Do what a check's setting says; raises DataError for "stop"."""
    if action.startswith("stop"):
        raise DataError(sentence)
    if action.startswith("message"):
        LOG.warning(sentence)
    elif not action.startswith("ignore"):
        warnings.warn(sentence, category, stacklevel=stacklevel + 1)


def check_term(control: Control, term: RandomTerm, left: str) -> None:
    """Make lme4's checks of one random term, with `left` to the left of its bar."""
    n, k = term.Z.shape
    levels = len(term.levels)
    if levels < 2:
        report(
            control.check_nlev_gtr_1,
            f"The grouping factor `{term.group}` has only one level: it needs at least two.",
            stacklevel=4,
        )
    if levels >= n:
        report(
            control.check_nobs_vs_nlev,
            f"The grouping factor `{term.group}` has {levels} levels in {n} rows: it needs fewer "
            "levels than rows.",
            stacklevel=4,
        )
    if levels < 5:
        report(
            control.check_nlev_gtreq_5,
            f"The grouping factor `{term.group}` has {levels} levels: with fewer than 5, estimates "
            "of its variance may be unreliable.",
            stacklevel=4,
        )
    if levels * k >= n:
        report(
            control.check_nobs_vs_nRE,
            f"The term ({left} | {term.group}) has {levels * k} random effects for {n} rows, which "
            "cannot be distinguished from the residuals: remove coefficients from it.",
            stacklevel=4,
        )


def check_rank(control: Control, random: Sequence[RandomTerm], n: int) -> None:
    """Make lme4's check of the rank of Z, (n, q)."""
    action, q = control.check_nobs_vs_rankZ, sum(term.size for term in random)
    if action.startswith("ignore") or q < n or (action.endswith("Small") and q * n > SMALL_Z):
        return
    spread = [sparse_columns(term.Z, term.codes, len(term.levels)).toarray() for term in random]
    if np.linalg.matrix_rank(np.hstack(spread)) >= n:
        report(
            action,
            f"The random effects fit any response exactly: the rank of Z is the number of rows, "
            f"{n}. They cannot be distinguished from the residuals: remove random terms.",
            stacklevel=4,
        )


def check_scales(control: Control, X: NDArray[np.float64], names: Sequence[str]) -> None:
    """Make lme4's check of the standard deviations of the columns of X, (n, p)."""
    if control.check_scaleX == "ignore":
        return
    numeric = [j for j in range(X.shape[1]) if not np.isin(X[:, j], (0.0, 1.0)).all()]
    with np.errstate(divide="ignore"):
        logs = {names[j]: float(np.log(X[:, j].std(ddof=1))) for j in numeric}
    others = (0.0, *logs.values())
    far = [x for x, log in logs.items() if max(abs(log - y) for y in others) > np.log(SCALES)]
    if far:
        report(
            control.check_scaleX,
            f"The predictors {', '.join(far)} are on very different scales: rescale them.",
            stacklevel=3,
        )
