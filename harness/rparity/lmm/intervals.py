"""Confidence intervals of a mixed model by each method, as R's `confint`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

import pandas as pd

from rparity.errors import UsageError, did_you_mean
from rparity.lmm.arguments import require_alpha
from rparity.lmm.inference.ddf import Method, coefficient_tests
from rparity.lmm.matrices.arrange import wald_limits
from rparity.lmm.matrices.varcorr import sd_names
from rparity.lmm.numbers.distributions import t_quantile
from rparity.rrandom import RRandom

if TYPE_CHECKING:
    from rparity.lmm.bootstrap.bootmer import BootType
    from rparity.lmm.fit import LmerResults


def intervals(
    fit: LmerResults,
    alpha: float,
    method: Literal["wald", "profile", "boot"] | Method,
    parm: str | Sequence[str] | None,
    *,
    nsim: int,
    rng: RRandom | int | None,
    boot_type: BootType,
) -> pd.DataFrame:
    """Return `LmerResults.conf_int`.

    Raises
    ------
    UsageError
        For an unknown method or parameter, and for `alpha` that is not between 0 and 1.
    """
    require_alpha(alpha)
    names = [*sd_names(fit.model.template.m), *fit.term_names]
    wanted = _chosen(parm, names, fit.model.template.m + 1)
    if method == "profile":
        from rparity.lmm.profile import profile_intervals

        return profile_intervals(fit, alpha, wanted).loc[wanted]
    if method == "boot":
        if rng is None:
            raise UsageError("conf_int(method='boot') needs rng=, an RRandom or a seed.")
        return fit.boot(nsim, rng=rng).conf_int(alpha, boot_type).loc[wanted]
    if method != "wald" and method not in get_args(Method):
        known = "'wald', 'profile', 'boot', 'satterthwaite' or 'kenward-roger'"
        raise UsageError(f"method must be {known}, and is {method!r}.")
    if method == "wald":
        table = wald_limits(fit.params, fit.bse, alpha)
    else:
        tests = coefficient_tests(fit, method)
        half = t_quantile(1.0 - alpha / 2.0, tests["df"]) * tests["std_error"]
        table = pd.DataFrame({"conf_low": fit.params - half, "conf_high": fit.params + half})
    return table.reindex(names).loc[wanted]


def _chosen(parm: str | Sequence[str] | None, names: list[str], variances: int) -> list[str]:
    """Return the rows that `parm` names, in its order; "theta_" and "beta_" stand for several."""
    if parm is None:
        return names
    groups = {"theta_": names[:variances], "beta_": names[variances:]}
    wanted: list[str] = []
    for name in [parm] if isinstance(parm, str) else list(parm):
        if name not in groups and name not in names:
            raise UsageError(
                f"parm has {name!r}, which is no parameter. {did_you_mean(str(name), names)}"
                f"The parameters are {', '.join(names)}; theta_ and beta_ stand for several."
            )
        wanted += groups.get(name, [name])
    return wanted
