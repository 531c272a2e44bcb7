"""Every cause, planted and found; and a bug of no known cause, which stays unexplained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest

from few import mostly_slow
from planted import BAR, audit_case, fit_of, found, proven, tables_at
from rparity import bootmer, paths
from rparity.audit.audit_case import AuditCase, audit_case_of
from rparity.cases import case
from rparity.cases.base import Boot, Lmer
from rparity.compare import Reference, Tables, Tolerance, compare
from rparity.diagnosis.experiments.base import CaseContext, Dispute, compared
from rparity.diagnosis.experiments.hessian import joint_cov_params
from rparity.diagnosis.explain import explain
from rparity.engines.native import Native, lm_tables
from rparity.engines.published import Published
from rparity.lmm.fit import LmerResults
from rparity.lmm.linear import lm
from rparity.lmm.lme4 import NEWEST
from rparity.lmm.mixed import lmer


@pytest.mark.parametrize(
    ("name", "size"),
    mostly_slow(
        product(["document", "sleepstudy", "penicillin", "pastes", "weighted"], [1e-2, 1e-4, 1e-6]),
        lambda planted: planted[0] in ("document", "weighted") or planted == ("pastes", 1e-4),
        "as the others, for one more model",
    ),
)
def test_an_optimizer_that_stopped_early(name: str, size: float) -> None:
    fit = fit_of(name)
    early = tables_at(fit.at(fit.theta_hat * (1.0 + size)))
    assert set(found(name, early)) <= {"stopped early", "conditioning"}
    assert "stopped early" in found(name, early)


def test_near_zero_a_value_that_now_passes_counts_as_closer() -> None:
    """There are no digits to count: 1e-20 for 0, and 1e-5 for 0 before."""
    known = pd.DataFrame({"condval": [1e-20, 3.0]}, ["g.1.x", "g.2.x"])
    rows = pd.DataFrame(
        {"table": "m.ranef", "row": known.index, "column": "condval", "digits": [0.0, 2.0]}
    )
    bar = Tolerance(1e-9, "", atol=1e-12)

    def side(zero: float) -> Reference:
        table = pd.DataFrame({"condval": [zero, 3.0 + 300.0 * zero]}, known.index)
        return Reference("", {"m.ranef": table}, lambda _t, _c: bar)

    expected = side(1e-5).tables
    trial = compared("", "", "", rows, {"m.ranef": known}, side(0.0), instead_of=expected)
    assert trial.vanished.all()
    trial = compared("", "", "", rows, {"m.ranef": known}, side(1e-5), instead_of=expected)
    assert not trial.vanished.any()


@pytest.mark.parametrize("part", ["lmer", "lmer_ml"])
def test_standard_errors_from_the_joint_hessian(part: str) -> None:
    fit = fit_of("document", part)
    answer = tables_at(fit, part)
    cov = joint_cov_params(fit)
    se = pd.Series(np.sqrt(np.diag(cov)), cov.index)
    coef = answer[f"{part}.coef"]
    answer[f"{part}.vcov"] = cov
    answer[f"{part}.coef"] = coef.assign(std_error=se, statistic=coef["estimate"] / se)
    assert "formula of the standard error" in found("document", answer)
    assert "" not in found("document", answer)


def test_sigma_over_n_minus_p_in_maximum_likelihood() -> None:
    fit = fit_of("sleepstudy", "lmer_ml")
    answer = tables_at(fit, "lmer_ml")
    factor = np.sqrt(180 / 178)
    coef = answer["lmer_ml.coef"]
    answer = {
        "lmer_ml.varcorr": answer["lmer_ml.varcorr"],
        "lmer_ml.coef": coef.assign(
            std_error=coef["std_error"] * factor, statistic=coef["statistic"] / factor
        ),
    }
    assert set(found("sleepstudy", answer)) == {"formula of the standard error"}


def test_a_likelihood_without_the_prior_weights() -> None:
    fit = fit_of("weighted")
    answer = tables_at(fit)
    lost = float(np.log(fit.model.matrices.weights).sum())
    shift = {"log_lik": -lost / 2.0, "aic": lost, "bic": lost, "criterion": lost}
    glance = answer["lmer.glance"]
    answer["lmer.glance"] = glance.assign(**{name: glance[name] + by for name, by in shift.items()})
    assert set(found("weighted", answer)) == {"likelihood without prior weights"}
    answer["lmer.glance"] = glance.assign(log_lik=glance["log_lik"] - lost / 4.0)
    assert "" in found("weighted", answer)


@pytest.mark.parametrize(
    "name",
    mostly_slow(
        ["document", "sleepstudy", "pastes"],
        lambda name: name == "document",
        "as the others, for one more model",
    ),
)
def test_ml_instead_of_reml(name: str) -> None:
    model = audit_case(name).context.parts["lmer"]
    assert isinstance(model, Lmer)
    ml = lmer(model.formula, audit_case(name).context.data, REML=False)
    causes = found(name, tables_at(ml))
    assert "ML or REML" in causes
    assert "" not in causes


def test_coefficients_of_other_contrasts() -> None:
    model = audit_case("document").context.parts["lm_treatment"]
    other = lm(model.formula, audit_case("document").context.data, contrasts={"p": "contr.helmert"})
    answer = {"lm_treatment.coef": lm_tables(other)["coef"]}
    at = proven("document")["lm_treatment.coef"].index
    answer["lm_treatment.coef"] = answer["lm_treatment.coef"].set_axis(at)
    causes = found("document", answer)
    assert set(causes) == {"parametrisation"}
    assert "contr.helmert" in causes["parametrisation"][0].decisive.says


def test_standard_deviations_for_variances() -> None:
    varcorr = proven("sleepstudy")["lmer.varcorr"]
    wrong = varcorr.assign(vcov=varcorr["sdcor"], sdcor=varcorr["vcov"])
    causes = found("sleepstudy", {"lmer.varcorr": wrong})
    assert set(causes) == {"parametrisation"}


def test_criteria_left_undefined_and_parameters_counted_otherwise() -> None:
    glance = proven("sleepstudy")["lmer.glance"]
    undefined = {"lmer.glance": glance.assign(aic=np.nan, bic=np.nan)}
    assert set(found("sleepstudy", undefined)) == {"left undefined"}
    fewer = {
        "lmer.glance": glance.assign(
            aic=glance["aic"] - 4.0,
            bic=glance["bic"] - 2.0 * np.log(180),
            df_residual=glance["df_residual"] + 4.0,
        )
    }
    assert set(found("sleepstudy", fewer)) == {"count of parameters"}
    other_n = {"lmer.glance": glance.assign(bic=glance["aic"] - 12.0 + 6.0 * np.log(178))}
    assert set(found("sleepstudy", other_n)) == {"count of parameters"}


BOOTS = {"boot_simulate_u": False, "boot_fix_u": True}


@pytest.fixture(scope="module")
def weighted_boots() -> Mapping[str, pd.DataFrame]:
    return {
        t: f for t, f in audit_case("weighted").recording.tables.items() if t.startswith("boot")
    }


@pytest.fixture(scope="module")
def old_weighted() -> AuditCase:
    """The case as R 4.2.2 with lme4 1.1-31 recorded it, whose refits divide by n − 1."""
    return audit_case_of(case("weighted"), paths.fixtures(), "r4.2.2-lme4-1.1-31")


def refits(old: AuditCase, answer: Tables) -> set[str]:
    """Causes of what differs between an answer with today's divisor and the old recording."""
    known = {t: old.recording.tables[t] for t in answer}
    reference = Reference(
        "recording", known, lambda t, c: old.case.tolerance("rparity", t, c), partial=True
    )
    rows = compare("weighted", "rparity", answer, reference, list(known))
    dispute = Dispute(
        old.context, "rparity", "recording", answer, known, lme4=(NEWEST, old.lme4("recording"))
    )
    return {finding.cause for finding in explain(dispute, rows)[1]}


