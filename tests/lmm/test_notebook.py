"""What notebooks show: fits, bootstraps and tests as HTML, plots, and random effects by group."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import lmm_recorded
import rparity
from places import DATA
from rparity.errors import DataError, FormulaError, UsageError
from rparity.lmm.bootstrap.bootmer import Replicates
from rparity.lmm.display.html import AnovaTable, frame_html
from rparity.lmm.display.plots import NAMED, zeta
from rparity.lmm.fit import LmerResults
from rparity.run import FAILURES_SHOWN, CaseRun, comparisons_html
from rparity.text import html_paragraph

# lme4's profiles and R's qqnorm(), made by r_scripts/profile_reference.R.
RECORDED = json.loads((DATA / "profile_reference.json").read_text())["models"]
NASTY = "<script>alert(1)</script>&\x1b"


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    g = np.repeat([f"g{i}" for i in range(12)], 10)
    x = np.tile(np.arange(10.0), 12)
    levels = np.repeat(rng.normal(size=(12, 2)), 10, axis=0)
    y = 5.0 + x + 2.0 * levels[:, 0] + 0.5 * x * levels[:, 1] + rng.normal(size=120)
    return pd.DataFrame({"y": y, "x": x, "g": g, "h": np.tile(["a", "b", "c"], 40), "w": x + 1.0})


@pytest.fixture(scope="module")
def fit(data: pd.DataFrame) -> LmerResults:
    return rparity.lmer("y ~ x + (x | g) + (1 | h)", data)


def cells(text: str) -> list[list[str]]:
    rows = re.findall("<tr>(.*?)</tr>", text, re.DOTALL)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]


# HTML -------------------------------------------------------------------------------------------


def test_a_mixed_model_shows_the_numbers_of_its_summary(fit: LmerResults) -> None:
    text = fit._repr_html_()
    summary = fit.summary().split()
    rows = {row[0]: row for row in cells(text)}
    for name in ("(Intercept)", "x"):
        assert len(rows[name]) == 4
        assert {cell.strip() for cell in rows[name]} <= set(summary)
    random = [row for row in cells(text) if len(row) == 5]
    assert [row[:2] for row in random] == [
        ["group", "name"],
        ["g", "(Intercept)"],
        ["g", "x"],
        ["h", "(Intercept)"],
        ["Residual", ""],
    ]
    assert random[2][4] in summary
    assert "120 observations; groups: g, 12; h, 3" in text


def test_a_linear_model_shows_its_coefficients(data: pd.DataFrame) -> None:
    fit = rparity.lm("y ~ x + h", data)
    rows = {row[0]: row[1:] for row in cells(fit._repr_html_())}
    for name, value in fit.params.items():
        assert float(rows[str(name)][0]) == pytest.approx(value, abs=1e-4)
    assert rows["x"][3].strip() == "&lt; 2e-16"


def test_a_bootstrap_shows_its_standard_errors(fit: LmerResults) -> None:
    boot = fit.boot(20, rng=1)
    rows = {row[0]: row[1:] for row in cells(boot._repr_html_())}
    assert float(rows["x"][2]) == pytest.approx(boot.std_errors["x"], rel=1e-6)
    assert "20 replicates" in boot._repr_html_()


def test_tests_are_frames_with_the_digits_of_r(fit: LmerResults, data: pd.DataFrame) -> None:
    small = rparity.lmer("y ~ 1 + (x | g)", data)
    for table in (rparity.anova(fit), rparity.anova(small, fit), rparity.ranova(fit)):
        assert isinstance(table, AnovaTable)
        assert type(table.iloc[:1]) is pd.DataFrame
        text = table._repr_html_()
        assert "nan" not in text.lower()
        assert len(cells(text)) == len(table) + 1


@pytest.mark.parametrize("p", [0.04321, 3e-9, 1e-20])
def test_probabilities_are_written_as_r_does(p: float) -> None:
    (row,) = cells(frame_html(pd.DataFrame({"p": [p]}, ["x"])))[1:]
    assert row[1] == {0.04321: "0.0432", 3e-9: "3e-09", 1e-20: "&lt;2e-16"}[p]


def test_names_are_shown_as_they_are() -> None:
    text = frame_html(pd.DataFrame({NASTY: [1.0]}, [NASTY]), NASTY)
    text += html_paragraph(NASTY)
    assert "<script" not in text
    assert "\x1b" not in text
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;&amp;") == 4


def test_a_run_shows_its_comparisons(run_of: Callable[[str], CaseRun]) -> None:
    run = run_of("norris")
    assert "Nothing fails." in run._repr_html_()
    rows = run.comparisons.assign(verdict="unexplained", digits=1.0)
    text = comparisons_html(rows, run.case.title)
    assert "What fails" in text
    assert f"and {len(rows) - FAILURES_SHOWN} more" in text
    assert "Nothing was compared." in comparisons_html(rows.iloc[:0])


# Random effects, weights ------------------------------------------------------------------------


def test_random_effects_by_group_are_those_of_the_table(fit: LmerResults) -> None:
    modes, sds, table = fit.ranef(), fit.ranef(condsd=True), fit.random_effects
    assert list(modes) == ["g", "h"]
    assert modes["g"].shape == (12, 2)
    assert list(modes["h"].index) == ["a", "b", "c"]
    for group, frame in modes.items():
        for name in frame:
            for level in frame.index:
                row = table.loc[f"{group}.{level}.{name}"]
                assert frame.loc[level, name] == row["condval"]
                assert sds[group].loc[level, name] == row["condsd"]


def test_two_terms_of_a_group_are_the_columns_of_one_frame(data: pd.DataFrame) -> None:
    fit = rparity.lmer("y ~ x + (x || g)", data)
    assert list(fit.ranef()["g"].columns) == ["(Intercept)", "x"]


@pytest.mark.parametrize("expression", ["w", "x + 1", "1 / w"])
def test_weights_and_offsets_are_expressions_of_columns(
    data: pd.DataFrame, expression: str
) -> None:
    values = data.eval(expression).to_numpy()
    for given in ("weights", "offset"):
        one, other = (
            rparity.lmer("y ~ x + (1 | g)", data, **{given: each}) for each in (expression, values)
        )
        assert one.criterion == other.criterion
        one, other = (rparity.lm("y ~ x", data, **{given: v}) for v in (expression, values))
        pd.testing.assert_series_equal(one.params, other.params, check_exact=True)


def test_weights_of_a_wrong_name_are_an_error(data: pd.DataFrame) -> None:
    with pytest.raises(FormulaError, match="wx"):
        rparity.lm("y ~ x", data, weights="wx")
    with pytest.raises(DataError, match="The weights `h` is not numeric"):
        rparity.lmer("y ~ x + (1 | g)", data, weights="h")


def test_a_missing_weight_drops_its_row(data: pd.DataFrame) -> None:
    data = data.assign(w=data["w"].where(data.index != 3))
    assert rparity.lm("y ~ x", data, weights="w").nobs == 119


# Plots ------------------------------------------------------------------------------------------


def drawn(figure: Figure, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the points of a panel."""
    (line,) = (one for one in figure.axes[axis].lines if one.get_marker() == "o")
    return np.asarray(line.get_xdata()), np.asarray(line.get_ydata())


