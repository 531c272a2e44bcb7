"""Text for the terminal: the styles, and what `run`, `versions`, `list` and `doctor` print."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rparity.cases.base import monte_carlo_error
from rparity.compare import ALL, SEVERITY, Verdict, part_of
from rparity.report.numbers import counted, everything, failing, fewest, number
from rparity.text import visible

if TYPE_CHECKING:  # `list` and `atlas` print without the engines
    import pandas as pd

    from rparity.cases.base import Case, Claim, Printed
    from rparity.diagnosis.between_rs import Difference, VersionAnswer
    from rparity.diagnosis.explain import Finding
    from rparity.doctor import Check
    from rparity.regenerate import Drift
    from rparity.run import CaseRun

STYLES = {v: "bold red" if v.fails else "green" for v in Verdict} | {Verdict.KNOWN: "yellow"}
FAILURES_SHOWN = 20
PLACE = ["table", "row", "column"]
WIDTH = 160


class PlainConsole(Console):
    """A console that shows every string as plain text. Only `marked` adds styles."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Interpret no markup, no emoji and no control characters in a string."""
        plain = {"markup": False, "emoji": False, "highlight": False}
        return super().render_str(visible(text), **(options | plain))


def marked(*parts: str | tuple[str, str] | Text) -> Text:
    """Join strings, pairs of a string and its style, and texts."""
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
    """Return a console that is wide enough for every table. `None` is standard output."""
    return PlainConsole(file=file, width=max(WIDTH, Console().width))


