"""A run as text: the published figures, R's and Python's side by side, the claims, the causes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rparity.cases.base import Case, Claim, monte_carlo_error
from rparity.compare import ALL, SEVERITY, Verdict
from rparity.diagnosis.between_rs import Difference, VersionAnswer
from rparity.diagnosis.explain import Finding
from rparity.doctor import Check
from rparity.regenerate import Drift
from rparity.run import CaseRun
from rparity.text import visible

STYLES = {
    Verdict.IDENTICAL: "green",
    Verdict.ROUNDING: "green",
    Verdict.WITHIN: "green",
    Verdict.KNOWN: "yellow",
    Verdict.NEW: "bold red",
    Verdict.UNEXPLAINED: "bold red",
    Verdict.MISSING: "bold red",
    Verdict.STALE: "bold red",
}
FAILURES_SHOWN = 20
PLACE = ("table", "row", "column")
MEASURED = ("reference_value", "value", "digits", "verdict")
WIDTH = 160


class PlainConsole(Console):
    """A console to which every string is text: only what `marked` makes has a style."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Read no markup, no emoji, no control characters in a string."""
        plain = {"markup": False, "emoji": False, "highlight": False}
        return super().render_str(visible(text), **(options | plain))


def marked(*parts: str | tuple[str, str] | Text) -> Text:
    """Put text together from strings, and strings with their styles."""
    return Text.assemble(
        *(
            part
            if isinstance(part, Text)
            else visible(part)
            if isinstance(part, str)
            else (visible(part[0]), part[1])
            for part in parts
        )
    )


def console(file: IO[str] | None = None) -> Console:
    """Return a console that cuts no table short, however narrow the terminal; None: on stdout."""
    return PlainConsole(file=file, width=max(WIDTH, Console().width))


def show_run(run: CaseRun, out: Console) -> None:
    """Print one case's run."""
    out.print(marked((run.case.name, "bold"), f"  {run.case.title}"))
    out.print(_provenance_line(run), style="dim")
    if run.case.published is not None and "rparity" in run.answers:
        _show_published(run, out)
    for claim in run.case.claims:
        _show_claim(run, claim, out)
    _show_parts(run, out)
    _show_replicates(run, out)
    for finding in run.findings:
        _show_finding(finding, out)
    for note in run.notes:
        out.print(marked("\n", ("note", "dim"), f"   {note}"))
    _show_failures(run.comparisons, out)
    if run.changed is not None:
        _show_changes(run.changed, out)
    out.print()
    _show_verdicts(run, out)


def _show_finding(finding: Finding, out: Console) -> None:
    entry, decisive = finding.entry, finding.decisive
    if entry is not None:
        out.print(marked("\n", ("known", "yellow"), f"  {entry.id}: {entry.cause}"))
        out.print(f"  {' '.join(entry.why.split())}")
    elif decisive is not None:
        out.print(marked("\n", ("new", "bold red"), f"  {finding.part}: {finding.cause}"))
    if decisive is not None:
        out.print(f"  Experiment, {decisive.experiment}: {decisive.says}.")
    if entry is not None:
        out.print(f"  Reference: {'; '.join(entry.references)}")


def show_versions(found: Mapping[str, Sequence[Difference]], out: Console) -> None:
    """Print, by case, in how many digits each recorded R agrees with the next older one, and why.

    `found` has the differences of each case, from old to new.
    """
    every = [difference for differences in found.values() for difference in differences]
    known = dict.fromkeys(str(side) for each in every for side in (each.older, each.newer))
    out.print(f"Fewest digits in which each R agrees with the next older one: {'; '.join(known)}\n")
    steps = dict.fromkeys(_step(difference) for difference in every)
    shown = plain_table("case", *steps)
    for case, differences in found.items():
        cells = {_step(each): _version_cell(each) for each in differences}
        shown.add_row(case, *(cells.get(step, "not recorded") for step in steps))
    out.print(shown)
    for differences in found.values():
        for difference in differences:
            _show_changes(difference, out)


