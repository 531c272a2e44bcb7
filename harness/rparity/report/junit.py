"""Results as JUnit XML, which GitLab, Jenkins, Azure Pipelines and CircleCI show as tests."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import pandas as pd

from rparity.report.numbers import everything, exactly, failing, fewest
from rparity.report.results import CommandResults
from rparity.text import visible

# The lines in a failure's text. The JSON report has every value.
MOST_VALUES = 20
# What XML 1.0 cannot hold beside the control characters that `visible` replaces.
FORBIDDEN = re.compile("[\ufffe\uffff]")


def as_junit(results: CommandResults) -> str:
    """Return a test suite for each case, and in it a test for each engine and table.

    A test fails if a value of the table fails. A problem is an error, and a gap is skipped.
    """
    root = Element("testsuites", name=f"rparity {results.command}")
    suites: dict[str, Element] = {}

    def test(case: str, engine: str, name: str) -> Element:
        if case not in suites:
            suites[case] = SubElement(root, "testsuite", name=_text(case))
        return SubElement(
            suites[case], "testcase", classname=_text(f"{case}.{engine}"), name=_text(name)
        )

    by = ["case", "engine", "reference", "table"]
    for place, rows in results.comparisons.groupby(by, sort=False, dropna=False):
        case, engine, reference, table = map(str, place)
        _judge(test(case, engine, f"{table} against {reference}"), rows)
    for one in results.problems:
        SubElement(test(one.case, one.engine, "answer"), "error", message=_text(one.reason))
    for one in results.gaps:
        SubElement(test(one.case, one.engine, one.place), "skipped", message=_text(one.reason))
    for element in (root, *suites.values()):
        for name, tag in (
            ("tests", "testcase"),
            ("failures", "failure"),
            ("errors", "error"),
            ("skipped", "skipped"),
        ):
            element.set(name, str(len(list(element.iter(tag)))))
    indent(root, " ")
    return '<?xml version="1.0" encoding="utf-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _judge(element: Element, rows: pd.DataFrame) -> None:
    """Add a failure with the worst values, if a value fails."""
    wrong = failing(rows).sort_values("digits", kind="stable")
    if wrong.empty:
        return
    verdicts = ", ".join(dict.fromkeys(wrong["verdict"]))
    message = (
        f"{len(wrong)} of {len(rows)} values fail ({verdicts}); fewest digits {fewest(rows):.1f}"
    )
    lines = [
        f"{everything(row['row'], 'rows')}, {everything(row['column'], 'columns')}: "
        f"{exactly(row['value'])}, {row['reference']} has {exactly(row['reference_value'])} "
        f"({row['digits'] + 0.0:.1f} digits, {row['verdict']}"
        f"{', ' * bool(row['cause'])}{row['cause']})"
        for _, row in wrong.head(MOST_VALUES).iterrows()
    ]
    if len(wrong) > MOST_VALUES:
        lines.append(f"and {len(wrong) - MOST_VALUES} more")
    failure = SubElement(element, "failure", message=_text(message), type=_text(verdicts))
    failure.text = _text("\n".join(lines))


def _text(text: str) -> str:
    return FORBIDDEN.sub("?", visible(text))
