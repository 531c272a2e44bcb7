"""An unexplained difference as an R script and a Python script."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from rparity.compare import Tables
from rparity.fuzz.judge import FuzzResult
from rparity.fuzz.problem import PART, Problem

SHOWN = {
    "coef": ("coef(summary(fit))", "pd.DataFrame({'Estimate': fit.params, 'Std. Error': fit.bse})"),
    "vcov": ("as.matrix(vcov(fit))", "fit.cov_params()"),
    "varcorr": ("as.data.frame(VarCorr(fit))", "fit.varcorr"),
    "theta": ('getME(fit, "theta")', "fit.theta"),
    "ranef": ("as.data.frame(ranef(fit, condVar = TRUE))", "fit.random_effects"),
    "glance": (
        "c(sigma = sigma(fit), logLik = as.numeric(logLik(fit)))",
        "{'sigma': fit.sigma, 'logLik': fit.llf}",
    ),
    "residual_quantiles": (
        'quantile(residuals(fit, type = "pearson", scaled = TRUE))',
        "np.quantile(fit.scaled_resid, [0, 0.25, 0.5, 0.75, 1])",
    ),
    "confint_wald": ('confint(fit, method = "Wald")', "fit.conf_int()"),
}
ALWAYS = ("theta", "glance")


def write(
    folder: Path, name: str, problem: Problem, judged: FuzzResult, says: Sequence[str]
) -> Path:
    """Write `NAME.R` and `NAME.py`, and return their path without the extension."""
    kinds = [kind for kind in SHOWN if kind in judged.open or kind in ALWAYS]
    for ending, text in (("R", r_script), ("py", python_script)):
        written = text(problem, kinds, "\n".join(says))
        (folder / f"{name}.{ending}").write_text(written, encoding="utf-8")
    return folder / name


def r_script(problem: Problem, kinds: list[str], says: str) -> str:
    """Return the script for `Rscript --vanilla`."""
    part = problem.part
    columns = [f"  {name} = {_r(problem.data[name])}" for name in problem.data]
    arguments = [part.formula, "data", f"REML = {str(part.reml).upper()}"]
    arguments += ["weights = w"] if part.weights else []
    if part.contrasts:
        coded = ", ".join(f'{name} = "{each}"' for name, each in part.contrasts.items())
        arguments.append(f"contrasts = list({coded})")
    return "\n".join(
        [
            *(f"# {line}" for line in says.splitlines()),
            "library(lme4)",
            "data <- data.frame(",
            ",\n".join(columns),
            ")",
            f"fit <- lmer({', '.join(arguments)})",
            *(f"print({SHOWN[kind][0]}, digits = 15)" for kind in kinds),
            "",
        ]
    )


def python_script(problem: Problem, kinds: list[str], says: str) -> str:
    """Return the script for Python with rparity."""
    part = problem.part
    columns = [f'        "{name}": {_python(problem.data[name])},' for name in problem.data]
    arguments = [f'"{part.formula}"', "data", f"REML={part.reml}"]
    arguments += ['weights=data["w"]'] if part.weights else []
    arguments += [f"contrasts={dict(part.contrasts)!r}"] if part.contrasts else []
    return "\n".join(
        [
            *(f"# {line}" for line in says.splitlines()),
            "import numpy as np",
            "import pandas as pd",
            "",
            "import rparity",
            "",
            'pd.set_option("display.precision", 15)',
            "data = pd.DataFrame(",
            "    {",
            *columns,
            "    }",
            ")",
            f"fit = rparity.lmer({', '.join(arguments)})",
            *(f"print({SHOWN[kind][1]})" for kind in kinds),
            "",
        ]
    )


def _r(values: pd.Series) -> str:
    if isinstance(values.dtype, pd.CategoricalDtype):
        levels = ", ".join(f'"{level}"' for level in values.cat.categories)
        codes = ", ".join("NA" if code < 0 else f"{code + 1}L" for code in values.cat.codes)
        return f"factor(c({codes}), {_from_one(values)}, c({levels}))"
    return f"c({', '.join('NA' if pd.isna(x) else f'{x:.17g}' for x in values)})"


def _from_one(values: pd.Series) -> str:
    return f"1:{len(values.cat.categories)}"


def _python(values: pd.Series) -> str:
    if isinstance(values.dtype, pd.CategoricalDtype):
        codes, levels = values.cat.codes.tolist(), values.cat.categories.tolist()
        return f"pd.Categorical.from_codes({codes}, {levels})"
    return f"[{', '.join('np.nan' if pd.isna(x) else repr(float(x)) for x in values)}]"


def arbitrate(problem: Problem, tables: Tables) -> str:
    """Say how near R's `tables` and this package's are to the arbiter's, or why it has none."""
    from rparity.compare import digits
    from rparity.engines.base import Question
    from rparity.engines.exact import Exact
    from rparity.errors import RparityError

    try:
        exact = Exact().answer(Question(problem.complete.case, 2, {}, problem.complete.data))
    except RparityError as error:
        return f"The arbiter: {error}"
    name = f"{PART}.coef"
    if name not in exact.tables or name not in tables:
        return f"The arbiter: {'; '.join(exact.gaps.values())}"
    reference = exact.tables[name]["estimate"]
    mine, theirs = (
        float(digits(side[name]["estimate"].reindex(reference.index), reference).min())
        for side in (problem.tables, tables)
    )
    return f"Against the arbiter's estimates rparity has {mine:.1f} digits, R {theirs:.1f}."