def show_side_by_side(case: Case, answers: Sequence[VersionAnswer], out: Console) -> None:
    """Print the published figures of a case, if it has any, and what each R says."""
    if case.published is None:
        return
    out.print(f"{case.name}, as published: {case.published.source}")
    names = [str(answer.version) for answer in answers]
    shown = plain_table("", "", "published", *names, right=["published", *names])
    for table, rows in case.published.figures.items():
        section = table
        for row, columns in rows.items():
            for column, text in columns.items():
                values = [float(answer.tables[table][column][row]) for answer in answers]
                cells = [number(value) for value in values]
                shown.add_row(section, _place(row, column), text, *cells)
                section = ""
    out.print(shown)
    out.print()


def _place(row: str, column: str) -> str:
    """Name a value in its table; the only row of `glance` goes without a name."""
    return column if row == "1" else f"{row} {column}"


def _step(difference: Difference) -> str:
    return f"R {difference.older.r} → {difference.newer.r}"


def _version_cell(difference: Difference) -> Text:
    rows = difference.comparisons
    if rows.empty:
        return marked("nothing to compare")
    worst = max((Verdict(v) for v in rows["verdict"].unique()), key=SEVERITY.index)
    causes = [cause for cause in rows["cause"].unique() if cause]
    return marked(f"{rows['digits'].min():.1f}  ", styled(worst), f"  {', '.join(causes)}")


def _show_changes(difference: Difference, out: Console) -> None:
    """Print why two Rs differ beyond the case's tolerances, and what nothing explains."""
    who = f"{difference.case.name}, {difference.older} → {difference.newer}"
    for finding in difference.findings:
        decisive = finding.decisive
        if finding.cause and decisive is not None:
            rows = difference.comparisons.loc[finding.rows]
            said = f"  {who}: {len(rows)} values of {finding.part}, fewest digits "
            fewest = f"{rows['digits'].min():.1f}"
            out.print(marked("\n", (finding.cause, "yellow"), said + fewest))
            out.print(f"  Experiment, {decisive.experiment}: {decisive.says}.")
    for source in difference.sources:
        out.print(f"  Reference: {source}")
    _show_failures(difference.comparisons, out)


def show_cases(cases: Iterable[tuple[Case, str]], out: Console) -> None:
    """Print what there is to run, each case with the state of its recording."""
    for case, state in cases:
        out.print(marked((case.name, "bold"), f"  {case.title}"))
        out.print(f"  {state}", style="dim")


def plain_table(*columns: str, right: Sequence[str] = ()) -> Table:
    """Return a table without lines; the columns named in `right` are aligned there."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", no_wrap=True)
    return table


def _provenance_line(run: CaseRun) -> str:
    versions = run.provenance["made_by"]["packages"]
    named = ", ".join(f"{package} {versions[package]}" for package in run.case.packages)
    who = f"R {versions['R']}" + (f", {named}" if named else "")
    if run.live:
        return f"Against {who}, run now."
    when = str(run.provenance["time"])[:10]
    return f"Against the recording of {who} made on {when}; R was not run (--live runs it)."


def _show_published(run: CaseRun, out: Console) -> None:
    published = run.case.published
    assert published is not None
    small = run.comparisons[run.comparisons["table"].isin(list(published.figures))]
    mine, theirs = _cells(small, "rparity", "R"), _cells(small, "R", "published")
    out.print(f"\nAs published: {published.source}")
    table = plain_table(
        "",
        "",
        "published",
        "R",
        "Python",
        "digits",
        "verdict",
        "as printed",
        right=["published", "R", "Python", "digits"],
    )
    for name, rows in published.figures.items():
        section = name
        for row, columns in rows.items():
            for column, text in columns.items():
                here, printed = mine.get((name, row, column)), theirs.get((name, row, column))
                if here is None or printed is None:
                    continue
                table.add_row(
                    section,
                    _place(row, column),
                    text,
                    number(here["reference_value"]),
                    number(here["value"]),
                    f"{here['digits']:.1f}",
                    styled(here["verdict"]),
                    _printed_alike(printed["verdict"]),
                )
                section = ""
    out.print(table)


def _cells(
    comparisons: pd.DataFrame, engine: str, reference: str
) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Comparisons of one engine with one reference by table, row and column."""
    chosen = comparisons[
        (comparisons["engine"] == engine) & (comparisons["reference"] == reference)
    ]
    return {
        (table, row, column): {"reference_value": c, "value": q, "digits": d, "verdict": verdict}
        for table, row, column, c, q, d, verdict in zip(
            *(chosen[name] for name in (*PLACE, *MEASURED)), strict=True
        )
    }


