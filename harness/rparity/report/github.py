"""Results in GitHub Actions: annotations in the log, and the summary on the job's page."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TextIO

from rparity.errors import UsageError
from rparity.report.markdown import as_markdown
from rparity.report.numbers import everything, exactly
from rparity.report.results import CommandResults
from rparity.report.summary import failure_groups
from rparity.text import visible

SUMMARY, WORKSPACE = "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"
# GitHub shows ten errors of a step.
MOST = 10


def report(results: CommandResults, log: TextIO, environment: Mapping[str, str]) -> None:
    """Write annotations to the log, and append the summary to the file that GitHub names.

    Raises
    ------
    UsageError
        If the summary cannot be written.
    """
    for line in workflow_commands(results, Path(environment.get(WORKSPACE) or os.curdir)):
        print(line, file=log)
    if file := environment.get(SUMMARY):
        try:
            with open(file, "a", encoding="utf-8") as out:  # noqa: PTH123
                out.write(as_markdown(results))
        except OSError as error:
            raise UsageError(f"Cannot write the summary to {file}: {error.strerror}.") from error


def workflow_commands(results: CommandResults, workspace: Path) -> Iterator[str]:
    """Yield a workflow command for each problem and each kind of failure, the worst first.

    An annotation is attached to the R script of the case, if it lies in the workspace.
    """
    found = [(one.case, one.engine, one.reason) for one in results.problems]
    for _, row in failure_groups(results).iterrows():
        more = f", and {row['values'] - 1} more values" if row["values"] > 1 else ""
        place = f"{row['table']}, {everything(row['row'])}, {everything(row['column'])}"
        text = (
            f"{place}: {exactly(row['value'])}, {row['reference']} has "
            f"{exactly(row['reference_value'])} ({row['digits'] + 0.0:.1f} digits){more}"
        )
        cause = f": {row['cause']}" if row["cause"] else ""
        found.append((row["case"], row["engine"], f"{row['verdict']}{cause}. {text}"))
    shown = found if len(found) <= MOST else found[: MOST - 1]
    for case, engine, text in shown:
        properties = _file(results, case, workspace) | {"title": f"rparity: {engine} on {case}"}
        said = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
        yield f"::error {said}::{_data(text)}"
    if len(found) > len(shown):
        rest = f"{len(found) - len(shown)} more; the job's summary has them."
        yield f"::error title=rparity::{_data(rest)}"


def _file(results: CommandResults, case: str, workspace: Path) -> dict[str, str]:
    """Return the property `file` of an annotation, relative to the workspace, if there is one."""
    script = results.sources.get(case)
    try:
        inside = script.resolve().relative_to(workspace.resolve()) if script is not None else None
    except ValueError:
        return {}
    return {} if inside is None else {"file": inside.as_posix()}


def _data(text: str) -> str:
    """Escape the text of a workflow command as the runner's toolkit does."""
    return visible(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
