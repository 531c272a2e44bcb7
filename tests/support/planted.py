"""Planted answers: what an engine with one mistake would answer, and the causes that are found."""

from __future__ import annotations

from functools import cache

import pandas as pd

from rparity import paths
from rparity.audit.audit_case import AuditCase, audit_case_of
from rparity.cases import case
from rparity.cases.base import LMER_TABLES, Lmer
from rparity.compare import Reference, Tables, Tolerance, compare
from rparity.diagnosis.experiments.base import Dispute
from rparity.diagnosis.explain import Finding, explain
from rparity.engines import kept_answers
from rparity.engines.native import lmer_tables
from rparity.lmm.fit import LmerResults

BAR = Tolerance(1e-12, "rounding")


@cache
def audit_case(name: str) -> AuditCase:
    return audit_case_of(case(name), paths.fixtures())


@cache
def proven(name: str) -> Tables:
    return kept_answers.read(paths.fixtures(), "exact", audit_case(name).question)[0].tables


def fit_of(name: str, part: str = "lmer") -> LmerResults:
    model = audit_case(name).context.parts[part]
    assert isinstance(model, Lmer)
    return audit_case(name).context.lmer(model)


def named(tables: Tables, part: str) -> dict[str, pd.DataFrame]:
    return {f"{part}.{kind}": table for kind, table in tables.items()}


def found(
    name: str,
    answer: Tables,
    *,
    engine: str = "planted",
    against: Tables | None = None,
    **more: object,
) -> dict[str, list[Finding]]:
    """Causes of the disagreements of a planted answer with the arbiter's."""
    known = proven(name) if against is None else against
    reference = Reference("exact", known, lambda _t, _c: BAR, partial=True)
    rows = compare(name, engine, answer, reference, [t for t in answer if t in known])
    rows = rows[rows["value"].notna() | rows["reference_value"].notna()]
    dispute = Dispute(audit_case(name).context, engine, "exact", answer, known, **more)
    causes: dict[str, list[Finding]] = {}
    for finding in explain(dispute, rows)[1]:
        causes.setdefault(finding.cause, []).append(finding)
    return causes


def tables_at(fit: LmerResults, part: str = "lmer") -> dict[str, pd.DataFrame]:
    return named(lmer_tables(fit, LMER_TABLES), part)