@pytest.mark.slow(reason="thousands of replicates, drawn twice")
def test_refits_with_another_divisor(old_weighted: AuditCase) -> None:
    right = Native().answer(replace(old_weighted.question, versions={})).tables
    answer = {t: f for t, f in right.items() if t.startswith("boot")}
    assert refits(old_weighted, answer) == {"refit degrees of freedom"}
    # What the divisor does not move by so much is not blamed on it.
    wrong = {t: f * (1.0 + 1e-3) if t.endswith(".replicates") else f for t, f in answer.items()}
    assert "" in refits(old_weighted, wrong)


@pytest.mark.slow(reason="profiles a fit")
def test_a_profile_that_failed_in_r_and_one_that_failed_here() -> None:
    """R's interval of a fixed effect with weights ends where the deviance does not rise at all."""
    weighted, data = case("weighted"), audit_case("weighted").question.data
    mine = {"lmer_tight.confint_profile": fit_of("weighted").conf_int(method="profile")}
    theirs = {name: audit_case("weighted").recording.tables[name] for name in mine}

    def causes(answer: Tables, expected: Tables) -> set[str]:
        reference = Reference(
            "R", expected, lambda _t, _c: Tolerance(2e-5, "a spline"), partial=True
        )
        rows = compare("weighted", "rparity", answer, reference, list(expected))
        dispute = Dispute(
            CaseContext(weighted, weighted.parts, data), "rparity", "R", answer, expected
        )
        return {finding.cause for finding in explain(dispute, rows)[1]}

    assert causes(mine, theirs) == {"profile failed in R"}
    # An end of this package's own that is wrong is not excused by R's being wrong too.
    wrong = {name: table * (1.0 + 1e-3) for name, table in mine.items()}
    assert "" in causes(wrong, theirs)


