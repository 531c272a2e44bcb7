"""R's own engines: what they hand to R and make of its answer; and, live, what R answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rparity import lmer, paths
from rparity.audit.questions import question_of
from rparity.cases import case
from rparity.cases.base import LM_TABLES, LMER_TABLES, Boot, Case, Data, Lm, Lmer, Part
from rparity.compare import digits
from rparity.engines import kept_answers
from rparity.engines.base import R_ENGINES, Answer, Question, engine
from rparity.engines.r_models import RLm, RLme4, RLme4Tight, RModels, RNlme
from rparity.errors import RNotAvailableError
from rparity.files import sha256
from rparity.r.session import RSession
from rparity.r.version import RVersion

INTERCEPT = "y ~ x + (1 | g)"


def question(data: pd.DataFrame, *parts: Part) -> Question:
    return Question(Case("planted", "", "none.R", "none", 1, 2, (Data(), *parts), ()), 2, {}, data)


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    """Two nested factors, a crossed one, weights, an offset; levels with R's separators in them."""
    rng = np.random.default_rng(5)
    n = 400
    g = rng.integers(0, 8, n)
    h = g * 4 + rng.integers(0, 4, n)
    x, z = rng.normal(size=(2, n))
    u, v, w = rng.normal(size=(3, 8))
    y = 1 + x + u[g] + 0.7 * rng.normal(size=32)[h] + v[g] * x + 0.6 * w[g] * z
    return pd.DataFrame(
        {
            "y": y + rng.normal(size=n),
            "x": x,
            "z": z,
            "g": pd.Categorical([f"{i}/a" for i in g]),
            "h": pd.Categorical([f"L.{i}" for i in h]),
            "c": pd.Categorical(rng.choice(["u", "v", "w"], n)),
            "w": rng.uniform(0.5, 2, n),
            "o": rng.normal(size=n),
        }
    )


# Without R ---------------------------------------------------------------------------------------


class Recorded:
    """A session that answers each call as planted, and keeps what it was asked."""

    def __init__(self, value: Mapping[str, Any] | Exception, lme4: object = "1.1-31") -> None:
        self.value = value
        self.lme4 = lme4
        self.models: list[Any] = []

    def call(
        self, script: Path, function: str, arguments: Mapping[str, Any], **_: Any
    ) -> SimpleNamespace:
        if function == "provenance":
            versions = {"R": "4.2.2", "lme4": self.lme4, "nlme": "3.1-162"}
            return SimpleNamespace(value={"packages": pd.Series(versions)})
        coded = "contrasts" in arguments["model"] and "reml" in arguments["model"]
        asked = ("coded.R", "coded_answer") if coded else ("engines.R", "engine_answer")
        assert (script.name, function) == asked
        self.models.append({"engine": arguments["engine"], **arguments["model"]})
        if isinstance(self.value, Exception):
            raise self.value
        return SimpleNamespace(value=self.value)


def answer_of(who: type[RModels], value: Any, *parts: Part) -> tuple[Answer, list[Any]]:
    session = Recorded(value)
    answer = who(session).answer(question(pd.DataFrame({"y": [1.0]}), *parts))  # type: ignore[arg-type]
    return answer, session.models


def empty(*kinds: str) -> dict[str, Any]:
    return {"tables": {kind: pd.DataFrame({"v": [1.0]}, ["r"]) for kind in kinds}, "said": []}


def test_the_arguments_that_r_gets() -> None:
    mixed = Lmer("lmer", ("coef", "confint_profile"), formula="y ~ 1", reml=False, weights="w")
    _, (asked,) = answer_of(RLme4Tight, empty("coef"), mixed)
    assert asked == {
        "engine": "lme4-tight",
        "formula": "y ~ 1",
        "kinds": ["coef"],
        "reml": False,
        "weights": "w",
    }
    linear = Lm("lm", formula="y ~ p", contrasts={"p": "contr.sum"}, perfect=True)
    _, (asked,) = answer_of(RLm, empty(*LM_TABLES), linear)
    assert asked == {
        "engine": "lm",
        "formula": "y ~ p",
        "kinds": list(LM_TABLES),
        "contrasts": {"p": "contr.sum"},
        "perfect": True,
    }


