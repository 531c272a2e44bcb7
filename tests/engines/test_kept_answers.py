"""Recorded answers of engines: all bits are kept, other questions are refused, all are there."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from few import mostly_slow
from folders import reseal
from rparity import files, paths
from rparity.audit.questions import has_data, question_of
from rparity.cases import case, cases
from rparity.cases.base import Case, Data, Lm, Lmer, Part
from rparity.cases.nist import certified
from rparity.cli import main
from rparity.commands import AGREE, DISCREPANCY, UNUSABLE
from rparity.compare import Tables
from rparity.doctor import examine
from rparity.engines import kept_answers
from rparity.engines.base import KEPT_ENGINES, Answer, Question
from rparity.engines.native import fitted, lmer_tables
from rparity.errors import RecordingError, UsageError
from rparity.r.version import PROVEN
from rparity.recordings import Recording
from rparity.regenerate import drift

WITH_DATA = [name for name, known in cases().items() if has_data(known)]
FEW = (
    "document",
    "document_tests",
    "filip",
    "hard",
    "norris",
    "penicillin",
    "sleepstudy",
    "smls07",
)
WHY = "the same claim about one more case"


def is_one_of_few(name: str) -> bool:
    return name in FEW


MADE = {"command": "a test", "time": "2020-01-01T00:00:00Z"}
SPECIAL = [0.0, -0.0, np.nan, np.inf, 5e-324, np.finfo(float).max, 0.1, 1 / 3, 2.0**53 + 2]

Capture = pytest.CaptureFixture[str]


@dataclass
class Planted:
    """An engine with the attributes that a test needs."""

    name: str = "lme4"
    provenance: dict[str, Any] = field(
        default_factory=lambda: {"made_by": {"packages": {}}, "scripts": {}}
    )
    decimals: Tables = field(default_factory=dict)

    def expected(self, part: Part) -> tuple[str, ...]:
        return part.tables

    def answer(self, question: Question) -> Answer:
        raise NotImplementedError


def question(data: pd.DataFrame, *parts: Part) -> Question:
    asked = parts or (Lmer("lmer", formula="y ~ x + (1 | g)"), Lm("lm", formula="y ~ x"))
    case = Case("planted", "", "none.R", "none", 1, 2, (Data(), *asked), ())
    return Question(case, 2, {}, data)


@pytest.fixture
def data() -> pd.DataFrame:
    return pd.DataFrame(
        {"y": [1.0, 2.5, 3.0], "x": [0.1, 0.2, 0.3], "g": pd.Categorical(["a", "a", "b"])}
    )


def bits(table: pd.DataFrame) -> list[bytes]:
    values = table.to_numpy(dtype=np.float64).ravel()
    return [b"nan" if np.isnan(value) else value.tobytes() for value in values]


# What is written is read ------------------------------------------------------------------------


def test_an_answer_is_read_to_the_bit_with_its_gaps_and_remarks(
    tmp_path: Path, data: pd.DataFrame
) -> None:
    names = ["(Intercept)", "a,b", 'a"b', "a\nb", "NA", "σ² x", " y ", "1", "g.a.x"]
    tables = {
        "lmer.coef": pd.DataFrame({"estimate": SPECIAL, "std_error": SPECIAL[::-1]}, names),
        "lm.vcov": pd.DataFrame([[1 / 7, 2.0], [2.0, np.nan]], ["b", "a"], ["b", "a"]),
    }
    gaps = {"lmer.glance/*/aic": "it has none", "boot": "no counterpart"}
    given = Answer(tables, gaps, ("lmer: singular",))
    kept_answers.write(tmp_path, Planted(), question(data), given, MADE)
    read, provenance = kept_answers.read(tmp_path, "lme4", question(data))
    assert list(read.tables) == list(tables)
    for name, table in tables.items():
        assert list(read.tables[name].index) == list(table.index)
        assert list(read.tables[name].columns) == list(table.columns)
        assert bits(read.tables[name]) == bits(table)
    assert (read.gaps, read.notes) == (gaps, ["lmer: singular"])
    assert provenance["command"] == "a test"


def test_the_same_answer_is_the_same_bytes(tmp_path: Path, data: pd.DataFrame) -> None:
    answer = Answer({"lm.coef": pd.DataFrame({"estimate": [1 / 3]}, ["x"])})
    for root in ("one", "two"):
        kept_answers.write(tmp_path / root, Planted(), question(data), answer, MADE)
    one, two = (sorted((tmp_path / root).rglob("*.*")) for root in ("one", "two"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    assert [path.name for path in one] == ["answer.csv", "provenance.json"]


def test_long_tables_are_gaps(tmp_path: Path, data: pd.DataFrame) -> None:
    tables = {
        name: pd.DataFrame({"condval": np.zeros(rows)}, [str(i) for i in range(rows)])
        for name, rows in (
            ("lmer.ranef", kept_answers.MOST_ROWS + 1),
            ("lmer_ml.ranef", kept_answers.MOST_ROWS),
        )
    }
    kept_answers.write(tmp_path, Planted(), question(data), Answer(tables), MADE)
    read, _ = kept_answers.read(tmp_path, "lme4", question(data))
    assert list(read.tables) == ["lmer_ml.ranef"]
    assert read.gap("lmer.ranef", "1", "condval") == "201 rows: up to 200 are kept"


# What is refused ---------------------------------------------------------------------------------


def a_ulp_more(data: pd.DataFrame) -> Question:
    return question(data.assign(x=[0.1, np.nextafter(0.2, 1), 0.3]))


OTHERS: dict[str, tuple[Callable[[pd.DataFrame], Question], str]] = {
    "a value by one ulp": (a_ulp_more, "data"),
    "the name of a column": (lambda d: question(d.rename(columns={"x": "z"})), "data"),
    "the name of a level": (
        lambda d: question(d.assign(g=d["g"].cat.rename_categories({"a": "c"}))),
        "data",
    ),
    "the order of levels": (
        lambda d: question(d.assign(g=pd.Categorical(d["g"], ["b", "a"]))),
        "data",
    ),
    "data that are decimals": (
        lambda d: replace(
            question(d),
            case=replace(question(d).case, parts=(Data(decimal=True), *question(d).case.parts[1:])),
        ),
        "data",
    ),
    "ML": (
        lambda d: question(
            d, Lmer("lmer", formula="y ~ x + (1 | g)", reml=False), Lm("lm", formula="y ~ x")
        ),
        "lmer",
    ),
    "a formula": (
        lambda d: question(
            d, Lmer("lmer", formula="y ~ x + (1 | g)"), Lm("lm", formula="y ~ 0 + x")
        ),
        "lm",
    ),
    "contrasts": (
        lambda d: question(
            d,
            Lmer("lmer", formula="y ~ x + (1 | g)"),
            Lm("lm", formula="y ~ x", contrasts={"g": "contr.sum"}),
        ),
        "lm",
    ),
    "a perfect fit": (
        lambda d: question(
            d,
            Lmer("lmer", formula="y ~ x + (1 | g)"),
            Lm("lm", formula="y ~ x", perfect=True),
        ),
        "lm",
    ),
    "fewer tables": (
        lambda d: question(
            d, Lmer("lmer", ("coef",), formula="y ~ x + (1 | g)"), Lm("lm", formula="y ~ x")
        ),
        "lmer",
    ),
    "one model fewer": (
        lambda d: question(d, Lmer("lmer", formula="y ~ x + (1 | g)")),
        "lm",
    ),
}


@pytest.mark.parametrize("what", OTHERS)
def test_an_answer_to_another_question_is_stale(
    tmp_path: Path, data: pd.DataFrame, what: str
) -> None:
    kept_answers.write(tmp_path, Planted(), question(data), Answer({}), MADE)
    kept_answers.read(tmp_path, "lme4", question(data))
    ask, named = OTHERS[what]
    with pytest.raises(RecordingError) as error:
        kept_answers.read(tmp_path, "lme4", ask(data))
    assert str(error.value) == (
        "The answer of lme4 to 'planted' is stale: it was given to another question, of other "
        f"{named}; run `rparity regenerate --engine lme4 planted`."
    )


def test_an_answer_by_other_scripts_is_stale(tmp_path: Path, data: pd.DataFrame) -> None:
    script = (paths.r_scripts() / "engines.R").read_bytes()
    for content, stale in ((script, False), (script + b"\n", True)):
        by = Planted()
        by.provenance["scripts"] = {"engines.R": files.sha256(content)}
        kept_answers.write(tmp_path, by, question(data), Answer({}), MADE)
        if stale:
            with pytest.raises(RecordingError, match=r"engines\.R has changed"):
                kept_answers.read(tmp_path, "lme4", question(data))
        else:
            kept_answers.read(tmp_path, "lme4", question(data))


@pytest.mark.parametrize("file", ["answer.csv", "certified.csv", "provenance.json"])
def test_an_edited_answer_is_refused(tmp_path: Path, data: pd.DataFrame, file: str) -> None:
    table = pd.DataFrame({"estimate": [1.25]}, ["x"])
    by = Planted("exact", decimals={"lm.coef": table.map(str)})
    kept_answers.write(
        tmp_path, by, question(data), Answer({"lm.coef": table}, {"lm": "1.25"}), MADE
    )
    path = kept_answers.folder(tmp_path, "exact") / "planted" / PROVEN / file
    path.write_text(path.read_text().replace("1.25", "1.75"))
    with pytest.raises(RecordingError, match=f"{file} is corrupt.*--engine exact planted"):
        kept_answers.read(tmp_path, "exact", question(data))


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("answer.csv", ""),
        ("answer.csv", "table,row,column,value\n"[:-7] + "\n"),
        ("answer.csv", "table,row,column,value\nlm.coef,x,estimate\n"),
        ("answer.csv", "table,row,column,value\nlm.coef,x,estimate,many\n"),
        ("answer.csv", "table,row,column,value\nlm.coef,x,estimate,1\nlm.coef,z,error,1\n"),
        ("answer.csv", "\0"),
        ("certified.csv", ""),
        ("certified.csv", "table,row\nlm.coef,x,estimate,1.25\n"),
        ("provenance.json", '{"gaps": []}'),
        ("provenance.json", '{"remarks": 1}'),
        ("provenance.json", '{"asked": 1}'),
        ("provenance.json", '{"asked": {"data": 1}}'),
        ("provenance.json", '{"asked": [1, null]}'),
        ("provenance.json", '{"made_by": {"packages": []}}'),
        ("provenance.json", '{"time": null}'),
    ],
)
def test_garbage_with_a_valid_digest_is_refused_with_a_message(
    tmp_path: Path, data: pd.DataFrame, file: str, text: str
) -> None:
    table = pd.DataFrame({"estimate": [1.25]}, ["x"])
    by = Planted("exact", decimals={"lm.coef": table.map(str)})
    kept_answers.write(tmp_path, by, question(data), Answer({"lm.coef": table}), MADE)
    folder = kept_answers.folder(tmp_path, "exact") / "planted" / PROVEN
    if file.endswith(".csv"):
        (folder / file).write_text(text)
        reseal(folder)
    else:
        reseal(folder, lambda made: made.update(json.loads(text)))
    read = (
        kept_answers.certified
        if file == "certified.csv"
        else partial(kept_answers.read, name="exact")
    )
    with pytest.raises(RecordingError, match="run `rparity regenerate --engine exact planted`"):
        read(tmp_path, question=question(data))


def test_a_missing_answer_names_the_command(tmp_path: Path, data: pd.DataFrame) -> None:
    for made in (False, True):
        if made:
            kept_answers.folder(tmp_path, "nlme").mkdir(parents=True)
        with pytest.raises(RecordingError, match="run `rparity regenerate --engine nlme planted`"):
            kept_answers.read(tmp_path, "nlme", question(data))


def test_an_engine_whose_answers_are_not_recorded() -> None:
    with pytest.raises(UsageError, match=r"No answers of 'rparity' are recorded: .*lme4-tight"):
        kept_answers.recorded_engine("rparity")


# Those there are ---------------------------------------------------------------------------------


@cache
def asked(name: str) -> Question:
    return question_of(cases()[name], paths.fixtures())


@cache
def kept(engine: str, name: str) -> Answer:
    return kept_answers.read(paths.fixtures(), engine, asked(name))[0]


@pytest.mark.parametrize(
    "name",
    mostly_slow(
        WITH_DATA,
        is_one_of_few,
        WHY,
    ),
)
def test_every_engine_has_answered_every_case(name: str) -> None:
    for engine in KEPT_ENGINES:
        answer = kept(engine, name)
        for part in asked(name).case.parts:
            for table in kept_answers.recorded_engine(engine).expected(part):
                assert (table in answer.tables) != bool(answer.gap(table)), (engine, table)
        assert all(answer.gaps.values())
    models = [part for part in asked(name).case.parts if isinstance(part, Lmer | Lm)]
    for part in models:
        for who in ("lme4", "lme4-tight") if isinstance(part, Lmer) else ("lm",):
            assert f"{part.name}.coef" in kept(who, name).tables


# The last bits of lme4's crossed factors differ from process to process, on one machine: sums begin
# where memory is aligned. What its optimizer makes of that has six digits.
VARIES = ("penicillin",)


def of_the_case(tables: Tables, engine: str, table: str) -> pd.DataFrame | None:
    """Return R's answer to the same question in the recording of the case."""
    part, kind = table.split(".")
    if "lmer_raw.coef" in tables and engine != "lm":  # there `lmer` is of the centred response
        return tables.get(f"lmer_raw.{kind}") if (engine, part) == ("lme4", "lmer") else None
    return tables.get(f"{part}{'_tight' if engine == 'lme4-tight' else ''}.{kind}")


