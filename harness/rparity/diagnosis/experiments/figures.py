"""Experiments on published figures: what other runs of R, or the arbiter, would have printed."""

from __future__ import annotations

import pandas as pd

from rparity.cases.base import first_names
from rparity.compare import Reference, Tables, Tolerance
from rparity.diagnosis.experiments.base import Dispute, Trial, compared

# The same stopping place up to one unit of the last printed digit, beside its rounding of 0.55.
NEIGHBOUR = 1.55 / 0.55


def rounding_of_the_figure(dispute: Dispute, _part: str, rows: pd.DataFrame) -> Trial | None:
    """Round the other side's value to the digits that were printed."""
    other = dispute.answer if dispute.figures is dispute.truth else dispute.truth
    return _printed(
        dispute,
        rows,
        other,
        "rounded to the printed digits",
        "rounding of the published figure",
        "to the digits that are printed, it is the same figure",
    )


def tight_controls(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """Ask lme4 with tight controls, and see whether it prints what was published."""
    return _printed(
        dispute,
        rows,
        _renamed(dispute.asked.recorded, f"{part}_tight", part),
        "lme4 at tight controls",
        "stopped early",
        "lme4 with xtol_rel=1e-10 prints the published figure",
    )


def optimizer_of_the_time(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """Ask lme4 with bobyqa, its default when the figures were printed."""
    return _printed(
        dispute,
        rows,
        _renamed(dispute.asked.recorded, f"{part}_bobyqa", part),
        'lme4 with optimizer="bobyqa"',
        "stopped early",
        'lme4 with optimizer="bobyqa", its default at the time, stops where the figure says, up to '
        "a unit of the last printed digit",
        scale=NEIGHBOUR,
    )


def decimals_as_written(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """Ask the arbiter for the optimum of the decimals that were written, not of the doubles."""
    return _printed(
        dispute,
        rows,
        _renamed(dispute.truth, f"{part}_decimal", part),
        "the data as the decimals that were written",
        "data rounded to double",
        "the arbiter, given the decimals as they were written, has the published figure: what is "
        "lost is lost when the data become doubles",
    )


def _printed(
    dispute: Dispute,
    rows: pd.DataFrame,
    source: Tables,
    experiment: str,
    cause: str,
    says: str,
    *,
    scale: float = 1.0,
) -> Trial | None:
    """Hold the printed figures against those that `source` would have printed."""
    published = dispute.asked.case.published
    tables = [table for table in rows["table"].unique() if table in source]
    if published is None or not dispute.figures or not tables:
        return None
    tolerance = published.reference().tolerance
    names = _figure_tables(dispute)

    def units(table: str, column: str) -> Tolerance:
        printed = tolerance(names[table], column)
        return Tolerance(0.0, printed.reason, printed.atol * scale)

    printed = [
        f"{source[table].loc[row, column]:.{_decimals(text)}f} for the printed {text}"
        for table, row, column in rows[["table", "row", "column"]].itertuples(index=False)
        if table in tables and (text := published.figures[names[table]][row][column])
    ]
    says = f"{says}: {', '.join(dict.fromkeys(printed))}"
    subject = {table: dispute.figures[table] for table in tables}
    return compared(
        experiment, cause, says, rows, subject, Reference("printed", source, units, partial=True)
    )


def _decimals(text: str) -> int:
    return len(text.partition("e")[0].partition(".")[2])


def _figure_tables(dispute: Dispute) -> dict[str, str]:
    """Return the name in the case's figures of each table that the dispute has."""
    published = dispute.asked.case.published
    assert published is not None
    first = first_names(dispute.asked.case)
    return {
        f"{first.get(part, part)}.{kind}": table
        for table in published.figures
        for part, _, kind in [table.rpartition(".")]
    } | {table: table for table in published.figures}


def _renamed(tables: Tables, old: str, new: str) -> Tables:
    """Return the tables of one part under another part's name."""
    return {
        f"{new}.{kind}": table
        for name, table in tables.items()
        for part, _, kind in [name.rpartition(".")]
        if part == old
    }
