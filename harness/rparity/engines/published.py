"""What a source printed, as an engine: figures to the digits they were printed with."""

from __future__ import annotations

import pandas as pd

from rparity.cases.base import Case, Part, first_names
from rparity.engines.base import Answer


class Published:
    """A page, a paper or a table of certified values, read as an answer to a case."""

    name = "published"

    def expected(self, part: Part) -> tuple[str, ...]:
        """Return whatever may have been printed of a part."""
        return part.tables

    def answer_case(self, case: Case) -> Answer:
        """Return the figures under the names that the audit has for the case's models."""
        if case.published is None:
            return Answer({}, {part.name: "nothing is published" for part in case.parts})
        first = first_names(case)
        tables: dict[str, pd.DataFrame] = {}
        for name, table in case.published.reference().tables.items():
            part, _, kind = name.rpartition(".")
            tables[f"{first.get(part, part)}.{kind}"] = table
        return Answer(tables, notes=(case.published.source,))
