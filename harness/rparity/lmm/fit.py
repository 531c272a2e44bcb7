"""One mixed model fitted to one response: the results of `lmer`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from rparity.errors import UsageError
from rparity.lmm.arguments import numbers
from rparity.lmm.display import html
from rparity.lmm.display.plots import draw
from rparity.lmm.display.summary import lmer_summary
from rparity.lmm.inference.ddf import KenwardRoger, Method, Satterthwaite, inference
from rparity.lmm.intervals import intervals
from rparity.lmm.matrices.arrange import ranef, ranef_table
from rparity.lmm.matrices.varcorr import covariance, labels, order, sd_and_correlation, theta_names
from rparity.lmm.prediction import kept_effects, predict
from rparity.lmm.solver.lower_bound import lower_bound
from rparity.lmm.solver.model import MixedModel, Solution
from rparity.lmm.solver.optimum import ConvergenceWarning, optimum, problem, undetermined
from rparity.lmm.solver.progress import Watch
from rparity.lmm.solver.structure import Conditional, Moments
from rparity.rrandom import RRandom

if TYPE_CHECKING:
    from rparity.lmm.bootstrap.bootmer import BootstrapResults, BootType, Statistic

Array = NDArray[np.float64]


class LmerResults:
    """A fitted linear mixed model, with statsmodels' names of attributes and R's names of rows.

    `data_name`, from `data.attrs["name"]`, is the name of the data in `summary()`.
    """

    data_name: str | None = None

    def __init__(
        self, model: MixedModel, y: Array, reference: Array, solution: Solution, *, reml: bool
    ) -> None:
        self.model = model
        self.reml = reml
        self.response = y
        self._reference = reference
        self._solution = solution

    @classmethod
    def fit(
        cls,
        model: MixedModel,
        y: Array,
        *,
        reml: bool,
        start: Array | None = None,
        watch: Watch | None = None,
    ) -> Self:
        """Fit `model` to the response y (n,); `watch` is called after each step of the search."""
        reference, solution = optimum(model, y, reml=reml, start=start, watch=watch)
        return cls(model, y, reference, solution, reml=reml)

    @property
    def solution_from_itself(self) -> Solution:
        """The optimum with β relative to β̂, as for the replicates of a bootstrap."""
        return replace(self._solution, beta=np.zeros((1, self.model.p)))

    # -- fixed effects ---------------------------------------------------------------------------

    @property
    def term_names(self) -> list[str]:
        """R's names of the fixed effects."""
        return list(self.model.matrices.names)

    @cached_property
    def beta(self) -> Array:
        """β̂ as an array, shape (p,)."""
        return np.asarray(self._reference + self._solution.beta[0])

    @cached_property
    def params(self) -> pd.Series[float]:
        """Fixed effects β̂, as R's `fixef`."""
        return pd.Series(self.beta, self.term_names)

    def cov_params(self, ddf: Method | None = None) -> pd.DataFrame:
        """Covariance of β̂ given θ̂, as R's `vcov`; the uncertainty of θ̂ is left out.

        With "kenward-roger" it is adjusted for that uncertainty, as pbkrtest's `vcovAdj` does.
        """
        if ddf is not None:
            return pd.DataFrame(inference(self, ddf).cov, self.term_names, self.term_names)
        return pd.DataFrame(
            self.sigma**2 * self._solution.vcov_unscaled[0], self.term_names, self.term_names
        )

    @property
    def correlation(self) -> pd.DataFrame:
        """Correlation of the fixed effects' estimates, as R's `summary()` prints it."""
        scale = self.bse.to_numpy()
        return self.cov_params().div(scale, axis=0).div(scale, axis=1)

    @cached_property
    def bse(self) -> pd.Series[float]:
        """Standard errors of β̂."""
        return pd.Series(np.sqrt(np.diag(self.cov_params())), self.term_names)

    @property
    def tvalues(self) -> pd.Series[float]:
        """β̂ divided by its standard errors."""
        return self.params / self.bse

    # -- variance parameters ---------------------------------------------------------------------

    @cached_property
    def theta(self) -> pd.Series[float]:
        """Elements of Λ_θ, named `group.row.column` as by R's `getME(fit, "theta")`."""
        return pd.Series(self.theta_hat, theta_names(self.model.matrices.random))

    @property
    def theta_hat(self) -> Array:
        """θ̂ as an array, shape (m,)."""
        return np.asarray(self._solution.theta[0])

    @property
    def sigma(self) -> float:
        """Residual standard deviation σ̂."""
        return float(self._solution.sigma[0])

    @cached_property
    def varcorr(self) -> pd.DataFrame:
        """Variances and covariances of the random effects, as R's `as.data.frame(VarCorr(fit))`.

        Index `group.var` for variances and `group.var1.var2` for covariances; the residual is last.
        Columns `vcov`, and `sdcor`: the standard deviation or the correlation.
        """
        template, theta = self.model.template, self._solution.theta
        rows, cols = order(template)
        cov = self.sigma**2 * covariance(template, theta)[0, rows, cols]
        sdcor = self.sigma * sd_and_correlation(template, theta)[0, rows, cols]
        sdcor[rows != cols] /= self.sigma
        return pd.DataFrame(
            {"vcov": [*cov, self.sigma**2], "sdcor": [*sdcor, self.sigma]},
            [*labels(self.model.matrices.random), "Residual"],
        )

    @property
    def is_singular(self) -> bool:
        """Whether a variance is estimated as zero or a correlation as ±1 (R's `isSingular`)."""
        theta = self._solution.theta[0]
        return bool((theta[self.model.template.diagonal] < 1e-4).any())

    # -- the criterion ---------------------------------------------------------------------------

    @property
    def criterion(self) -> float:
        """REML criterion or deviance at the optimum (R's `REMLcrit`, `deviance`)."""
        return float(self._solution.criterion[0])

    @property
    def converged(self) -> bool:
        """Whether Newton's method ended at an optimum, and the data determine it."""
        return bool(self._solution.converged[0])

    @property
    def flat_directions(self) -> int:
        """Number of directions of the variance parameters in which the criterion is flat."""
        return undetermined(self.model, self._solution)

    @property
    def problem(self) -> str:
        """Why the fit did not converge, in one sentence; empty if it did."""
        return problem(self.model, self._solution)

    def warn_unless_converged(self) -> None:
        """Warn if the fit did not converge, as lme4 does."""
        if not self.converged:
            warnings.warn(self.problem, ConvergenceWarning, stacklevel=3)

    @cached_property
    def moments(self) -> Moments:
        """What the criterion needs of the response, less Xβ₀ near the optimum."""
        deviations = self.model.deviations(self.response, self._reference)
        return self.model.structure.moments(deviations[:, None])

    def at(self, theta: ArrayLike, sigma: float | None = None) -> LmerResults:
        """Return the results as if θ (m,) were the optimum.

        If `sigma` is given, the criterion is that of (θ, σ), otherwise σ is profiled out.

        Raises
        ------
        UsageError
            Unless there are m finite numbers, and `sigma` is positive.
        """
        at = numbers(theta, len(self.theta_hat), f"theta ({', '.join(self.theta.index)})")
        if sigma is not None and not sigma > 0.0:
            raise UsageError(f"sigma must be above 0, and is {sigma}.")
        there = self.model.at(self.moments, at[None], reml=self.reml)
        if sigma is not None:
            ratio = (there.sigma / sigma) ** 2
            rise = self.model.divisor(reml=self.reml) * (ratio - 1.0 - np.log(ratio))
            there = replace(there, sigma=np.array([sigma]), criterion=there.criterion + rise)
        return LmerResults(self.model, self.response, self._reference, there, reml=self.reml)

    def deviance_at(self, theta: ArrayLike) -> float:
        """Return the criterion at θ (m,), as the function of R's `lmer(devFunOnly = TRUE)` does."""
        return self.at(theta).criterion

    @property
    def llf(self) -> float:
        """Log-likelihood, or restricted log-likelihood under REML."""
        return -self.criterion / 2.0

    @property
    def n_parameters(self) -> int:
        """Number of fixed effects, elements of θ, and σ."""
        return self.model.p + len(self._solution.theta[0]) + 1

    @property
    def aic(self) -> float:
        """Akaike's criterion; as in R, θ and σ count as parameters."""
        return self.criterion + 2.0 * self.n_parameters

    @property
    def bic(self) -> float:
        """Schwarz's Bayesian criterion, with log(n)."""
        return self.criterion + float(np.log(self.nobs)) * self.n_parameters

    @property
    def nobs(self) -> int:
        """Number of observations used."""
        return self.model.n

    @property
    def df_resid(self) -> int:
        """Observations less all parameters, as R's `df.residual`."""
        return self.nobs - self.n_parameters

    # -- fitted values ---------------------------------------------------------------------------

    @cached_property
    def conditional(self) -> Conditional:
        """Random effects b̂ of each term given the response, and their covariances over σ²."""
        # Residuals from β̂ itself would have the rounding errors of large responses.
        fitted = self.model.matrices.X @ self._solution.beta[0]
        deviations = self.model.deviations(self.response, self._reference)
        return self.model.conditional(self.theta_hat, deviations - self.model.sqrt_weights * fitted)

    @property
    def random_effects(self) -> pd.DataFrame:
        """Conditional means and standard deviations of the random effects, as R's `ranef`.

        Index `group.level.term`; a factor's terms are together, coefficient by coefficient. Columns
        `condval`, `condsd`.
        """
        found = self.conditional
        sds = [np.sqrt(np.diagonal(cov, axis1=1, axis2=2)) for cov in found.covariances]
        return ranef_table(self.model.matrices.random, found.means, [self.sigma * s for s in sds])

    @cached_property
    def _fitted(self) -> Array:
        return np.asarray(self.predict())

    @property
    def fittedvalues(self) -> pd.Series[float]:
        """Xβ̂ + Zb̂ + offset for the rows that were used, or as `na_action="exclude"` says."""
        return self.model.matrices.by_row(self._fitted)

    @property
    def resid(self) -> pd.Series[float]:
        """Response less `fittedvalues`."""
        return self.model.matrices.by_row(self.response - self._fitted)

    @property
    def scaled_resid(self) -> Array:
        """Residuals divided by σ̂/√w, (n,), whose quantiles `summary()` prints."""
        return np.asarray(self.model.sqrt_weights * (self.response - self._fitted) / self.sigma)

    # -- what follows from a fit -----------------------------------------------------------------

    def predict(
        self,
        newdata: pd.DataFrame | None = None,
        *,
        include_random: bool = True,
        re_form: str | None = None,
        random_only: bool = False,
        allow_new_levels: bool = False,
        na_action: Literal["pass", "fail"] = "pass",
        offset: ArrayLike | None = None,
    ) -> pd.Series[float]:
        """Predict Xβ̂ + Zb̂ + offset for the data of the fit or for new data, as R's `predict`.

        Parameters
        ----------
        newdata : DataFrame, optional
            With the model's columns, except the response.
        include_random : bool
            Whether random effects are added (False is R's `re.form = NA`).
        re_form : str, optional
            The random effects to add, such as ``"(1 | g)"``, as R's `re.form`; by default all.
        random_only : bool
            Leave out fixed effects and the offset (R's `random.only`).
        allow_new_levels : bool
            Whether random effects of levels that the data of the fit lack are zero.
        na_action : {"pass", "fail"}
            Predict NaN for rows with missing values, as R does, or raise DataError.
        offset : array of shape (m,), optional
            The offset of `newdata`, if the model was fitted with one.

        Raises
        ------
        DataError, FormulaError, UsageError
            For new levels unless they are allowed, and random effects that the model does not have.
        """
        if na_action not in {"pass", "fail"}:
            raise UsageError(f"na_action must be 'pass' or 'fail', and is {na_action!r}.")
        kept = kept_effects(self.model.matrices, re_form if include_random else "~0")
        return predict(
            self,
            newdata,
            kept,
            fixed=not random_only,
            allow_new_levels=allow_new_levels,
            na_action=na_action,
            offset=offset,
        )

    def refit(self, y: ArrayLike | None = None, *, REML: bool | None = None) -> LmerResults:
        """Fit the same model to another response, or by REML instead of ML or vice versa.

        y has one value for each row that was used, (n,), or for each row of the data; values of
        rows that were left out are then ignored, as in R.
        """
        used = self.model.matrices.used
        if y is not None and np.shape(y) == used.shape:
            y = np.asarray(y)[used]
        response = self.response if y is None else numbers(y, self.nobs, "The response of refit()")
        fit = LmerResults.fit(self.model, response, reml=self.reml if REML is None else REML)
        fit.warn_unless_converged()
        return fit

    def simulate(
        self,
        nsim: int = 1,
        *,
        use_u: bool = False,
        rng: RRandom | int,
        newdata: pd.DataFrame | None = None,
        re_form: str | None = "~0",
        allow_new_levels: bool = False,
        offset: ArrayLike | None = None,
    ) -> Array:
        """Draw responses from the model, (n, nsim), with R's random numbers, as R's `simulate`.

        Parameters
        ----------
        nsim : int
            Number of responses.
        use_u : bool
            Keep all random effects at their conditional modes, as `re_form=None` does.
        rng : RRandom or int
            R's stream, which moves on as in R, or a seed.
        newdata : DataFrame, optional
            Other rows than those of the fit, with the model's columns except the response.
        re_form : str, optional
            The random effects to keep, such as ``"(1 | g)"``; others are drawn. By default none is
            kept, and with None all are.
        allow_new_levels : bool
            Whether `newdata` may have levels that the data of the fit lack.
        offset : array of shape (n,), optional
            The offset of `newdata`, if the model was fitted with one.

        Raises
        ------
        DataError, FormulaError, UsageError
            For new levels unless they are allowed, missing values, and random effects that the
            model does not have.
        """
        if use_u and re_form != "~0":
            raise UsageError("Give use_u=True or re_form=, not both: use_u=True keeps all effects.")
        re_form = None if use_u else re_form
        if newdata is not None or re_form not in {None, "~0"}:
            from rparity.lmm.bootstrap.new_rows import simulate_rows

            return simulate_rows(
                self,
                nsim,
                newdata,
                re_form,
                rng=rng,
                allow_new_levels=allow_new_levels,
                offset=offset,
            )
        from rparity.lmm.bootstrap.simulation import Draws, simulated

        blocks = simulated(self, Draws.of(self.model, nsim, use_u=re_form is None, rng=rng))
        fitted = self.predict(include_random=False).to_numpy()
        return np.hstack([fitted[:, None] + block for block in blocks])

    def conf_int(
        self,
        alpha: float = 0.05,
        method: Literal["wald", "profile", "boot"] | Method = "wald",
        *,
        nsim: int = 500,
        rng: RRandom | int | None = None,
        boot_type: BootType = "percentile",
        parm: str | Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Confidence intervals at level 1 − alpha (R's `confint`): `conf_low`, `conf_high`.

        Rows are `.sig01`, … (each term's standard deviations, then its correlations), `.sigma`, and
        the fixed effects. ``wald`` has NaN for the variance parameters, as in R. ``profile``
        inverts the likelihood-ratio test under ML, for REML fits too, as in lme4. ``boot`` draws
        `nsim` replicates from `rng`. ``satterthwaite`` and ``kenward-roger`` take quantiles of t
        instead of the normal ones that ``wald`` takes.

        `parm` names the rows to return, as in R: row names, ``"theta_"`` (the variance parameters)
        or ``"beta_"`` (the fixed effects). A profile is then computed for these only.
        """
        return intervals(self, alpha, method, parm, nsim=nsim, rng=rng, boot_type=boot_type)

    def boot(
        self,
        nsim: int,
        *,
        use_u: bool = False,
        rng: RRandom | int,
        statistic: Statistic | None = None,
    ) -> BootstrapResults:
        """`bootmer(self, …)`."""
        from rparity.lmm.bootstrap.bootmer import bootmer

        return bootmer(self, nsim, use_u=use_u, rng=rng, statistic=statistic)

    def __repr__(self) -> str:
        return self.summary()

    summary = lmer_summary
    _repr_html_ = html.lmer_html
    plot = draw
    ranef = ranef
    lower_bound = lower_bound

    # -- tests of fixed effects: see `ddf` ---------------------------------------------------------

    @cached_property
    def satterthwaite(self) -> Satterthwaite:
        """Covariance of β̂ and degrees of freedom by Satterthwaite's method."""
        return Satterthwaite(self)

    @cached_property
    def kenward_roger(self) -> KenwardRoger:
        """Covariance of β̂ and degrees of freedom by Kenward and Roger's method, under REML.

        For an ML fit they are those of its REML fit, as in pbkrtest.
        """
        return KenwardRoger(self)

    def ddf(self, method: Method = "satterthwaite") -> pd.Series[float]:
        """Degrees of freedom of the t test of each fixed effect: "satterthwaite", "kenward-roger".

        Raises
        ------
        UsageError
            For an unknown method.
        """
        return pd.Series(inference(self, method).df(np.eye(self.model.p)), self.term_names)

    def test(
        self,
        L: ArrayLike | str | Sequence[str],
        rhs: ArrayLike = 0.0,
        ddf: Method = "satterthwaite",
    ) -> pd.Series[float]:
        """Test Lβ = rhs, as lmerTest's `contest`: `F`, `ndf`, `ddf`, `p`.

        Parameters
        ----------
        L : array of shape (p,) or (r, p), or names of coefficients
            Contrasts of the fixed effects, all tested at once.
        rhs : float or array of shape (r,)
        ddf : {"satterthwaite", "kenward-roger"}

        Raises
        ------
        UsageError
            For an unknown name or method, for numbers of the wrong shape, and for Kenward and
            Roger's method of an ML fit.
        """
        from rparity.lmm.inference.term_tests import linear_test

        return linear_test(self, L, rhs, ddf)