@pytest.mark.parametrize("name", mostly_slow(WITH_DATA, is_one_of_few, WHY))
def test_answers_of_r_equal_those_recorded_for_the_case(
    name: str, recorded: dict[str, Recording]
) -> None:
    compared = 0
    for engine in ("lme4", "lme4-tight", "lm"):
        for table, mine in kept(engine, name).tables.items():
            theirs = of_the_case(recorded[name].tables, engine, table)
            if theirs is None:
                continue
            compared += 1
            assert list(mine.index) == list(theirs.index)
            assert list(mine.columns) == list(theirs.columns)
            if name in VARIES:
                size = float(np.nanmax(np.abs(theirs.to_numpy())))
                np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-6 * size)
            else:
                assert bits(mine) == bits(theirs), (engine, table)
    assert compared


@pytest.mark.parametrize("name", mostly_slow(WITH_DATA, is_one_of_few, WHY))
def test_the_arbiters_doubles_are_its_decimals_rounded(name: str) -> None:
    found = (
        kept_answers.certified(paths.fixtures(), asked(name))
        if kept("exact", name).tables
        else None
    )
    if found is None:
        assert name == "insteval"
        return
    tables = kept("exact", name).tables
    assert len(found) == sum(table.size for table in tables.values())
    for table, row, column, text in found.itertuples(index=False):
        value = tables[table].loc[row, column]
        assert text == "nan" if np.isnan(value) else float(text) == value, (table, row, column)
        assert len(Decimal(text).as_tuple().digits) <= 20 or text == "nan"


