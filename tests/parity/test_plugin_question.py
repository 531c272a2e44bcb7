"""What identifies a call: its code without comments and white space, and who calls."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fake_r import FakeR
from plugin_sessions import Run, recordings, said
from rparity.files import opened, seal, sha256
from rparity.parity.question import code_hash
from rparity.parity.store import Place

CODE = """welch <- function(x, y) {
  t <- t.test(x, y)
  c(t$statistic, note = "# none")
}
"""


@pytest.mark.parametrize(
    "same",
    [
        f"# A comment\n\n{CODE}",
        CODE.replace("  t <-", "\t\tt   <- "),
        CODE.replace("\n", "\r\n"),
        CODE.replace("x, y", "x,\n  # the second\n  y"),
        CODE.replace("{\n", "{ # begin\n\n"),
        CODE.replace("\n}", " }"),
        CODE.strip(),
        CODE.replace("<- t.", "<-\n    # Welch's\n    t."),
        CODE.replace("t$statistic", "t $ statistic"),
    ],
)
def test_comments_and_white_space_do_not_count(same: str) -> None:
    assert code_hash(same.encode()) == code_hash(CODE.encode())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('"a # b"', '"a # c"'),
        ("'a  b'", "'a b'"),
        ("`a  b`", "`a b`"),
        ('r"(a # b)"', 'r"(a # c)"'),
        ("r'--[ ]' ]--'", "r'--[  ]' ]--'"),
        ("a %#% b", "a %#% c"),
        ("a %in% b", "a %i n% b"),
        ("a <- 1", "a < -1"),
        ("a\n-b", "a -b"),
        ("{a\n-b}", "{a -b}"),
        ("f({a\n-b})", "f({a -b})"),
        ("ab", "a b"),
        ("a\n(b)", "a (b)"),
        ('"\\" # a"', '"\\" # b"'),
        ("'é'", "'e'"),
        ("x[[1]]", "x[1]"),
        ('"# ends nowhere', '"#  ends nowhere'),
    ],
)
def test_everything_else_counts(one: str, other: str) -> None:
    assert code_hash(one.encode()) != code_hash(other.encode())


def test_a_comment_in_a_script_leaves_its_recordings_valid(
    pytester: pytest.Pytester, run: Run
) -> None:
    script, code = pytester.path / "f.R", "double <- function(x) 2 * x\n"
    pytester.makepyfile(
        test_a="""
        def test_one(r_parity):
            r_parity.call("f.R", "double", x=1.5).check(3.0)

        def test_two(r_parity):
            r_parity.r("2 * x", x=1.5).check(3.0)
        """
    )
    script.write_text(code)
    run("--r=record").assert_outcomes(passed=2)
    before = recordings(pytester.path)
    script.write_text(f"# Twice.\n{code.replace('2 * x', '2*x  # twice')}")
    text = (pytester.path / "test_a.py").read_text()
    (pytester.path / "test_a.py").write_text(text.replace('"2 * x"', '"2*x # twice"'))
    run().assert_outcomes(passed=2)
    run("--r=record").assert_outcomes(passed=2)
    assert recordings(pytester.path) == before
    script.write_text(code.replace("2", "3"))
    (pytester.path / "test_a.py").write_text(text.replace('"2 * x"', '"3 * x"'))
    result = run()
    result.assert_outcomes(failed=2)
    assert "is stale: f.R has changed since R answered; run" in said(result)
    assert "is stale: the R code of r() has changed since R answered; run" in said(result)


def test_recordings_with_hashes_of_all_bytes_stay_valid(
    pytester: pytest.Pytester, run: Run
) -> None:
    pytester.makepyfile(
        test_a='def test_one(r_parity): r_parity.call("f.R", "double", x=1.5).check(3.0)'
    )
    run("--r=record").assert_outcomes(passed=1)
    path = pytester.path / "r_recordings" / "test_a" / "test_one.1.json"
    document, _ = opened(path, path.read_bytes(), "")
    script = pytester.path / "f.R"
    assert document["asked"]["scripts"]["f.R"] != sha256(script.read_bytes())
    document["asked"]["scripts"]["f.R"] = sha256(script.read_bytes())
    path.write_text(json.dumps(seal(document)))
    run().assert_outcomes(passed=1)
    script.write_text(f"{script.read_text()}# more\n")
    assert "f.R has changed" in said(run())


# Fixtures that call R ---------------------------------------------------------------------------

FIXTURES = """
import pytest

