"""The files of recordings: their names, and those that no test uses."""

from __future__ import annotations

from pathlib import Path

import pytest

from fake_r import FakeR
from plugin_sessions import ALL, ONE, Run, recordings, same
from rparity.parity.store import Place

# Names -------------------------------------------------------------------------------------------


def test_classes_parameters_and_calls_have_recordings_of_their_own(
    pytester: pytest.Pytester, run: Run
) -> None:
    pytester.makepyfile(
        test_a="""
        import pytest

        class TestB:
            class TestC:
                @pytest.mark.parametrize("x", [1, 2.5, "a b/c", "é", "A", "a", "x" * 300, "", ".."])
                def test_d(self, r_parity, x):
                    assert r_parity.call("f.R", "echo", x=x).value == x
                    assert r_parity.call("f.R", "echo", x=[x, x]).value.tolist() == [x, x]

        @pytest.mark.parametrize("x", ["a", "A", "a-b", "a:b", "a*b"])
        def test_d(r_parity, x):
            assert r_parity.call("f.R", "echo", x=x).value == x
        """
    )
    FakeR.functions["echo"] = lambda x: x
    run("--r=record").assert_outcomes(passed=14)
    names = [Path(name).name for name in recordings(pytester.path)]
    assert len(names) == 2 * 9 + 5
    assert len({name.lower() for name in names}) == len(names)  # for file systems that fold case
    assert all(name.isascii() and len(name) < 220 for name in names)
    assert not any(character in name for name in names for character in ' /\\:*?"<>|')
    assert {"TestB.TestC.test_d[1].1.json", "TestB.TestC.test_d[1].2.json", "test_d[a].1.json"} < (
        set(names)
    )
    run().assert_outcomes(passed=14)


def test_files_of_the_same_name_in_two_folders(pytester: pytest.Pytester, run: Run) -> None:
    for folder in ("one", "two"):
        pytester.mkpydir(folder)
        (pytester.path / folder / "f.R").write_text(f"# {folder}")
        (pytester.path / folder / "test_a.py").write_text(ONE)
    run("--r=record").assert_outcomes(passed=2)
    assert sorted(recordings(pytester.path)) == [
        f"{folder}/r_recordings/test_a/test_one.1.json" for folder in ("one", "two")
    ]
    run().assert_outcomes(passed=2)


def test_names_of_tests_that_differ_in_capitals_only_are_refused(
    pytester: pytest.Pytester, run: Run
) -> None:
    pytester.makepyfile(
        test_a="""
        def test_case(r_parity):
            r_parity.call("f.R", "echo", x=1)

        def test_Case(r_parity):
            r_parity.call("f.R", "echo", x=1)
        """
    )
    FakeR.functions["echo"] = lambda x: x
    result = run("--r=record")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*test_Case.1.json and test_case.1.json for one file*"])
    assert sorted(recordings(pytester.path)) == ["r_recordings/test_a/test_case.1.json"]


def test_names_of_recordings_are_stable() -> None:
    file = Path("/tests/test_a.py")
    long, odd = Place(file, "t[" + "x" * 150 + "]"), Place(file, "t[é b]")
    assert Place(file, "TestA.test_b[x-1]").stem == "TestA.test_b[x-1]"
    assert long.stem == "t-" + "x" * 58 + "-f6177f6c5d42"
    assert odd.recording(3) == Path("/tests/r_recordings/test_a") / f"{odd.stem}.3.json"


# Orphans -----------------------------------------------------------------------------------------


def test_there_are_no_orphans_if_all_recordings_are_used(three: Run) -> None:
    assert three(same) == three(same, "--r=live") == three(same, "--r=check") == []


@pytest.mark.parametrize(
    ("before", "after", "orphans"),
    [
        ("def test_two", "def test_2", ["test_two.1"]),
        ("[1, 2]", "[1]", ["test_one[2].1", "test_one[2].2"]),
        ('(2 * x)\n    r_parity.call("f.R", "nothing").check(0.0)', "(2 * x)", ALL[1:4:2]),
        ("def test_", "def no_test_", []),  # nothing collected: nothing known
        ("def test_one", "def no_test_one", ALL[:4]),
        ("(r_parity)", "()", []),  # fails: it might have called
        ("(r_parity):\n", "():\n    return\n", ["test_two.1"]),
        ("(r_parity):\n", "(r_parity):\n    pytest.skip('later')\n", []),
        ("(r_parity):\n", "(r_parity):\n    assert 0\n", []),
    ],
)
def test_recordings_that_no_test_uses_are_listed(
    three: Run, before: str, after: str, orphans: list[str]
) -> None:
    assert three(lambda text: text.replace(before, after)) == orphans


@pytest.mark.parametrize(
    "options",
    [
        ["-k", "test_three"],
        ["-k", "not test_one"],
        ["test_a.py::test_three"],
        ["test_a.py::test_two", "test_a.py::test_three"],
        ["--deselect", "test_a.py::test_one"],
        ["--collect-only"],
        ["-x"],
        ["--maxfail=1"],
    ],
)
def test_recordings_of_deselected_tests_are_not_listed(three: Run, options: list[str]) -> None:
    # test_two does not exist, but a session that runs a part of the file cannot know that.
    if options[0] in ("-x", "--maxfail=1"):
        assert three(lambda text: text.replace("2 * x", "0 * x"), *options) == []
    else:
        assert three(lambda text: text.replace("def test_two", "def two"), *options) == []


def test_orphans_of_a_passed_test_are_listed_although_others_are_deselected(three: Run) -> None:
    def with_one_call(text: str) -> str:
        return text.replace("(r_parity):\n", "():\n    return\n")

    assert three(with_one_call, "-k", "test_two") == ["test_two.1"]


def test_last_failed_deselects_tests(three: Run) -> None:
    def failing(text: str) -> str:
        return text.replace("def test_two", "def test_2").replace("    pass", "    assert 0")

    assert three(failing) == ["test_two.1"]
    assert three(failing, "--lf") == []


def test_tests_that_a_conftest_drops_are_deselected(pytester: pytest.Pytester, three: Run) -> None:
    pytester.makeconftest("def pytest_collection_modifyitems(items): del items[:3]")
    assert three(same) == []


def test_recordings_of_a_missing_test_file_are_listed(
    pytester: pytest.Pytester, three: Run
) -> None:
    (pytester.path / "r_recordings" / "test_a").rename(pytester.path / "r_recordings" / "test_b")
    assert three(same, "--r=record") == [f"test_b/{name}" for name in ALL]


def test_other_files_are_no_orphans(pytester: pytest.Pytester, three: Run) -> None:
    (pytester.path / "r_recordings" / "test_a" / "notes.json").write_text("{}")
    (pytester.path / "r_recordings" / "README.md").write_text("")
    assert three(same) == []
