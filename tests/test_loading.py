"""Which modules commands load: what a command does not need, it does not pay for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import rparity
from few import mostly_slow


def modules_after(code: str, *, whole: bool = False) -> set[str]:
    """Return the top-level modules, or with `whole` all, that a new process loads for some code."""
    tree = Path(rparity.__file__).parents[1]
    name = "name" if whole else "name.partition('.')[0]"
    report = f"print('MODULES', *{{{name} for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tree)!r})\n{code}\n{report}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.rpartition("MODULES")[2].split())


AUDITED = {"mixedlm", "kamino", "interlace", "pymmeans", "gpboost", "pyfixest", "linearmodels"}
EXTRAS = AUDITED | {"rpy2", "matplotlib", "nlopt", "flint", "jinja2", "dask", "mpmath", "pytest"}
EXTRAS |= {"cryptography", "emcee"}


def test_help_loads_no_numpy() -> None:
    code = (
        "from rparity.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as left: assert not left.code"
    )
    loaded = modules_after(code)
    assert "rparity" in loaded
    assert not loaded & (EXTRAS | {"numpy", "pandas", "scipy", "statsmodels", "rich"})


@pytest.mark.parametrize(
    "command",
    mostly_slow(
        ["list", "atlas wilcox.test"],
        lambda command: command.startswith("atlas"),
        "a process that verifies all recordings",
    ),
)
def test_commands_that_only_read_load_no_estimators(command: str) -> None:
    code = f"from rparity.cli import main\nassert main({command.split()}) == 0"
    loaded = modules_after(code, whole=True)
    assert "rparity.report.terminal" in loaded
    assert not loaded & {"scipy", "statsmodels", "rparity.lmm.fit", "rparity.run", *EXTRAS}


@pytest.mark.slow(reason="a process that runs the document")
def test_a_run_loads_only_what_it_needs() -> None:
    """Optimizers take longer to import than the document's fits to compute, profile included.

    Cases that come later and results for machines are loaded by commands that need them.
    """
    code = "from rparity.cli import main\nassert main(['run', 'document', '--nsim', '2']) < 2"
    loaded = modules_after(code, whole=True)
    assert {"rparity.lmm.profile", "rparity.cases.document"} <= loaded
    unused = {"scipy.optimize", "scipy.stats", "scipy.integrate", "scipy.sparse.csgraph"}
    unused |= {f"rparity.cases.{name}" for name in ("streams", "lme4", "fixed_effects", "nist")}
    unused |= {"rparity.report.results", "rparity.audit", "statsmodels", "narwhals"}
    unused -= modules_after("import scipy.sparse", whole=True)  # SciPy 1.15 loads csgraph with it
    assert not loaded & (unused | EXTRAS)


def test_a_fit_loads_no_distributions() -> None:
    """They take as long to import as numpy, and only tests and intervals need them."""
    code = (
        "import rparity\n"
        "data = rparity.document_data(1)\n"
        "rparity.lmer('y ~ x + (1 | p)', data).summary()"
    )
    loaded = modules_after(code, whole=True)
    assert "rparity.lmm.numbers.distributions" in loaded
    assert not loaded & {"scipy.special", "scipy.stats", "statsmodels", *EXTRAS}


def test_the_plugin_loads_next_to_nothing() -> None:
    loaded = modules_after("import pytest\nimport rparity.pytest_plugin", whole=True)
    assert {name for name in loaded if name.startswith("rparity.")} == {
        "rparity.errors",
        "rparity.parity",
        "rparity.parity.session",
        "rparity.pytest_plugin",
        "rparity.r",
        "rparity.text",
    }
    assert not loaded & {"numpy", "pandas", "scipy", "statsmodels", "rich"}


def test_import_loads_no_extras() -> None:
    """test_packaging.py tests the same for `rparity run`."""
    assert not modules_after("import rparity") & (EXTRAS | {"numpy", "pandas"})


def test_the_command_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rparity.cli", "--version"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(rparity.__file__).parents[1],
    )
    assert (done.returncode, done.stdout) == (0, f"rparity {rparity.__version__}\n")
