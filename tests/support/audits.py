"""Invented audits for tests: one with every verdict, and one with names that attack the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from rparity.audit.results import Audit, EngineReply
from rparity.cases.base import Case
from rparity.cases.document import DOCUMENT
from rparity.compare import COLUMNS, Tables
from rparity.diagnosis.experiments.base import Trial
from rparity.diagnosis.explain import Finding
from rparity.diagnosis.ledger import Entry
from rparity.engines.base import Answer

ATTACK = "<script>alert(1)</script>"
QUOTED = "\"><img src=x onerror='alert(2)'>"
STOPS = ["case", "model", "engine", "distance", "rise"]


def toy(name: str, title: str = "a toy") -> Case:
    case = replace(DOCUMENT, title=title)
    object.__setattr__(case, "name", name)  # also one that the rule for names does not allow
    return case


def row(case: str, engine: str, **fields: Any) -> dict[str, Any]:
    usual = {
        "case": case,
        "engine": engine,
        "table": "m.coef",
        "row": "x",
        "column": "estimate",
        "reference": "exact",
        "reference_value": 1.0,
        "value": 1.0,
        "digits": 15.95,
        "rtol": 1e-12,
        "atol": 0.0,
        "verdict": "identical",
        "cause": "",
    }
    return usual | fields


def comparisons(*rows: Mapping[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=[*COLUMNS, "cause"])


def reply(*tables: str, **fields: Any) -> EngineReply:
    answer = Answer(
        {name: pd.DataFrame({"estimate": [1.0]}, ["x"]) for name in tables},
        fields.pop("gaps", {}),
        fields.pop("notes", ()),
    )
    return EngineReply(answer, **fields)


def trial(rows: Sequence[int], *, cause: str, gone: bool, **fields: Any) -> Trial:
    return Trial(
        fields.get("experiment", f"the experiment on {cause}"),
        cause,
        fields.get("says", f"it is {cause}"),
        pd.Series(fields.get("digits", 13.0), list(rows)),
        pd.Series(gone, list(rows)),
    )


def finding(case: str, engine: str, rows: Sequence[int], cause: str, **fields: Any) -> Finding:
    trials = (
        trial(rows, cause="something else", gone=False, digits=5.0),
        trial(rows, cause=cause, gone=bool(cause)),
    )
    return Finding(
        case,
        engine,
        fields.get("reference", "exact"),
        fields.get("part", "m"),
        pd.Index(list(rows)),
        cause,
        fields.get("trials", trials),
        fields.get("entry"),
    )


ENTRY = Entry(
    id="planted",
    cases=["*"],
    engine="nlme",
    reference="exact",
    tables=["m.coef"],
    rows=["*"],
    columns=["*"],
    cause="stopped early",
    bound=5.0,
    why="It stops where it likes.",
    references=["https://example.org/planted", "a paper"],
    reproduce="rparity explain one nlme",
)


def audit(
    rows: pd.DataFrame,
    engines: Sequence[str],
    cases: Sequence[str],
    *,
    replies: Mapping[tuple[str, str], EngineReply] | None = None,
    findings: Sequence[Finding] = (),
    stops: pd.DataFrame | None = None,
    reference_tables: Mapping[str, Tables] | None = None,
    provenance: Mapping[str, Mapping[str, Any]] | None = None,
) -> Audit:
    answered = {(engine, case): reply("m.coef") for engine in engines for case in cases}
    return Audit(
        engines=tuple(engines),
        cases=tuple(toy(case) for case in cases),
        replies=answered | dict(replies or {}),
        comparisons=rows,
        findings=findings,
        stops=pd.DataFrame(columns=STOPS) if stops is None else stops,
        reference_tables={case: {} for case in cases} | dict(reference_tables or {}),
        provenance=provenance or {},
        seconds=12.3,
    )


def one_of_everything() -> Audit:
    """Return an audit with two cases, each verdict, a gap, a problem, and a reference."""
    rows = comparisons(
        row("one", "lme4"),
        row("one", "nlme", value=1.00001, digits=5.0, verdict="known", cause="stopped early"),
        row("one", "rparity", value=1.0 + 1e-13, digits=13.0, verdict="rounding"),
        row("one", "mixedlm", value=1.1, digits=1.0, verdict="unexplained"),
        row("two", "lme4", value=1.001, digits=3.0, verdict="new", cause="other [units]"),
        row("two", "nlme", row="*", digits=0.0, verdict="missing", value=np.nan),
        row("two", "rparity", digits=8.0, verdict="within", table="boot.boot", reference="R"),
        row("two", "mixedlm", table="ledger: gone", digits=0.0, verdict="stale"),
    )
    replies = {
        ("gpboost", "one"): reply(gaps={"m": "it knows no REML"}),
        ("gpboost", "two"): EngineReply(None, "crashed: killed by SIGSEGV"),
        ("lme4", "one"): reply("m.coef", when="2026-11-22T10:00:00Z", made_by={"lme4": "1.1-31"}),
    }
    findings = [
        finding("one", "nlme", [1], "stopped early", entry=ENTRY),
        finding("one", "mixedlm", [3], ""),
        finding("two", "lme4", [4], "other [units]"),
    ]
    engines = ("exact", "lme4", "nlme", "rparity", "mixedlm", "gpboost")
    return audit(rows, engines, ("one", "two"), replies=replies, findings=findings)


def under_attack() -> Audit:
    """Return an audit in which all names from data are scripts."""
    case, engine = f"case{ATTACK}", f"engine{ATTACK}"
    rows = comparisons(
        row(
            case,
            engine,
            table=f"m{QUOTED}.{ATTACK}",
            row=f"row{ATTACK}",
            column=f"column{QUOTED}",
            digits=4.0,
            value=1.0001,
            reference=f"reference{ATTACK}",
            verdict="new",
            cause=f"cause{QUOTED}",
        ),
        row(case, engine, digits=3.0, verdict="known", cause=ATTACK),
    )
    entry = replace(
        ENTRY,
        id=f"id{ATTACK}",
        cause=ATTACK,
        why=f"why{ATTACK}",
        references=[f"javascript:alert(3) {ATTACK}", f'https://example.org/"{QUOTED}'],
        reproduce=f"rparity {ATTACK}",
    )
    says = trial([0], cause="c", gone=True, experiment=f"try{ATTACK}", says=f"says{QUOTED}")
    findings = [
        finding(case, engine, [0], f"cause{QUOTED}", part=f"part{ATTACK}", trials=(says,)),
        finding(case, engine, [1], ATTACK, entry=entry),
    ]
    replicates = pd.DataFrame({f"term{ATTACK}": np.linspace(0.0, 1.0, 50)})
    answered = Answer(
        {"m.coef": replicates},
        {f"gap{ATTACK}": f"reason{QUOTED}"},
        [f"warning{ATTACK}"],
    )
    drawn = Answer({f"boot{ATTACK}.replicates": replicates + 1e-9})
    return replace(
        audit(
            rows,
            (engine, "other"),
            (case,),
            replies={
                (engine, case): EngineReply(
                    answered, made_by={f"package{ATTACK}": f"version{QUOTED}"}
                ),
                ("other", case): EngineReply(None, f"problem{ATTACK}"),
                ("rparity", case): EngineReply(drawn),
            },
            findings=findings,
            stops=pd.DataFrame([(case, f"model{QUOTED}", engine, 1e-6, 1e-10)], columns=STOPS),
            reference_tables={case: {f"boot{ATTACK}.replicates": replicates}},
            provenance={case: {"time": ATTACK, "made_by": {"platform": QUOTED, "packages": {}}}},
        ),
        cases=(toy(case, f"title{ATTACK}"),),
    )


def large(engines: int = 14, cases: int = 38, values: int = 60, replicates: int = 5000) -> Audit:
    """Return an audit with as many cells as a full one, many values in each, and long tables."""
    names = [f"case_of_some_length_{i}" for i in range(cases)]
    who = ["exact", *(f"statsmodels-{i}" for i in range(engines - 1))]
    rng = np.random.default_rng(1)
    n = cases * (engines - 1) * values
    places = pd.MultiIndex.from_product([names, who[1:], range(values)])
    digits, reference = rng.uniform(0, 15.9, n), rng.normal(size=n)
    frame = pd.DataFrame(
        {
            "case": places.get_level_values(0),
            "engine": places.get_level_values(1),
            "table": "lmer.ranef",
            "row": [f"treatment.{i}.(Intercept)" for i in places.get_level_values(2)],
            "column": "condval",
            "reference": "exact",
            "reference_value": reference,
            "value": reference * (1.0 + 10.0**-digits),
            "digits": digits,
            "rtol": 1e-12,
            "atol": 1e-12,
            "verdict": "known",
            "cause": "stopped early",
        }
    )
    long = frame.iloc[[0] * replicates].assign(table="boot.replicates", row="1", reference="R")
    rows = pd.concat([frame, long], ignore_index=True)[[*COLUMNS, "cause"]]
    findings = [
        finding(case, engine, of.index.tolist(), "stopped early", entry=ENTRY)
        for (case, engine), of in rows.groupby(["case", "engine"], sort=False)
    ]
    return audit(rows, who, names, findings=findings)
