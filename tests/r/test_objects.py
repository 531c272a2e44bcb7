"""Objects of R as a user returns them: a test's result, a fitted model. No conversion in R.

`objects.R` has the functions. `tests/data/r_objects.json` has what R answered to them; the test
marked live compares it with R, and writes it with RPARITY_WRITE_OBJECTS=1.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.cluster.hierarchy
import scipy.optimize
import scipy.stats
import statsmodels.api as sm
from statsmodels.tsa.arima.model import ARIMA

from places import DATA, R_SCRIPTS
from rparity.parity.answer import RAnswer
from rparity.parity.store import RecordedCall
from rparity.parity.values import decode, encode, layout, tree
from rparity.r.session import RSession
from rparity.rrandom import RRandom

SCRIPT = R_SCRIPTS / "objects.R"
RECORDED = DATA / "r_objects.json"

random = RRandom(1)
N = 40
X = np.round(random.rnorm(N), 2)
Y = np.round(random.rnorm(N) + 0.5, 2)
GROUP = np.repeat(["a", "b", "c", "d"], N // 4)
TIME, EVENT = np.round(random.rexp(N), 3) + 0.01, random.runif(N) < 0.7
D = pd.DataFrame(
    {"x": X, "y": 2 + X + Y, "z": (Y > 0.5).astype(int), "time": TIME, "event": EVENT.astype(int)}
)
COUNTS = pd.DataFrame(
    {"x": X, "y": random.rpois(N, random.rgamma(N, shape=2, rate=0.5)).astype(int)}
)
DECAY = pd.DataFrame({"x": np.linspace(0, 5, N)}).assign(
    y=lambda d: np.round(3 * np.exp(-0.7 * d["x"]) + 0.05 * random.rnorm(N), 3)
)
SERIES = np.round(np.cumsum(random.rnorm(60)) * 0.1, 3)
TABLE = np.array([[3, 1], [2, 7]])
POINTS = np.round(random.rnorm(24), 2).reshape(8, 3)
DESIGN = sm.add_constant(D[["x"]]).set_axis(["(Intercept)", "x"], axis=1)

ARGUMENTS: dict[str, dict[str, object]] = {
    "wilcox": {"x": X, "y": Y},
    "quantiles": {"x": X},
    "variance": {"y": Y, "g": GROUP},
    "tukey": {"y": Y, "g": GROUP},
    "correlation": {"x": X, "y": Y},
    "fisher": {"x": TABLE},
    "arma": {"y": SERIES},
    "forecast": {"y": SERIES},
    "components": {"x": POINTS},
    "clusters": {"x": POINTS},
    "cox": {"d": D},
    "counts": {"d": COUNTS},
    "smooth": {"d": D},
    "local_fit": {"d": D},
    "minimum": {"start": [0.0, 0.0]},
    "curve_fit": {"d": DECAY},
    "regression": {"d": D},
    "draw": {"n": 5},
    "student": {"x": X, "y": Y},
    "kaplan_meier": {"d": D},
    "weibull": {"d": D},
    "linear": {"d": D},
    "logistic": {"d": D},
    "mixed": {},
    "variances": {},
    "mixed_lme": {},
    "robust": {"d": D},
    "fit_polr": {},
    "strata": {},
    "k_means": {"x": POINTS},
    "by_broom": {"d": D},
    "aliased": {"d": D},
    "autocorrelation": {"y": SERIES},
}
SEED = 1
# The reading of a model must give the numbers of broom, to the last bit.
OF_BROOM = [
    "variance", "arma", "cox", "counts", "smooth", "curve_fit", "linear", "logistic", "weibull",
    "kaplan_meier", "aliased", "robust", "fit_polr",
]  # fmt: skip


def ask(r: RSession, name: str) -> dict[str, object]:
    return encode(tree(r.call(SCRIPT, name, ARGUMENTS[name], seed=SEED).wire, name))


@pytest.fixture(scope="module")
def recorded() -> dict[str, dict[str, object]]:
    return json.loads(RECORDED.read_text(encoding="utf-8"))


@pytest.fixture
def answer(recorded: dict[str, dict[str, object]]) -> Callable[[str], RAnswer]:
    def of(name: str) -> RAnswer:
        asked = {"script": "objects.R", "function": name, "seed": SEED}
        made_by = {"platform": "recorded", "packages": {"R": "4.2.2"}}
        node = decode(recorded[name])
        return RAnswer(RecordedCall(node, {"asked": asked, "made_by": made_by}))

    return of


# Ports: Python's answer beside R's object -------------------------------------------------------

Answer = Callable[[str], RAnswer]


def test_wilcox_test(answer: Answer) -> None:
    s = scipy.stats.mannwhitneyu(X, Y, method="asymptotic")
    answer("wilcox").check(
        {"statistic": s.statistic, "p.value": s.pvalue}, only=["statistic", "p.value"]
    )


def test_quantile(answer: Answer) -> None:
    answer("quantiles").check(np.quantile(X, [0, 0.25, 0.5, 0.75, 1]), rtol=1e-14)


def test_aov(answer: Answer) -> None:
    s = scipy.stats.f_oneway(*(Y[g == GROUP] for g in "abcd"))
    r = answer("variance")
    assert list(r.tidy.index) == ["factor(g)", "Residuals"]
    mine = pd.DataFrame({"statistic": [s.statistic, None], "p.value": [s.pvalue, None]})
    r.check({"tidy": mine}, only=["tidy.statistic", "tidy.p.value"])


def test_tukey_hsd(answer: Answer) -> None:
    s = scipy.stats.tukey_hsd(*(Y[g == GROUP] for g in "abcd"))
    pairs = [(1, 0), (2, 0), (3, 0), (2, 1), (3, 1), (3, 2)]
    limits = s.confidence_interval(0.95)
    names = [f"{'abcd'[i]}-{'abcd'[j]}" for i, j in pairs]
    mine = pd.DataFrame(
        {
            "p adj": [s.pvalue[i, j] for i, j in pairs],
            "diff": [s.statistic[i, j] for i, j in pairs],
            "lwr": [limits.low[i, j] for i, j in pairs],
            "upr": [limits.high[i, j] for i, j in pairs],
        },
        names,
    )
    answer("tukey").check({"factor(g)": mine}, rtol=1e-5)  # ptukey() is good to six decimals


def test_cor_test(answer: Answer) -> None:
    s = scipy.stats.pearsonr(X, Y)
    mine = {"estimate": s.statistic, "p.value": s.pvalue, "conf.int": list(s.confidence_interval())}
    answer("correlation").check(mine, only=list(mine))


def test_fisher_test(answer: Answer) -> None:
    odds = scipy.stats.contingency.odds_ratio(TABLE, kind="conditional").statistic
    mine = {"p.value": scipy.stats.fisher_exact(TABLE).pvalue, "estimate": odds}
    answer("fisher").check(mine, rtol=1e-3, only=list(mine))  # uniroot() stops at 1e-4


def test_arima_and_predict(answer: Answer) -> None:
    fit = ARIMA(SERIES, order=(1, 0, 0)).fit()
    estimate = pd.Series(fit.params[:2], ["intercept", "ar1"])
    answer("arma").check({"tidy": estimate.to_frame("estimate")}, rtol=1e-2, only="tidy.estimate")
    forecast = fit.get_forecast(3)
    mine = {"pred": forecast.predicted_mean, "se": forecast.se_mean}
    answer("forecast").check(mine, rtol=1e-2)


def test_prcomp(answer: Answer) -> None:
    scaled = (POINTS - POINTS.mean(axis=0)) / POINTS.std(axis=0, ddof=1)
    u, d, vt = np.linalg.svd(scaled, full_matrices=False)
    r = answer("components")
    sign = np.sign(np.diag(vt @ r.rotation.to_numpy()))
    mine = {
        "sdev": d / np.sqrt(len(POINTS) - 1),
        "rotation": vt.T * sign,
        "center": POINTS.mean(axis=0),
        "scale": POINTS.std(axis=0, ddof=1),
        "x": u * d * sign,
    }
    r.check(mine)


def test_hclust(answer: Answer) -> None:
    tree_ = scipy.cluster.hierarchy.linkage(POINTS, "complete")
    answer("clusters").check({"height": tree_[:, 2]}, only="height")


def test_coxph(answer: Answer) -> None:
    fit = sm.PHReg(D["time"], D[["x"]], D["event"], ties="efron").fit()
    mine = pd.DataFrame({"estimate": fit.params, "std.error": fit.bse}, ["x"])
    places = ["tidy.estimate", "tidy.std.error"]
    answer("cox").check({"tidy": mine}, rtol=1e-6, only=places)


def test_glm_nb(answer: Answer) -> None:
    design = sm.add_constant(COUNTS[["x"]]).set_axis(["(Intercept)", "x"], axis=1)
    fit = sm.NegativeBinomial(COUNTS["y"], design).fit(disp=0, method="newton")
    estimate = fit.params.drop("alpha").to_frame("estimate")
    mine = {"tidy": estimate, "theta": {"theta": 1 / fit.params["alpha"]}}
    answer("counts").check(mine, rtol=1e-4, only=["tidy.estimate", "theta.theta"])


def test_gam(answer: Answer) -> None:
    r = answer("smooth")
    intercept = pd.DataFrame({"estimate": [D["y"].mean()]}, ["(Intercept)"])
    r.check({"parametric": intercept}, rtol=1e-8, only="parametric.estimate")
    assert list(r.tidy.index) == ["s(x)"]
    assert 1 < r.tidy.edf["s(x)"] < 9


def test_loess(answer: Answer) -> None:
    r = answer("local_fit")
    r.check({"n": N, "residuals": D["y"].to_numpy() - r.fitted}, only=["n", "residuals"], rtol=1e-7)


def test_varcorr_has_the_residual_standard_deviation(answer: Answer) -> None:
    r = answer("variances")
    mixed = answer("mixed")
    assert list(r["grp"]) == ["Subject", "Subject", "Subject", "Residual"]
    r.check(mixed.ran_pars, rtol=0)
    assert r["sdcor"].iloc[-1] == mixed.glance["sigma"].iloc[0]


def test_optim(answer: Answer) -> None:
    s = scipy.optimize.minimize(lambda p: np.sum((p - [1, 2]) ** 2), [0.0, 0.0], method="BFGS")
    r = answer("minimum")
    r.check({"par": s.x, "convergence": s.status, "message": None},
            only=["par", "convergence", "message"], atol=1e-6)  # fmt: skip
    assert r.message is None


def test_nls(answer: Answer) -> None:
    def curve(x: object, a: float, b: float) -> object:
        return a * np.exp(-b * x)

    best, cov = scipy.optimize.curve_fit(curve, DECAY["x"], DECAY["y"], [2, 0.5], ftol=1e-12)
    mine = pd.DataFrame({"estimate": best, "std.error": np.sqrt(np.diag(cov))}, ["a", "b"])
    answer("curve_fit").check({"tidy": mine}, rtol=1e-4, only=["tidy.estimate", "tidy.std.error"])


def test_summary_of_lm(answer: Answer) -> None:
    fit = sm.OLS(D["y"], DESIGN).fit()
    coefficients = pd.DataFrame(
        {"Estimate": fit.params, "Std. Error": fit.bse, "t value": fit.tvalues}
    ).assign(**{"Pr(>|t|)": fit.pvalues})
    mine = {"coefficients": coefficients, "sigma": fit.mse_resid**0.5, "r.squared": fit.rsquared}
    answer("regression").check(mine, only=list(mine))


def test_sample(answer: Answer) -> None:
    r = answer("draw")
    r.check(r.rng.sample(5, 5), rtol=0)


def test_t_test(answer: Answer) -> None:
    s = scipy.stats.ttest_ind(X, Y, equal_var=False)
    mine = {
        "statistic": s.statistic, "parameter": s.df, "p.value": s.pvalue,
        "conf.int": list(s.confidence_interval()), "estimate": [X.mean(), Y.mean()],
    }  # fmt: skip
    answer("student").check(mine, only=list(mine))


def test_a_wrong_port_of_a_model_is_caught(answer: Answer) -> None:
    fit = sm.OLS(D["y"], DESIGN).fit()
    mine = pd.DataFrame({"estimate": fit.params, "std.error": fit.bse * np.sqrt(N / (N - 2))})
    with pytest.raises(AssertionError, match=r"tidy x std\.error"):
        answer("linear").check({"tidy": mine}, only=["tidy.estimate", "tidy.std.error"])


def test_a_model_has_the_tables_of_broom_and_the_covariances(answer: Answer) -> None:
    for name in ("linear", "logistic", "counts", "curve_fit", "robust", "mixed", "mixed_lme"):
        assert {"tidy", "glance", "augment", "vcov"} <= set(answer(name)), name
    assert list(answer("mixed")) == ["tidy", "ran_pars", "ran_vals", "glance", "augment", "vcov"]
    assert "deviance" not in answer("mixed").glance  # there is none by REML
    assert list(answer("strata")) == ["strata"]
    assert answer("aliased").tidy.loc["I(2 * x)"].isna().all()
    assert answer("by_broom").tidy.index.tolist() == ["(Intercept)", "x"]


# With R -----------------------------------------------------------------------------------------


@pytest.mark.live
def test_r_answers_as_recorded(recorded: dict[str, dict[str, object]]) -> None:
    with RSession(timeout=100) as r:
        found = {name: json.loads(layout(ask(r, name))) for name in ARGUMENTS}
    if os.environ.get("RPARITY_WRITE_OBJECTS"):
        RECORDED.write_text(layout(found) + "\n", encoding="utf-8")
        return
    for name, node in found.items():
        assert _shape(node) == _shape(recorded[name]), name
        sides = (_numbers(_without_influence(name, side)) for side in (node, recorded[name]))
        for mine, theirs in zip(*sides, strict=True):
            # Other processors round differently, and optimizers stop elsewhere.
            assert abs(mine - theirs) <= 1e-6 * abs(theirs) + 1e-9, name


# Columns that newer versions of broom have.
ADDED = {"npar"}


@pytest.mark.live
@pytest.mark.parametrize("name", OF_BROOM)
def test_the_tables_of_a_model_are_those_of_broom(name: str) -> None:
    with RSession(timeout=100) as r:
        mine = r.call(SCRIPT, name, ARGUMENTS[name]).value
        theirs = r.call(SCRIPT, "of_broom", {"name": name, "arguments": ARGUMENTS[name]}).value
    for table in {"tidy", "glance"} & set(mine):
        absent = set(theirs[table]) - set(mine[table]) - {
            "coef.type", "statistic.robust", "p.value.robust"  # of one kind; of robust fits only
        }  # fmt: skip
        assert not absent - ADDED
        for column in set(theirs[table]) & set(mine[table]):
            if (name, column) == ("cox", "nobs"):
                continue  # newer versions of broom count the events
            own, other = mine[table][column], theirs[table][column]
            assert own.index.equals(other.index)
            if own.dtype.kind == "f":
                np.testing.assert_allclose(own, other, rtol=1e-12)
            else:
                assert own.fillna(-1).tolist() == other.fillna(-1).tolist()


def _without_influence(name: str, node: dict[str, Any]) -> dict[str, Any]:
    """Leave out what R 4.6 computes otherwise: the fits of `glm` without one row."""
    return {**node["list"], "augment": None} if name in {"counts", "logistic"} else node


def _shape(node: object) -> object:
    """Return what an answer has besides its numbers."""
    if isinstance(node, dict):
        return {name: _shape(item) for name, item in node.items()}
    if isinstance(node, list):
        return [_shape(item) for item in node]
    return None if isinstance(node, float | int) else node


def _numbers(node: object) -> list[float]:
    if isinstance(node, dict | list):
        parts = node.values() if isinstance(node, dict) else node
        return [number for part in parts for number in _numbers(part)]
    return [float(node)] if isinstance(node, float | int) else []
