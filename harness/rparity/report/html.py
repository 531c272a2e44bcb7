"""An audit as one page: it needs no network, and scripts only to sort and filter."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from rparity import __version__
from rparity.audit.results import Audit, Cell
from rparity.compare import Verdict
from rparity.diagnosis.ledger import Entry
from rparity.report import summary
from rparity.report.charts import figures
from rparity.report.details import details, everything, exactly

FAILURES = 60
SOFT_HYPHEN = "\u00ad"
# Digits below which a cell is coloured as having few, or none to speak of.
FEW, NONE = 6.0, 2.0
TEMPLATES = files("rparity.report") / "templates"


@dataclass(frozen=True)
class Square:
    """A cell of the page's matrix: what is written in it, and what it is filtered by.

    `depth` says how few digits there are, for its colour: `none`, `few` or nothing of note.
    """

    cell: Cell
    text: str
    kind: str
    says: str
    depth: str = ""


def page(audit: Audit) -> str:
    """Return the page. What comes from data is escaped, and no script but the page's own may run.

    Raises
    ------
    ModuleNotFoundError
        Without jinja2, which the extra `audit` brings.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup, escape

    def breakable(name: str) -> Markup:
        """Let a narrow column break a name where it is joined, or between syllables."""
        for word, broken in summary.SYLLABLES.items():
            name = name.replace(word, broken.replace("-", SOFT_HYPHEN))
        return escape(name).replace("-", Markup("-<wbr>")).replace("_", Markup("_<wbr>"))

    style, script = ((TEMPLATES / name).read_text("utf-8") for name in ("audit.css", "audit.js"))
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"exactly": exactly, "everything": everything, "breakable": breakable}
    template = environment.from_string((TEMPLATES / "audit.html").read_text("utf-8"))
    text: str = template.render(
        audit=audit,
        version=__version__,
        style=Markup(style),
        script=Markup(script),
        policy=f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}",
        drawn=Markup,
        figures=figures(audit, address),
        **_found(audit),
    )
    return text


def anchor(*names: str) -> str:
    """Return the id of what the page has under these names."""
    return "--".join(quote(name, safe="") for name in names)


def address(engine: str, case: str) -> str:
    """Return where the page has an engine's answer to a case."""
    return f"#{anchor(case, engine)}"


def _hash(text: str) -> str:
    """Return what a content security policy knows a style or a script by."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _found(audit: Audit) -> dict[str, Any]:
    causes = summary.causes(audit)
    squares = _squares(audit)
    shown = {square.kind for square in squares.values()}
    return {
        "squares": squares,
        "details": details(audit),
        "blanks": summary.blanks(audit),
        "causes": causes,
        "entries": _entries(audit),
        "failing": [row for _, row in summary.failing(audit).iterrows()],
        "to_paste": summary.entries_to_paste(audit),
        "problems": summary.problems(audit),
        "gaps": summary.gaps(audit),
        "witnesses": summary.witnesses(audit),
        "counts": summary.counted(audit.comparisons),
        "kinds": [kind for kind in (*Verdict, *BLANK) if kind in shown],
        "anchor": anchor,
        "most_failures": FAILURES,
        "machines": _machines(audit),
    }


# What is written in a cell without comparisons, and what it means.
BLANK = {
    summary.REFERENCE: ("ref", "what the others are compared with"),
    summary.GAP: ("·", "gap"),
    summary.PROBLEM: ("!", "problem"),
}


def _squares(audit: Audit) -> dict[tuple[str, str], Square]:
    blanks = summary.blanks(audit)
    found = {}
    for place, cell in audit.cells.items():
        kind = blanks.get(place)
        if kind is not None:
            text, means = BLANK[kind]
            why = cell.problem or "; ".join(summary.left_out(audit.replies.get(place))) or means
            found[place] = Square(cell, text, kind, f"{means}: {why}" if why != means else why)
            continue
        assert cell.digits is not None
        assert cell.verdict is not None
        mark = summary.MARKS.get(cell.verdict, "")
        says = ", ".join([f"{cell.values} values, {cell.verdict}", *cell.causes])
        text = f"{cell.digits + 0.0:.1f}{mark}"
        depth = "none" if cell.digits < NONE else "few" if cell.digits < FEW else ""
        found[place] = Square(cell, text, cell.verdict, says, depth)
    return found


def _entries(audit: Audit) -> list[Entry]:
    """Return the ledger's entries that know something here."""
    found = {f.entry.id: f.entry for f in audit.findings if f.entry is not None}
    return list(found.values())


def _machines(audit: Audit) -> list[tuple[Mapping[str, Any], list[str], list[str]]]:
    """Return where R recorded the cases: the machine as `made_by`, the cases, and the days."""
    found: dict[str, tuple[Mapping[str, Any], list[str], list[str]]] = {}
    for case, told in audit.provenance.items():
        made_by = told.get("made_by", {})
        machine = found.setdefault(repr(made_by), (made_by, [], []))
        machine[1].append(case)
        machine[2].append(str(told.get("time", ""))[:10])
    return list(found.values())