def test_contrasts_of_a_mixed_model_are_set_by_a_script_of_their_own() -> None:
    session = Recorded(empty("coef"))
    found = RLme4(session)  # type: ignore[arg-type]
    coded = {"f": "contr.sum"}
    part = Lmer("lmer", ("coef",), formula="y ~ f + (1 | g)", contrasts=coded)
    found.answer(question(pd.DataFrame({"y": [1.0]}), part))
    assert session.models[0]["contrasts"] == coded
    scripts = ["tables.R", "models.R", "engines.R", "coded.R"]
    assert list(found.provenance["scripts"]) == scripts


def test_contrasts_of_a_factor_whose_effects_vary_are_a_gap() -> None:
    part = Lmer("lmer", ("coef",), formula="y ~ f + (f | g)", contrasts={"f": "contr.sum"})
    answer, asked = answer_of(RLme4, empty("coef"), part)
    assert "'f', which is also in a random term" in str(answer.gap("lmer.coef"))
    assert not asked


def test_messages_of_r_are_notes_and_refusals_are_gaps() -> None:
    part = Lmer("lmer", formula=INTERCEPT)
    answer, _ = answer_of(RLme4, empty(*LMER_TABLES) | {"said": "boundary\n(singular) fit"}, part)
    assert answer.notes == ("lmer: boundary (singular) fit",)
    assert not answer.gaps
    answer, _ = answer_of(RLme4, {"gap": "R error: no", "said": ["one", "two"]}, part)
    assert (answer.gap("lmer.coef"), dict(answer.tables)) == ("R error: no", {})
    assert answer.notes == ("lmer: one", "lmer: two")


def test_a_part_that_an_engine_of_r_does_not_know_is_a_gap() -> None:
    boot = Boot("boot", of="lmer", use_u=True)
    answer, asked = answer_of(RLm, empty(*LM_TABLES), Lmer("lmer", formula=INTERCEPT), boot)
    assert dict(answer.gaps) == dict.fromkeys(["lmer", "boot"], "lm has no counterpart")
    assert not asked


def test_tables_that_nlme_lacks_are_gaps_if_asked_for() -> None:
    answer, _ = answer_of(
        RNlme, empty(*LMER_TABLES), Lmer("m", ("coef", "glance"), formula="y ~ 1")
    )
    assert list(answer.gaps) == ["m.glance/*/df_residual"]
    every = Lmer("m", formula="y ~ 1")
    answer, _ = answer_of(RNlme, empty(*RNlme.kinds[Lmer]), every)
    assert "Student's t" in str(answer.gap("m.confint_wald"))


def test_a_missing_r_is_an_error_and_not_a_gap() -> None:
    part = Lmer("lmer", formula=INTERCEPT)
    with pytest.raises(RNotAvailableError, match=r"lme4 is not installed: install\.packages"):
        RLme4(Recorded(empty(), None)).answer(question(pd.DataFrame(), part))  # type: ignore[arg-type]


def test_provenance_has_the_scripts_and_the_optimizers() -> None:
    told = empty(*LMER_TABLES) | {"optimizer": {"optimizer": "nloptwrap", "evaluations": 43.0}}
    session = Recorded(told)
    found = RLme4(session)  # type: ignore[arg-type]
    found.answer(question(pd.DataFrame(), Lmer("lmer", formula=INTERCEPT)))
    scripts = {p.name: sha256(p.read_bytes()) for p in paths.r_scripts().glob("*.R")}
    names = ("tables.R", "models.R", "engines.R")
    assert found.provenance["scripts"] == {name: scripts[name] for name in names}
    assert found.provenance["optimizers"]["lmer"]["evaluations"] == 43.0
    session.value = {"gap": "R error: no", "said": []}
    found.answer(question(pd.DataFrame(), Lmer("lmer", formula=INTERCEPT)))
    assert found.provenance["optimizers"] == {}


@pytest.mark.parametrize("name", R_ENGINES)
def test_the_registry_has_rs_engines(name: str) -> None:
    assert engine(name).name == name


# Live --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def session() -> Iterator[RSession]:
    with RSession() as started:
        yield started


Ask = Callable[..., Answer]