def test_a_fit_draws_residuals_quantiles_and_random_effects(fit: LmerResults) -> None:
    figure = fit.plot()
    assert [axes.get_xlabel() for axes in figure.axes] == [
        "fitted value",
        "normal quantile",
        "random effect, intercept",
        "random effect, x",
        "random effect, intercept",
    ]
    assert [axes.get_title(loc="left") for axes in figure.axes] == list("abcde")
    fitted, residual = drawn(figure, 0)
    np.testing.assert_array_equal(residual, fit.scaled_resid)
    np.testing.assert_array_equal(fitted, fit.fittedvalues)
    normal, sorted_ = drawn(figure, 1)
    np.testing.assert_array_equal(sorted_, np.sort(fit.scaled_resid))
    np.testing.assert_allclose(normal, -normal[::-1], atol=1e-12)
    modes, at = drawn(figure, 3)
    frame = fit.ranef()["g"]["x"].sort_values()
    np.testing.assert_array_equal(modes, frame)
    assert [text.get_text() for text in figure.axes[3].get_yticklabels()] == list(frame.index)
    assert at.tolist() == list(range(12))


def test_no_text_lies_outside_a_figure_or_over_another(fit: LmerResults) -> None:
    figure = fit.plot()
    target = BytesIO()
    figure.savefig(target, format="png")
    assert target.getvalue() == target.getvalue()
    whole = figure.bbox
    boxes = []
    for axes in figure.axes:
        for text in (axes.xaxis.label, axes.yaxis.label, axes._left_title):
            box = text.get_window_extent()
            assert whole.x0 <= box.x0 <= box.x1 <= whole.x1
            assert whole.y0 <= box.y0 <= box.y1 <= whole.y1
            boxes.append(box)
    for i, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[:i])


