"""Experiments on published figures: what other runs of R, or the arbiter, would have printed."""

from __future__ import annotations

import pandas as pd

from rparity.cases.base import first_names
from rparity.compare import Reference, Tables, Tolerance, kind_of, part_of, tables_of
from rparity.diagnosis.causes import Cause
from rparity.diagnosis.experiments.base import Dispute, Trial, compared

# One unit of the last printed digit beyond the rounding of 0.55 units.
NEIGHBOUR = 1.55 / 0.55


def rounding_of_the_figure(dispute: Dispute, _part: str, rows: pd.DataFrame) -> Trial | None:
    """Round the other side's value to the digits that were printed."""
    other = (
        dispute.answer if dispute.figures is dispute.reference_tables else dispute.reference_tables
    )
    return _printed(
        dispute,
        rows,
        other,
        "rounded to the printed digits",
        Cause.ROUNDED_FIGURE,
        "to the digits that are printed, it is the same figure",
    )


def tight_controls(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """See whether lme4 with tight controls prints the published figures."""
    return _printed(
        dispute,
        rows,
        _renamed(dispute.context.recorded, f"{part}_tight", part),
        "lme4 at tight controls",
        Cause.STOPPED_EARLY,
        "lme4 with xtol_rel=1e-10 prints the published figure",
    )


def optimizer_of_the_time(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """See whether lme4 with bobyqa, its default when the page was made, prints the figures."""
    return _printed(
        dispute,
        rows,
        _renamed(dispute.context.recorded, f"{part}_bobyqa", part),
        'lme4 with optimizer="bobyqa"',
        Cause.STOPPED_EARLY,
        'lme4 with optimizer="bobyqa", its default at the time, stops where the figure says, up to '
        "a unit of the last printed digit",
        scale=NEIGHBOUR,
    )


def decimals_as_written(dispute: Dispute, part: str, rows: pd.DataFrame) -> Trial | None:
    """See whether the optimum for the decimals as written, before rounding to doubles, agrees."""
    return _printed(
        dispute,
        rows,
        _renamed(dispute.reference_tables, f"{part}_decimal", part),
        "the data as the decimals that were written",
        Cause.ROUNDED_DATA,
        "the arbiter, given the decimals as they were written, has the published figure: what is "
        "lost is lost when the data become doubles",
    )


def _printed(
    dispute: Dispute,
    rows: pd.DataFrame,
    source: Tables,
    experiment: str,
    cause: Cause,
    says: str,
    *,
    scale: float = 1.0,
) -> Trial | None:
    """Compare the printed figures with what `source` would have printed."""
    published = dispute.context.case.published
    tables = [table for table in rows["table"].unique() if table in source]
    if published is None or not dispute.figures or not tables:
        return None
    names = _figure_tables(dispute)

    def units(table: str, column: str) -> Tolerance:
        printed = published.tolerance(names[table], column)
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
    """Map each table of the dispute to its name among the case's published figures."""
    published = dispute.context.case.published
    assert published is not None
    first = first_names(dispute.context.case)
    return {
        f"{first.get(part_of(table), part_of(table))}.{kind_of(table)}": table
        for table in published.figures
    } | {table: table for table in published.figures}


def _renamed(tables: Tables, old: str, new: str) -> Tables:
    """Return the tables of one part under another part's name."""
    return {f"{new}.{kind}": table for kind, table in tables_of(tables, old).items()}