def plain_table(*columns: str, wrapped: Sequence[str] = ()) -> Table:
    """Return a table without lines.

    A column whose name begins with `>` is aligned to the right. The columns `wrapped`, which follow
    the others, may be broken into lines.
    """
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        justify = "right" if column.startswith(">") else "left"
        table.add_column(column.removeprefix(">"), justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for column in wrapped:
        table.add_column(column, overflow="fold")
    return table


def styled(verdict: str) -> Text:
    """Return a verdict in its colour."""
    return Text(Verdict(verdict).value, STYLES[Verdict(verdict)])


def numbers_of(counts: Mapping[Verdict, int]) -> Text:
    """Return how often each verdict occurs, in its colour."""
    return Text(", ").join(marked(f"{n} ", styled(v)) for v, n in counts.items())


def totals(comparisons: pd.DataFrame) -> Text:
    """Return the number of comparisons and how often each verdict occurs among them."""
    counts = counted(comparisons)
    tally = numbers_of({v: counts.get(v, 0) for v in Verdict})
    return marked(f"{len(comparisons)} comparisons: ", tally)


# -- a run -----------------------------------------------------------------------------------------


def show_run(run: CaseRun, out: Console) -> None:
    """Print the run of one case."""
    out.print(marked((run.case.name, "bold"), f"  {run.case.title}"))
    out.print(_provenance_line(run), style="dim")
    if run.case.published is not None and "rparity" in run.answers:
        _show_published(run, run.case.published, out)
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
    out.print(totals(run.comparisons))


def _provenance_line(run: CaseRun) -> str:
    versions = run.provenance["made_by"]["packages"]
    who = ", ".join(f"{name} {versions[name]}" for name in ("R", *run.case.packages))
    if run.live:
        return f"Against {who}, run now."
    when = str(run.provenance["time"])[:10]
    return f"Against the recording of {who} made on {when}; R was not run (--live runs it)."


def _figures(published: Printed) -> Iterator[tuple[str, tuple[str, str, str], str, str]]:
    """Yield section, place, label and text of each figure; the section only where it begins."""
    for table, rows in published.figures.items():
        section = table
        for row, columns in rows.items():
            for column, text in columns.items():
                label = column if row == "1" else f"{row} {column}"  # the only row of `glance` is 1
                yield section, (table, row, column), label, text
                section = ""


def _show_published(run: CaseRun, published: Printed, out: Console) -> None:
    out.print(f"\nAs published: {published.source}")
    rows = run.comparisons[run.comparisons["table"].isin(list(published.figures))]
    rows = rows.set_index(["engine", "reference", *PLACE])
    rows = rows[~rows.index.duplicated()]
    compared = rows.to_dict("index")
    table = plain_table("", "", ">published", ">R", ">Python", ">digits", "verdict", "as printed")
    for section, place, label, text in _figures(published):
        mine = compared.get(("rparity", "R", *place))
        printed = compared.get(("R", "published", *place))
        if mine is None or printed is None:
            continue
        alike = printed["verdict"]
        table.add_row(
            section,
            label,
            text,
            number(mine["reference_value"]),
            number(mine["value"]),
            f"{mine['digits']:.1f}",
            styled(mine["verdict"]),
            "yes" if STYLES[Verdict(alike)] == "green" else styled(alike),
        )
    out.print(table)


def _show_claim(run: CaseRun, claim: Claim, out: Console) -> None:
    rows = run.comparisons
    rows = rows[(rows["table"] == claim.table) & (rows["reference"] == claim.equals)]
    error = monte_carlo_error(run.nsim)
    out.print(f"\nClaim: {claim.says}")
    shown = plain_table("", "", ">bootstrap", f">{claim.equals}", ">ratio", ">Monte Carlo", "")
    for _, row in rows.iterrows():
        ratio = row["value"] / row["reference_value"]
        shown.add_row(
            row["engine"],
            row["row"],
            number(row["value"]),
            number(row["reference_value"]),
            f"{ratio:.4f}",
            f"± {ratio * error:.4f}",
            "holds" if row["verdict"] == Verdict.WITHIN else styled(row["verdict"]),
        )
    out.print(shown)


def _show_parts(run: CaseRun, out: Console) -> None:
    """Print how each engine agrees with R on each part, and what it does not answer."""
    against_r = run.comparisons[run.comparisons["reference"] == "R"]
    if against_r.empty:
        out.print("\nNothing was compared with R")
    else:
        out.print("\nEverything that was compared with R")
        out.print(_parts(against_r))
    for engine, answer in run.answers.items():
        reasons: dict[str, list[str]] = {}
        for name, reason in answer.gaps.items():
            reasons.setdefault(reason, []).append(name)
        for reason, names in reasons.items():
            gap = f"    {engine} does not answer {', '.join(names)}: {reason}"
            out.print(marked(("gap", "dim"), gap))


def _parts(against_r: pd.DataFrame) -> Table:
    """Return a row for each engine and part: the number of values, and the worst of them."""
    table = plain_table("engine", "part", ">tables", ">values", ">fewest digits", "at", "verdicts")
    part = against_r["table"].map(part_of)
    for (engine, name), rows in against_r.groupby([against_r["engine"], part], sort=False):
        worst = rows.iloc[int(rows["digits"].argmin())]
        table.add_row(
            str(engine),
            str(name),
            str(rows["table"].nunique()),
            str(len(rows)),
            f"{worst['digits']:.1f}",
            f"{worst['table'].partition('.')[2]} {worst['row']} {worst['column']}".strip(),
            numbers_of(counted(rows)),
        )
    return table


def _show_replicates(run: CaseRun, out: Console) -> None:
    """Print how far each replicate is from R's, in units of their standard deviation."""
    rows = run.comparisons[run.comparisons["table"].str.endswith(".replicates")]
    rows = rows[(rows["reference"] == "R") & (rows["row"] != ALL)]
    if rows.empty:
        return
    out.print("\nReplicates one by one, in units of R's standard deviation")
    table = plain_table("engine", "part", ">replicates", ">median", ">worst", "at")
    for (engine, name), part in rows.groupby(["engine", "table"], sort=False):
        spread = part.groupby("column")["reference_value"].transform("std")
        off = (part["value"] - part["reference_value"]).abs() / spread
        worst = int(off.argmax())
        table.add_row(
            str(engine),
            part_of(str(name)),
            str(part["row"].nunique()),
            f"{off.median():.1e}",
            f"{off.iloc[worst]:.1e}",
            f"{part['column'].iloc[worst]} of {part['row'].iloc[worst]}",
        )
    out.print(table)


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


def _show_failures(comparisons: pd.DataFrame, out: Console) -> None:
    rows = failing(comparisons)
    if rows.empty:
        return
    out.print("\nWhat nothing explains", style="bold red")
    table = plain_table(
        *("engine", "against", "table", "row", "column"),
        *(">reference", ">value", ">digits", ">allowed", "verdict"),
    )
    for _, row in rows.sort_values("digits").head(FAILURES_SHOWN).iterrows():
        allowed = row["atol"] + row["rtol"] * abs(row["reference_value"])
        table.add_row(
            row["engine"],
            row["reference"],
            row["table"],
            everything(row["row"], "rows"),
            everything(row["column"], "columns"),
            number(row["reference_value"]),
            number(row["value"]),
            f"{row['digits']:.1f}",
            f"± {allowed:.2g}",
            styled(row["verdict"]),
        )
    out.print(table)
    if len(rows) > FAILURES_SHOWN:
        out.print(f"and {len(rows) - FAILURES_SHOWN} more; --format json has them all.")


# -- several versions of R -------------------------------------------------------------------------


def show_versions(found: Mapping[str, Sequence[Difference]], out: Console) -> None:
    """Print how each recorded R agrees with the next older one on each case, and why it differs.

    `found` has the differences of each case, from the oldest R to the newest.
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
    for difference in every:
        _show_changes(difference, out)


def show_side_by_side(case: Case, answers: Sequence[VersionAnswer], out: Console) -> None:
    """Print the published figures of a case, if it has any, beside the values of each R."""
    if case.published is None:
        return
    out.print(f"{case.name}, as published: {case.published.source}")
    shown = plain_table("", "", ">published", *(f">{answer.version}" for answer in answers))
    for section, (table, row, column), label, text in _figures(case.published):
        values = (float(answer.tables[table][column][row]) for answer in answers)
        shown.add_row(section, label, text, *map(number, values))
    out.print(shown)
    out.print()


def _step(difference: Difference) -> str:
    return f"R {difference.older.r} → {difference.newer.r}"


def _version_cell(difference: Difference) -> Text:
    rows = difference.comparisons
    if rows.empty:
        return marked("nothing to compare")
    worst = max((Verdict(v) for v in rows["verdict"].unique()), key=SEVERITY.index)
    causes = [cause for cause in rows["cause"].unique() if cause]
    return marked(f"{fewest(rows):.1f}  ", styled(worst), f"  {', '.join(causes)}")


def _show_changes(difference: Difference, out: Console) -> None:
    """Print the cause of each difference between two Rs, and the differences without a cause."""
    who = f"{difference.case.name}, {difference.older} → {difference.newer}"
    for finding in difference.findings:
        decisive = finding.decisive
        if finding.cause and decisive is not None:
            rows = difference.comparisons.loc[finding.rows]
            said = f"  {who}: {len(rows)} values of {finding.part}, fewest digits "
            out.print(marked("\n", (finding.cause, "yellow"), f"{said}{fewest(rows):.1f}"))
            out.print(f"  Experiment, {decisive.experiment}: {decisive.says}.")
    for source in difference.sources:
        out.print(f"  Reference: {source}")
    _show_failures(difference.comparisons, out)


def show_drift(report: Drift, out: Console) -> None:
    """Print how today's answer differs from the recording, table by table."""
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
    table = plain_table("table", ">values", ">fewest digits", "verdicts")
    for name, rows in report.comparisons.groupby("table", sort=False):
        digits = f"{fewest(rows):.1f}"
        table.add_row(str(name), str(len(rows)), digits, numbers_of(counted(rows)))
    out.print(table)
    if report.difference is not None:
        _show_changes(report.difference, out)
        return
    known = report.comparisons[report.comparisons["verdict"] == Verdict.KNOWN]
    for cause, rows in known.groupby("cause", sort=False):
        counted_values = f"{len(rows)} values, fewest digits {fewest(rows):.1f}"
        out.print(marked(("known", "yellow"), f"  {cause}: {counted_values}"))
    _show_failures(report.comparisons, out)


# -- the cases and the machine ---------------------------------------------------------------------


def show_cases(cases: Iterable[tuple[Case, str]], out: Console) -> None:
    """Print each case and the state of its recording."""
    for case, state in cases:
        out.print(marked((case.name, "bold"), f"  {case.title}"))
        out.print(f"  {state}", style="dim")


def show_doctor(checks: Sequence[Check], out: Console) -> None:
    """Print the result of each check, and the remedy of each problem."""
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