def _printed_alike(verdict: str) -> Text | str:
    return "yes" if not Verdict(verdict).fails and verdict != Verdict.KNOWN else styled(verdict)


def _show_claim(run: CaseRun, claim: Claim, out: Console) -> None:
    rows, equals = run.comparisons, claim.equals
    rows = rows[(rows["table"] == claim.table) & (rows["reference"] == equals)]
    error = monte_carlo_error(run.nsim)
    out.print(f"\nClaim: {claim.says}")
    shown = plain_table(
        "",
        "",
        "bootstrap",
        equals,
        "ratio",
        "Monte Carlo",
        "",
        right=["bootstrap", equals, "ratio", "Monte Carlo"],
    )
    for _, row in rows.iterrows():
        ratio = row["value"] / row["reference_value"]
        verdict = "holds" if row["verdict"] == Verdict.WITHIN else styled(row["verdict"])
        shown.add_row(
            row["engine"],
            row["row"],
            number(row["value"]),
            number(row["reference_value"]),
            f"{ratio:.4f}",
            f"± {ratio * error:.4f}",
            verdict,
        )
    out.print(shown)


def _show_parts(run: CaseRun, out: Console) -> None:
    """One line for each part that an engine answered: how much, and where it is furthest off."""
    against_r = run.comparisons[run.comparisons["reference"] == "R"]
    if against_r.empty:
        out.print("\nNothing was compared with R")
    else:
        out.print("\nEverything that was compared with R")
        out.print(_parts(against_r))
    for engine, answer in run.answers.items():
        if answer.gaps:
            reasons: dict[str, list[str]] = {}
            for name, reason in answer.gaps.items():
                reasons.setdefault(reason, []).append(name)
            for reason, names in reasons.items():
                told = f"    {engine} does not answer {', '.join(names)}: {reason}"
                out.print(marked(("gap", "dim"), told))


def _parts(against_r: pd.DataFrame) -> Table:
    """Lay out a line for each engine and part: how much was compared, and where the worst is."""
    table = plain_table(
        "engine",
        "part",
        "tables",
        "values",
        "fewest digits",
        "at",
        "verdicts",
        right=["tables", "values", "fewest digits"],
    )
    part = against_r["table"].str.partition(".")[0]
    for (engine, name), rows in against_r.groupby([against_r["engine"], part], sort=False):
        worst = rows.iloc[int(rows["digits"].argmin())]
        counts = rows["verdict"].value_counts()
        place = f"{worst['table'].partition('.')[2]} {worst['row']} {worst['column']}".strip()
        table.add_row(
            str(engine),
            str(name),
            str(rows["table"].nunique()),
            str(len(rows)),
            f"{worst['digits']:.1f}",
            place,
            numbers_of({v: counts[v] for v in Verdict if v in counts}),
        )
    return table


def _show_replicates(run: CaseRun, out: Console) -> None:
    """How far replicates are from R's, one by one, in units of their standard deviation."""
    rows = run.comparisons[run.comparisons["table"].str.endswith(".replicates")]
    rows = rows[(rows["reference"] == "R") & (rows["row"] != ALL)]
    if rows.empty:
        return
    out.print("\nReplicates one by one, in units of R's standard deviation")
    table = plain_table(
        "engine",
        "part",
        "replicates",
        "median",
        "worst",
        "at",
        right=["replicates", "median", "worst"],
    )
    for (engine, name), part in rows.groupby(["engine", "table"], sort=False):
        columns = part.groupby("column")
        off = (part["value"] - part["reference_value"]).abs()
        off = off / columns["reference_value"].transform("std")
        worst = int(off.argmax())
        table.add_row(
            str(engine),
            str(name).partition(".")[0],
            str(part["row"].nunique()),
            f"{off.median():.1e}",
            f"{off.iloc[worst]:.1e}",
            f"{part['column'].iloc[worst]} of {part['row'].iloc[worst]}",
        )
    out.print(table)


