"""Published figures as an engine."""

from __future__ import annotations

import pandas as pd

from rparity.cases.base import Case, Part, first_names
from rparity.compare import kind_of, part_of
from rparity.engines.base import Answer


class Published:
    """The figures of a page, a paper or a table of certified values as the answer to a case."""

    name = "published"

    def expected(self, part: Part) -> tuple[str, ...]:
        """Return all tables of a part: any of them may have been printed."""
        return part.tables

    def answer_case(self, case: Case) -> Answer:
        """Return the figures, under the names of the models in the audit's question."""
        if case.published is None:
            return Answer({}, {part.name: "nothing is published" for part in case.parts})
        first = first_names(case)
        tables: dict[str, pd.DataFrame] = {}
        for name, table in case.published.reference().tables.items():
            part = part_of(name)
            tables[f"{first.get(part, part)}.{kind_of(name)}"] = table
        return Answer(tables, notes=(case.published.source,))