@pytest.mark.parametrize("problem", sorted(certified()))
def test_the_arbiter_has_every_digit_that_nist_certifies(problem: str) -> None:
    """Compare the decimals, since the data of SmLs07 to 09 differ as doubles."""
    name = problem.lower()
    found = kept_answers.certified(paths.fixtures(), asked(name))
    values = found.set_index(["table", "row", "column"])["value"]
    for table, rows in certified()[problem].items():
        part, kind = table.split(".")
        for row, cells in rows.items():
            for column, text in cells.items():
                found_text = values[f"{part.removesuffix('_loose')}_decimal.{kind}", row, column]
                printed = Decimal(text)
                unit = Decimal(1).scaleb(int(printed.as_tuple().exponent))
                assert abs(Decimal(found_text) - printed) <= unit / 2, (table, row, column)


# The command -------------------------------------------------------------------------------------


@pytest.fixture
def fixtures(tmp_path: Path) -> Path:
    root = tmp_path / "fixtures"
    for name in ("dyestuff2", "filip"):
        shutil.copytree(paths.fixtures() / name, root / name)
    return root


@pytest.mark.parametrize(
    "name",
    mostly_slow(
        ["dyestuff2", "filip"], lambda name: name == "dyestuff2", "proves a polynomial of degree 10"
    ),
)
def test_check_confirms_what_regenerate_writes(
    fixtures: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1500000000")
    command = ["regenerate", name, "--engine", "exact", "--fixtures", str(fixtures)]
    folder = kept_answers.folder(fixtures, "exact") / name / PROVEN
    written = []
    for _ in range(2):
        assert main(command) == AGREE
        written.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert written[0] == written[1]
    there = kept_answers.folder(paths.fixtures(), "exact") / name / PROVEN
    for file in ("answer.csv", "certified.csv"):
        assert written[0][file] == (there / file).read_bytes()
    capsys.readouterr()
    assert main([*command, "--check"]) == AGREE
    out = capsys.readouterr().out
    assert "today's exact against the recording" in out
    assert re.search(r"lmer\.theta +1 +15\.9" if name == "dyestuff2" else "lm_decimal", out)


def test_check_sees_one_ulp_in_a_proven_value(
    fixtures: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = question_of(cases()["dyestuff2"], fixtures)
    exact = kept_answers.recorded_engine("exact")
    answer = exact.answer(question)
    tables = dict(answer.tables)
    tables["lmer.coef"] = np.nextafter(tables["lmer.coef"], np.inf)
    kept_answers.write(fixtures, exact, question, replace(answer, tables=tables), MADE)
    command = ["regenerate", "dyestuff2", "--engine", "exact", "--check"]
    assert main([*command, "--fixtures", str(fixtures)]) == DISCREPANCY
    assert "lmer.coef" in capsys.readouterr().out.split("What nothing explains")[1]


def test_doctor_names_the_first_answer_that_is_not_sound(
    fixtures: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("R_HOME", raising=False)
    for name in ("dyestuff2", "filip"):
        kept_there = kept_answers.folder(paths.fixtures(), "exact") / name
        shutil.copytree(kept_there, kept_answers.folder(fixtures, "exact") / name)
    checks = {check.what: check for check in examine(fixtures)}
    assert checks["answers of exact"].ok
    assert checks["answers of exact"].found == "sound, to 2 cases"
    assert not checks["answers of lme4"].ok
    assert checks["answers of lme4"].remedy == "rparity regenerate --engine lme4 dyestuff2"


def test_a_case_without_models_has_nothing_to_ask(capsys: Capture, tmp_path: Path) -> None:
    command = ["regenerate", "streams", "--engine", "exact", "--fixtures", str(tmp_path)]
    assert main(command) == AGREE
    assert "streams: has no models to ask exact about" in capsys.readouterr().out
    with pytest.raises(UsageError, match="'streams' has no models"):
        question_of(cases()["streams"], paths.fixtures())


def test_regenerate_refuses_an_engine_whose_answers_are_not_recorded(capsys: Capture) -> None:
    assert main(["regenerate", "dyestuff", "--engine", "statsmodels"]) == UNUSABLE
    assert "No answers of 'statsmodels' are recorded" in capsys.readouterr().err


class Again:
    """lme4 as it was kept, but for one model: at other parameters, and with one value off."""

    name = "lme4"

    def __init__(self, *, moved: float, off: float) -> None:
        self.moved, self.off = moved, off
        self.provenance: dict[str, Any] = {"made_by": {"packages": {}}, "scripts": {}}
        self.decimals: Tables = {}

    def expected(self, part: Part) -> tuple[str, ...]:
        return part.tables

    def answer(self, question: Question) -> Answer:
        kept, _ = kept_answers.read(paths.fixtures(), "lme4", question)
        model = next(part for part in question.case.parts if part.name == "lmer")
        assert isinstance(model, Lmer)
        assert question.data is not None
        fit = fitted(model, question.data)
        tables = lmer_tables(fit.at(fit.theta_hat * (1.0 + self.moved)), model.kinds)
        tables["coef"].loc["(Intercept)", "estimate"] *= 1.0 + self.off
        return Answer({**kept.tables, **{f"lmer.{kind}": t for kind, t in tables.items()}})


def test_an_optimizer_that_stops_elsewhere_is_a_known_drift_and_a_wrong_value_is_none() -> None:
    elsewhere = drift(case("dyestuff"), paths.fixtures(), print, Again(moved=1e-4, off=0.0))
    assert not elsewhere.failed
    assert set(elsewhere.comparisons["cause"]) == {"", "stopped early"}
    assert drift(case("dyestuff"), paths.fixtures(), print, Again(moved=1e-4, off=1e-3)).failed