def _show_failures(comparisons: pd.DataFrame, out: Console) -> None:
    failing = comparisons[[Verdict(v).fails for v in comparisons["verdict"]]]
    if failing.empty:
        return
    out.print("\nWhat nothing explains", style="bold red")
    table = plain_table(
        "engine",
        "against",
        "table",
        "row",
        "column",
        "reference",
        "value",
        "digits",
        "allowed",
        "verdict",
        right=["reference", "value", "digits", "allowed"],
    )
    for _, row in failing.sort_values("digits").head(FAILURES_SHOWN).iterrows():
        allowed = row["atol"] + row["rtol"] * abs(row["reference_value"])
        table.add_row(
            row["engine"],
            row["reference"],
            row["table"],
            "all rows" if row["row"] == ALL else row["row"],
            "all columns" if row["column"] == ALL else row["column"],
            number(row["reference_value"]),
            number(row["value"]),
            f"{row['digits']:.1f}",
            f"± {allowed:.2g}",
            styled(row["verdict"]),
        )
    out.print(table)
    if len(failing) > FAILURES_SHOWN:
        out.print(f"and {len(failing) - FAILURES_SHOWN} more; --format json has them all.")


def _show_verdicts(run: CaseRun, out: Console) -> None:
    counts = run.comparisons["verdict"].value_counts()
    tally = numbers_of({v: counts.get(v, 0) for v in Verdict})
    out.print(marked(f"{len(run.comparisons)} comparisons: ", tally))


def styled(verdict: str) -> Text:
    """Return a verdict in its colour."""
    return Text(Verdict(verdict).value, STYLES[Verdict(verdict)])


def numbers_of(counts: Mapping[Verdict, int]) -> Text:
    """Return how many there are of each verdict, in its colour."""
    return Text(", ").join(marked(f"{n} ", styled(v)) for v, n in counts.items())


def number(value: float) -> str:
    """Ten significant digits; the column beside it says in how many the two sides agree."""
    return "NA" if np.isnan(value) else f"{value:.10g}"


def show_drift(report: Drift, out: Console) -> None:
    """Print how today's answer differs from a recording, table by table."""
    packages = sorted(report.recorded.keys() | report.today.keys())
    changed = [
        f"{name} {report.recorded.get(name, 'absent')} → {report.today.get(name, 'absent')}"
        for name in packages
        if report.recorded.get(name) != report.today.get(name)
    ]
    versions = ", ".join(f"{name} {v}" for name, v in report.today.items())
    who = report.engine
    out.print(marked((report.case.name, "bold"), f"  today's {who} against the recording"))
    out.print(f"both sides: {versions}" if not changed else f"changed: {'; '.join(changed)}")
    if report.comparisons.empty:
        out.print("no tables on either side: it has no counterpart to the case's models")
        return
    table = plain_table(
        "table", "values", "fewest digits", "verdicts", right=["values", "fewest digits"]
    )
    for name, rows in report.comparisons.groupby("table", sort=False):
        counts = rows["verdict"].value_counts()
        table.add_row(
            str(name),
            str(len(rows)),
            f"{rows['digits'].min():.1f}",
            numbers_of({v: counts[v] for v in Verdict if v in counts}),
        )
    out.print(table)
    if report.difference is not None:
        _show_changes(report.difference, out)
    else:
        _show_failures(report.comparisons, out)


def show_doctor(checks: Sequence[Check], out: Console) -> None:
    """Print what was found, and what mends what is missing."""
    for check in checks:
        mark = ("✓", "green")
        if not check.ok:
            mark = ("✗", "red")
        elif check.optional:
            mark = ("–", "yellow")
        out.print(marked(mark, f" {check.what}: {check.found}"))
        if check.remedy:
            out.print(f"    {check.remedy}", style="bold")
    missing = sorted((check for check in checks if check.remedy), key=lambda check: check.ok)
    if missing:
        out.print(f"\nFirst: {missing[0].remedy}")