@pytest.fixture(scope="module")
def shared(r_parity):
    return r_parity.r("x + 1", x=1)

@pytest.fixture(scope="module", params=[10, 20])
def each(request, r_parity):
    return r_parity.r("x + 1", x=request.param)

@pytest.fixture(scope="class")
def of_class(r_parity):
    return r_parity.r("x + 2", x=1)

@pytest.fixture
def own(r_parity):
    return r_parity.r("x + 3", x=1)

class TestA:
    def test_one(self, shared, of_class):
        shared.check(2)
        of_class.check(3)

    def test_two(self, shared, of_class, own):
        shared.check(2)
        own.check(4)

def test_three(each, whole):
    assert each.value in (11, 21)
    assert whole.value == 5
"""
CONFTEST = """
import pytest

@pytest.fixture(scope="session")
def whole(r_parity):
    return r_parity.r("x + 4", x=1)
"""
OF_FIXTURES = [
    "conftest/fixture.whole.1.json",
    "test_a/TestA.fixture.of_class.1.json",
    "test_a/TestA.test_two.1.json",
    "test_a/fixture.each[0].1.json",
    "test_a/fixture.each[1].1.json",
    "test_a/fixture.shared.1.json",
]


@pytest.fixture
def fixtures(pytester: pytest.Pytester, run: Run) -> Run:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_a=FIXTURES)
    run("--r=record").assert_outcomes(passed=4)
    found = sorted(name.removeprefix("r_recordings/") for name in recordings(pytester.path))
    assert found == OF_FIXTURES
    return run


def test_fixtures_of_every_scope_call_r_once(fixtures: Run) -> None:
    assert FakeR.asked == ["r"] * 6
    result = fixtures()
    result.assert_outcomes(passed=4)
    result.stdout.no_fnmatch_line("*no test uses*")
    fixtures("-k", "test_three").assert_outcomes(passed=2, deselected=2)
    fixtures("test_a.py::TestA::test_two").assert_outcomes(passed=1)


def test_recordings_of_a_fixture_that_is_gone_are_listed(
    pytester: pytest.Pytester, fixtures: Run
) -> None:
    pytester.makepyfile(test_a=FIXTURES.replace("of_class", "other"))
    fixtures("--r=record").stdout.fnmatch_lines(
        ["1 recordings that no test uses*", "*TestA.fixture.of_class.1.json"]
    )
    pytester.makepyfile(test_a=FIXTURES.replace("shared.check(2)", "assert 0"))
    fixtures().stdout.no_fnmatch_line("*no test uses*")


def test_drift_in_a_fixture_fails_at_its_end(pytester: pytest.Pytester, fixtures: Run) -> None:
    path = pytester.path / "r_recordings" / "test_a" / "fixture.each[0].1.json"
    document, _ = opened(path, path.read_bytes(), "")
    document["value"]["rows"] = [[None, 12]]
    path.write_text(json.dumps(seal(document)))
    pytester.makepyfile(test_a=FIXTURES.replace("(11, 21)", "(12, 21)"))
    result = fixtures("--r=check")
    result.assert_outcomes(passed=3, errors=1)  # at the end of the first of two
    assert "R differs from its recording in 1 value of r() in test_a.py" in said(result)


def test_the_command_for_a_fixture_records_it(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_a=FIXTURES)
    text = said(run())
    assert "call 1 of fixture.shared, r() in test_a.py: run `pytest --r=record test_a.py`" in text
    assert "call 1 of fixture.whole, r() in conftest.py: run `pytest --r=record test_a.py`" in text


def test_places_of_fixtures_and_tests_differ() -> None:
    file = Path("test_a.py")
    assert Place(file, "fixture.a").stem != Place(file, "a").stem