@pytest.fixture
def ask(session: RSession, data: pd.DataFrame) -> Ask:
    def answer(who: type[RModels], *parts: Part) -> Answer:
        return who(session).answer(question(data, *parts))

    return answer


def least(mine: pd.DataFrame, theirs: pd.DataFrame) -> float:
    assert set(mine.index) == set(theirs.index)
    told = theirs.loc[mine.index, mine.columns]
    return float(digits(mine.to_numpy(), told.to_numpy()).min())


@pytest.mark.live
@pytest.mark.parametrize("name", R_ENGINES)
def test_live_r_agrees_with_the_kept_answers(session: RSession, name: str) -> None:
    who = {found.name: found for found in (RLme4, RLme4Tight, RNlme, RLm)}[name]
    now = RVersion.among(who(session).made_by["packages"])
    for problem in ("sleepstudy", "document", "dyestuff2", "pastes", "weighted", "filip"):
        asked = question_of(case(problem), paths.fixtures())
        kept, _ = kept_answers.read(paths.fixtures(), name, asked, now)
        today = who(session).answer(asked)
        assert (dict(today.gaps), list(today.notes)) == (kept.gaps, kept.notes)
        assert list(today.tables) == list(kept.tables)
        for table, mine in today.tables.items():
            size = 1e-6 * np.nanmax(np.abs(kept.tables[table].to_numpy()))
            np.testing.assert_allclose(mine, kept.tables[table], rtol=1e-6, atol=size)


BY_HAND = """
by_hand <- function(data) {
  fit <- nlme::lme(y ~ x + c, data, random = ~ x | g/h, weights = nlme::varFixed(~ I(1 / w)))
  list(
    b = unname(nlme::fixef(fit)), se = unname(summary(fit)$tTable[, "Std.Error"]),
    sigma = fit$sigma, log_lik = as.numeric(logLik(fit)), bic = BIC(fit),
    effects = unname(unlist(nlme::ranef(fit)[["h"]])),
    sd = suppressWarnings(as.numeric(nlme::VarCorr(fit)[, "StdDev"]))
  )
}
"""


@pytest.mark.live
def test_nlme_gives_the_bits_of_a_formula_typed_by_hand(
    session: RSession, data: pd.DataFrame, tmp_path: Path, ask: Ask
) -> None:
    script = tmp_path / "by_hand.R"
    script.write_text(BY_HAND)
    hand = session.call(script, "by_hand", {"data": data}).value
    tables = ask(RNlme, Lmer("m", formula="y ~ x + c + (x | g/h)", weights="w")).tables
    assert tables["m.coef"]["estimate"].tolist() == hand["b"].tolist()
    assert tables["m.coef"]["std_error"].tolist() == hand["se"].tolist()
    glance = tables["m.glance"].loc["1"]
    assert (glance["sigma"], glance["log_lik"]) == (hand["sigma"], hand["log_lik"])
    assert glance["bic"] == hand["bic"]
    inner = tables["m.ranef"].filter(regex=r"^h:g\.", axis=0)["condval"]
    np.testing.assert_array_equal(np.sort(inner), np.sort(hand["effects"]))
    sds = tables["m.varcorr"].filter(regex=r"(Intercept\)|x|Residual)$", axis=0)["sdcor"]
    told = hand["sd"][np.isfinite(hand["sd"])]
    for name in ("g.(Intercept)", "g.x", "h:g.(Intercept)", "h:g.x", "Residual"):
        assert np.abs(told / sds[name] - 1).min() < 1e-6


FORMULAS = [
    "y ~ x + (x | g)",
    "y ~ x + (x || g) + (1 | h)",
    "y ~ x + (x | g) + (0 + z | g) + (1 | h)",
    "y ~ poly(x, 2) * c + (1 | g/h)",
    "y ~ x + offset(o) + (1 | g)",
    "log(abs(y)) ~ scale(x) + (1 | h)",
]