def test_a_profile_passes_the_ends_of_the_interval(data: pd.DataFrame) -> None:
    """ζ is ±1.96 at the ends of the 95 % interval."""
    fit = rparity.lmer("y ~ x + (1 | g)", data)
    figure = fit.plot("profile")
    ends = fit.conf_int(method="profile")
    names = ["SD, g.(Intercept)", "residual SD", "(Intercept)", "x"]
    assert [axes.get_xlabel() for axes in figure.axes] == names
    for axes, (_, (low, high)) in zip(figure.axes, ends.iterrows(), strict=True):
        curve = next(line for line in axes.lines if len(line.get_xdata()) > 10)
        values, zeta = (np.asarray(each) for each in curve.get_data())
        assert (np.diff(values) > 0).all()
        assert (np.diff(zeta) > 0).all()
        np.testing.assert_allclose(np.interp([low, high], values, zeta), [-1.96, 1.96], atol=0.02)


@pytest.mark.parametrize("model", RECORDED, ids=lambda model: model["data"])
def test_zeta_and_quantiles_are_those_of_r(model: dict) -> None:
    """Near its minimum, ζ has half the digits of the deviance: √(2⁻⁵² · 1752) is 6e-7."""
    frame = lmm_recorded.frame(model["data"])
    fit = rparity.lmer(model["formula"], frame, REML=False, lme4="1.1-31")
    estimates = Replicates.of(fit, fit.solution_from_itself).everything.iloc[0]
    assert list(model["curves"]) == list(estimates.index)
    for name, curve in model["curves"].items():
        found = zeta(fit, name, estimates[name], np.array(curve["value"], dtype=float))
        np.testing.assert_allclose(found, curve["zeta"], rtol=0.0, atol=3e-6)
    normal, _ = drawn(fit.plot("quantiles"), 0)
    np.testing.assert_allclose(normal, model["quantiles"], rtol=1e-12, atol=1e-12)


def test_many_levels_have_no_names(data: pd.DataFrame) -> None:
    rng = np.random.default_rng(2)
    many = pd.DataFrame({"y": rng.normal(size=200), "g": np.repeat(np.arange(100), 2)})
    figure = rparity.lmer("y ~ 1 + (1 | g)", many.assign(y=many["y"] + many["g"])).plot(
        "random_effects"
    )
    assert figure.axes[0].get_yticks().size == 0 < NAMED


def test_a_linear_model_draws_weighted_residuals(data: pd.DataFrame) -> None:
    fit = rparity.lm("y ~ x", data.assign(w=np.where(data.index < 5, 0.0, data["w"])), weights="w")
    figure = fit.plot()
    fitted, residual = drawn(figure, 0)
    assert len(fitted) == len(residual) == 115
    assert float(residual @ residual) == pytest.approx(fit.df_resid, rel=1e-12)


def test_a_notebook_shows_a_figure_without_pyplot(fit: LmerResults) -> None:
    assert fit.plot("residuals")._repr_png_().startswith(b"\x89PNG")


def test_an_unknown_panel_is_an_error(fit: LmerResults, data: pd.DataFrame) -> None:
    with pytest.raises(UsageError, match="There is no panel 'resid': choose from residuals"):
        fit.plot("resid")
    with pytest.raises(UsageError, match="There is no panel 'profile'"):
        rparity.lm("y ~ x", data).plot("profile")


def test_names_with_dollar_signs_are_no_formulas(data: pd.DataFrame) -> None:
    fit = rparity.lmer("y ~ x + (1 | g)", data.assign(g="$\\frac$" + data["g"]))
    assert fit.plot("random_effects")._repr_png_()