def boot_table(fit: LmerResults, t: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "estimate": fit.params,
            "bias": t.mean() - fit.params,
            "std_error": t.std(ddof=1),
            "nsim": float(len(t)),
        }
    )


@pytest.mark.slow(reason="thousands of replicates, drawn twice")
def test_draws_of_its_own(weighted_boots: Tables) -> None:
    fit = fit_of("weighted")
    answer = {
        f"{name}.boot": boot_table(fit, bootmer(fit, 400, use_u, rng=77).t)
        for name, use_u in BOOTS.items()
    }
    causes = found("weighted", answer, against=weighted_boots)
    assert "Monte Carlo" in causes
    assert "Monte Carlo errors" in causes["Monte Carlo"][0].decisive.says
    biased = {t: f.assign(std_error=f["std_error"] * 1.5) for t, f in answer.items()}
    assert "Monte Carlo" not in found("weighted", biased, against=weighted_boots)


@pytest.mark.slow(reason="1,800 refits, of which 600 one by one")
def test_noise_scaled_by_weights() -> None:
    """Weights that differ by a thousand; R's noise, and this package's, ignores them."""
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(12), 8)
    data = pd.DataFrame({"x": rng.normal(size=96), "w": 10.0 ** rng.uniform(-3, 0, 96)})
    data["y"] = data["x"] + rng.normal(size=12)[g] + rng.normal(size=96) / np.sqrt(data["w"])
    data["g"] = pd.Categorical(g.astype(str))
    model = Lmer("lmer", formula="y ~ x + (1 | g)", weights="w")
    context = CaseContext(case("weighted"), [model, Boot("boot", of="lmer", use_u=False)], data)
    fit = context.lmer(model)
    u, e = rng.normal(size=(600, 12)), rng.normal(size=(600, 96))
    scale, noise = fit.sigma * fit.theta_hat[0], fit.sigma / np.sqrt(data["w"].to_numpy())
    fixed = fit.predict(include_random=False).to_numpy()
    refits = [fit.refit(fixed + scale * a[g] + noise * b).params for a, b in zip(u, e, strict=True)]
    right, scaled = bootmer(fit, 600, rng=1).t, pd.DataFrame(refits)

    def causes(replicates: pd.DataFrame) -> set[str]:
        answer = {"boot.boot": boot_table(fit, replicates)}
        known = {"boot.boot": boot_table(fit, right), "boot.replicates": right}
        reference = Reference("R", known, lambda _t, _c: BAR, partial=True)
        rows = compare("weighted", "planted", answer, reference, ["boot.boot"])
        return {f.cause for f in explain(Dispute(context, "planted", "R", answer, known), rows)[1]}

    assert causes(scaled) == {"noise scaled by prior weights"}
    assert causes(bootmer(fit, 600, rng=2).t) == {"Monte Carlo"}