@pytest.mark.live
@pytest.mark.parametrize("weights", [None, "w"])
@pytest.mark.parametrize("formula", FORMULAS)
def test_nlme_answers_under_lme4s_names_and_by_its_formulas(
    ask: Ask, data: pd.DataFrame, formula: str, weights: str | None
) -> None:
    parts = [Lmer(n, formula=formula, reml=n == "m", weights=weights) for n in ("m", "m_ml")]
    nlme, tight = ask(RNlme, *parts), ask(RLme4Tight, *parts)
    n = len(data)
    for part in parts:
        mine = {k: nlme.tables[f"{part.name}.{k}"].copy() for k in RNlme.kinds[Lmer]}
        p = len(mine["coef"])
        if part.reml:
            m = len(mine["theta"])
            mine["glance"]["bic"] += (m + p + 1) * (np.log(n) - np.log(n - p))
        else:
            mine["coef"]["std_error"] *= np.sqrt((n - p) / n)
            mine["coef"]["statistic"] /= np.sqrt((n - p) / n)
        for kind, table in mine.items():
            theirs = tight.tables[f"{part.name}.{kind}"]
            assert set(table.index) == set(theirs.index)
            told = theirs.loc[table.index, table.columns]
            size = 1e-3 * float(np.abs(theirs.to_numpy()).max())
            np.testing.assert_allclose(table, told, rtol=1e-3, atol=size, err_msg=kind)
        # lme() stops early, where the criterion is flat.
        assert (
            least(mine["glance"][["log_lik", "aic", "bic"]], tight.tables[f"{part.name}.glance"])
            > 9
        )


@pytest.mark.live
def test_models_that_nlme_cannot_express_or_fit(ask: Ask) -> None:
    crossed = Lmer("crossed", formula="y ~ x + (1 | c) + (1 | g)")
    slopes = Lmer("slopes", formula="y ~ x + (c | g)")
    fine = Lmer("fine", formula=INTERCEPT)
    answer = ask(RNlme, crossed, slopes, fine)
    assert answer.gap("crossed.coef") == (
        "crossed random effects (c and g): lme() has nested ones only"
    )
    assert "R error: nlminb problem, convergence error code = 1" in str(answer.gap("slopes.coef"))
    assert "fine.coef" in answer.tables


@pytest.mark.live
def test_a_model_that_r_cannot_fit_is_a_gap_with_rs_message(ask: Ask) -> None:
    answer = ask(
        RLme4, Lmer("none", formula="y ~ nobody + (1 | g)"), Lmer("fine", formula=INTERCEPT)
    )
    assert answer.gap("none.coef") == "R error: object 'nobody' not found"
    assert "fine.coef" in answer.tables
    assert "nobody" in str(ask(RLm, Lm("none", formula="y ~ nobody")).gap("none.glance"))


@pytest.mark.live
def test_r_stays_up_from_one_question_to_the_next(session: RSession, ask: Ask) -> None:
    ask(RLme4, Lmer("m", formula=INTERCEPT))
    pid = session.pid
    for who in (RNlme, RLme4Tight, RLme4):
        ask(who, Lmer("m", formula=INTERCEPT))
    assert session.pid == pid


@pytest.mark.live
def test_lme4_agrees_with_ours(ask: Ask, data: pd.DataFrame) -> None:
    formula = "y ~ x + offset(o) + (x | g)"
    tables = ask(RLme4Tight, Lmer("m", formula=formula, weights="w")).tables
    fit = lmer(formula, data, weights=data["w"])
    np.testing.assert_allclose(tables["m.theta"]["value"], fit.theta, rtol=1e-5)
    np.testing.assert_allclose(tables["m.coef"]["std_error"], fit.bse, rtol=1e-6)


@pytest.mark.live
def test_contrasts_and_perfect_fits_of_lm(ask: Ask) -> None:
    sums = ask(RLm, Lm("m", formula="y ~ c", contrasts={"c": "contr.sum"})).tables["m.coef"]
    assert list(sums.index) == ["(Intercept)", "c1", "c2"]
    perfect = ask(RLm, Lm("m", ("coef",), formula="x ~ x", perfect=True))
    assert list(perfect.tables["m.coef"].columns) == ["estimate"]


@pytest.mark.live
def test_without_r_the_engine_says_so(data: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("R_HOME", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(RNotAvailableError, match="R is not installed"):
        RLme4().answer(question(data, Lmer("m", formula=INTERCEPT)))
