"""The run of a case as text: published figures, claims, parts, causes and failures."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from rich.console import Console
from rich.table import Table

from rparity.cases.base import Claim, Printed, monte_carlo_error
from rparity.compare import ALL, Verdict, part_of, parts_of
from rparity.diagnosis.between_rs import Difference
from rparity.diagnosis.explain import Finding
from rparity.report.numbers import counted, everything, failing, fewest, number
from rparity.report.terminal import (
    QUIET,
    STYLES,
    VERBOSE,
    marked,
    numbers_of,
    plain_table,
    show_verdicts,
    styled,
    totals,
)
from rparity.run import CaseRun

FAILURES_SHOWN = 20
PLACE = ["table", "row", "column"]


def show_run(run: CaseRun, out: Console, verbosity: int = 0) -> None:
    """Print the run of one case.

    If `verbosity` is `QUIET`, print only what fails and the totals. If it is `VERBOSE`, print each
    table, all failures and all versions.
    """
    out.print(marked((run.case.name, "bold"), f"  {run.case.title}"))
    out.print(_provenance_line(run, verbosity), style="dim")
    if verbosity > QUIET:
        _show_agreement(run, out, verbosity)
    show_failures(run.comparisons, out, verbosity)
    if run.changed is not None:
        show_changes(run.changed, out, verbosity)
    if verbosity > QUIET:
        show_verdicts(run.comparisons, out)
    out.print()
    out.print(totals(run.comparisons), soft_wrap=True)


def _show_agreement(run: CaseRun, out: Console, verbosity: int) -> None:
    """Print published figures, claims, parts, replicates, the causes of differences, and notes."""
    if run.case.published is not None and "rparity" in run.answers:
        _show_published(run, run.case.published, out)
    for claim in run.case.claims:
        _show_claim(run, claim, out)
    _show_parts(run, out, verbosity)
    _show_replicates(run, out)
    _show_findings(run, out)
    for note in run.notes:
        out.print(marked("\n", ("note", "dim"), f"   {note}"))


def _provenance_line(run: CaseRun, verbosity: int) -> str:
    versions = run.provenance["made_by"]["packages"]
    names = versions if verbosity >= VERBOSE else ("R", *run.case.packages)
    who = ", ".join(f"{name} {versions[name]}" for name in names)
    if run.live:
        return f"Against {who}, run now."
    when = str(run.provenance["time"])[:10]
    return f"Against the recording of {who} made on {when}; R was not run (--live runs it)."


def figures(published: Printed) -> Iterator[tuple[str, tuple[str, str, str], str, str]]:
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
    table = plain_table("~", ">published", ">R", ">Python", ">digits", "verdict", "printed")
    waiting = ""
    for section, place, label, text in figures(published):
        mine = compared.get(("rparity", "R", *place))
        printed = compared.get(("R", "published", *place))
        waiting = section or waiting
        if mine is None or printed is None:
            continue
        if waiting:
            table.add_row(marked((waiting, "bold")))
            waiting = ""
        alike = printed["verdict"]
        table.add_row(
            f"  {label}",
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
    shown = plain_table("", "~", ">bootstrap", f">{claim.equals}", ">ratio", ">Monte Carlo", "")
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


def _show_parts(run: CaseRun, out: Console, verbosity: int) -> None:
    """Print how each engine agrees with R on each part, and what it does not answer."""
    against_r = run.comparisons[run.comparisons["reference"] == "R"]
    if against_r.empty:
        out.print("\nNothing was compared with R")
    else:
        out.print("\nEverything that was compared with R")
        out.print(_parts(against_r, by_table=verbosity >= VERBOSE))
    for engine, answer in run.answers.items():
        reasons: dict[str, list[str]] = {}
        for name, reason in answer.gaps.items():
            reasons.setdefault(reason, []).append(name)
        for reason, names in reasons.items():
            gap = f"    {engine} does not answer {', '.join(names)}: {reason}"
            out.print(marked(("gap", "dim"), gap))


def _parts(against_r: pd.DataFrame, *, by_table: bool) -> Table:
    """Return a row for each engine and part, or table: how many values, and the worst of them."""
    tables = () if by_table else (">tables",)
    table = plain_table(
        *("engine", "table" if by_table else "part", *tables, ">values"),
        *(">fewest\ndigits", "~at", "~verdicts"),
    )
    part = against_r["table"] if by_table else parts_of(against_r["table"])
    for (engine, name), rows in against_r.groupby([against_r["engine"], part], sort=False):
        worst = rows.iloc[int(rows["digits"].argmin())]
        kind = "" if by_table else worst["table"].partition(".")[2]
        table.add_row(
            str(engine),
            str(name),
            *([] if by_table else [str(rows["table"].nunique())]),
            str(len(rows)),
            f"{worst['digits']:.1f}",
            f"{kind} {worst['row']} {worst['column']}".strip(),
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
    table = plain_table("engine", "part", ">replicates", ">median", ">worst", "~at")
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


def _show_findings(run: CaseRun, out: Console) -> None:
    """Print each cause once, with the parts in which it was found."""
    same: dict[tuple[str, ...], list[Finding]] = {}
    for finding in run.findings:
        says = finding.decisive.says if finding.decisive is not None else ""
        known = finding.entry.id if finding.entry is not None else ""
        same.setdefault((known, finding.cause, says), []).append(finding)
    for findings in same.values():
        finding = findings[0]
        entry, decisive = finding.entry, finding.decisive
        where = ", ".join(dict.fromkeys(f"{one.engine} on {one.part}" for one in findings))
        if entry is not None:
            out.print(marked("\n", ("known", "yellow"), f"  {entry.id}: {entry.cause} ({where})"))
            out.print(f"  {' '.join(entry.why.split())}")
        elif decisive is not None:
            out.print(marked("\n", ("new", "bold red"), f"  {finding.cause} ({where})"))
        if decisive is not None:
            out.print(f"  Experiment, {decisive.experiment}: {decisive.says}.")
        if entry is not None:
            out.print(f"  Reference: {'; '.join(entry.references)}")


def show_failures(comparisons: pd.DataFrame, out: Console, verbosity: int = 0) -> None:
    """Print the values that fail, the worst first: all of them if `verbosity` is `VERBOSE`."""
    rows = failing(comparisons).sort_values("digits")
    if rows.empty:
        return
    out.print("\nWhat nothing explains", style="bold red")
    table = plain_table(
        *("~engine", "~against", "~value of"),
        *(">reference", ">value", ">digits", ">allowed", "verdict"),
    )
    shown = len(rows) if verbosity >= VERBOSE else FAILURES_SHOWN
    for _, row in rows.head(shown).iterrows():
        allowed = row["atol"] + row["rtol"] * abs(row["reference_value"])
        names = everything(row["row"], "rows"), everything(row["column"], "columns")
        table.add_row(
            row["engine"],
            row["reference"],
            " ".join([row["table"], *names]),
            number(row["reference_value"]),
            number(row["value"]),
            f"{row['digits']:.1f}",
            f"± {allowed:.2g}",
            styled(row["verdict"]),
        )
    out.print(table)
    if len(rows) > shown:
        out.print(f"and {len(rows) - shown} more; -v shows them all.")


def show_changes(difference: Difference, out: Console, verbosity: int = 0) -> None:
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
    show_failures(difference.comparisons, out, verbosity)