def test_published_figures_that_are_rounded() -> None:
    subject = audit_case("document")
    answer = Published().answer_case(subject.case).tables
    printed = {t: f for t, f in answer.items() if t in proven("document")}
    known = {
        t: proven("document")[t].reindex(index=f.index, columns=f.columns)
        for t, f in printed.items()
    }
    causes = found("document", printed, engine="published", against=known)
    assert set(causes) == {"rounding of the published figure", "stopped early"}
    (early,) = causes["stopped early"]
    assert "36.87549 for the printed 36.87548" in early.decisive.says


def test_the_last_bit_of_the_data() -> None:
    coef = proven("filip")["lm.coef"]
    causes = found("filip", {"lm.coef": coef * (1.0 + 1e-11)})
    assert set(causes) == {"conditioning"}


# Bugs of no known cause ---------------------------------------------------------------------------


def scaled(table: str, column: str, factor: float) -> Callable[[dict[str, pd.DataFrame]], None]:
    def spoil(answer: dict[str, pd.DataFrame]) -> None:
        answer[table] = answer[table].assign(**{column: answer[table][column] * factor})

    return spoil


BUGS = {
    "standard errors a thousandth too large": scaled("lmer.coef", "std_error", 1.001),
    "standard errors a millionth too large": scaled("lmer.coef", "std_error", 1.0 + 1e-6),
    "estimates with the wrong sign": scaled("lmer.coef", "estimate", -1.0),
    "variances twice as large": scaled("lmer.varcorr", "vcov", 2.0),
    "a correlation or deviation halved": scaled("lmer.varcorr", "sdcor", 0.5),
    "log-likelihood without its constant": scaled("lmer.glance", "log_lik", 0.9),
    "AIC that counts half a parameter": scaled("lmer.glance", "aic", 1.0 + 1e-3),
    "random effects shrunk too much": scaled("lmer.ranef", "condval", 0.99),
    "their deviations too small": scaled("lmer.ranef", "condsd", 0.999),
    "residual quantiles unscaled": scaled("lmer.residual_quantiles", "value", 25.0),
    "Wald limits at 90 %": scaled("lmer.confint_wald", "conf_low", 0.84),
}


@pytest.mark.parametrize("bug", BUGS)
@pytest.mark.parametrize("name", ["document", "sleepstudy"])
def test_a_bug_of_no_known_cause_stays_unexplained(name: str, bug: str) -> None:
    answer = tables_at(fit_of(name))
    BUGS[bug](answer)
    causes = found(name, answer)
    assert "" in causes, causes


def test_a_bug_is_found_beside_an_early_stop() -> None:
    """The cause of one difference does not excuse another one."""
    fit = fit_of("sleepstudy")
    early = tables_at(fit.at(fit.theta_hat * 1.001))
    early["lmer.coef"] = early["lmer.coef"].assign(std_error=early["lmer.coef"]["std_error"] * 1.01)
    causes = found("sleepstudy", early)
    assert "stopped early" in causes
    assert any((finding.part == "lmer") for finding in causes[""])


def test_variances_far_from_the_optimum_are_no_early_stop() -> None:
    """A wrong bound, say: every formula holds, but the criterion is far above its minimum."""
    fit = fit_of("sleepstudy")
    causes = found("sleepstudy", tables_at(fit.at(fit.theta_hat * 0.6)))
    assert "stopped early" not in causes
    assert "" in causes


def test_parameters_alone_explain_nothing() -> None:
    """θ that is wrong in the fifth digit, while what is said to follow from it is right."""
    fit = fit_of("sleepstudy")
    right, early = tables_at(fit), tables_at(fit.at(fit.theta_hat * 1.00001))
    answer = right | {name: early[name] for name in ("lmer.theta", "lmer.varcorr")}
    answer["lmer.coef"] = right["lmer.coef"] * (1 + 1e-7)
    assert "stopped early" not in found("sleepstudy", answer)
