"""lme4's formula notation: text becomes a fixed part and random-effects terms (bars)."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product

from rparity.errors import FormulaError
from rparity.lmm.language.expression import (
    Constant,
    FunctionCall,
    Name,
    Node,
    deparse,
    expression,
    fail,
    name_label,
    names,
)
from rparity.lmm.lme4 import NESTING, NEWEST, Lme4

# The operators of R's formulas; others make a variable.
OPERATORS = {"+", "-", "*", "/", ":", "^", "%in%", "("}
BARS = {"|", "||"}


@dataclass(frozen=True)
class Bar:
    """One random-effects term ``(lhs | group)``, after ``||`` and ``/`` are expanded."""

    lhs: str
    group: tuple[str, ...]  # the interacting columns: ("cask", "batch") for cask:batch
    name: str  # as lme4 prints it, such as "cask:batch"

    @property
    def label(self) -> str:
        """The group as it stands in a formula."""
        return name_label(self.name) if len(self.group) == 1 else self.name


@dataclass(frozen=True)
class Formula:
    """A parsed model formula, with R's blanks; ``bars`` is empty for a linear model."""

    text: str
    response: str
    fixed: str
    offsets: tuple[str, ...]
    bars: tuple[Bar, ...]
    nodes: Mapping[str, Node] = field(default_factory=dict, compare=False, repr=False)

    def fixed_terms(self, columns: Iterable[str]) -> "Terms":
        """The terms of the fixed part, where `.` stands for all columns but the response's."""
        if "." not in names(expression(self.fixed)):
            return terms(self.fixed)
        left = names(expression(self.response))
        return terms(self.fixed, tuple(name for name in columns if name not in left))


@dataclass(frozen=True)
class Terms:
    """The terms of a right-hand side: variables under R's labels, in the order of R's `terms()`.

    `removed` are variables of terms that were subtracted. R leaves out rows in which they are
    missing. `nodes` are the expressions of variables whose labels are shortened.
    """

    intercept: bool
    terms: tuple[tuple[str, ...], ...]
    removed: tuple[str, ...] = ()
    nodes: Mapping[str, Node] = field(default_factory=dict, compare=False, repr=False)

    @property
    def variables(self) -> tuple[str, ...]:
        """Each label once."""
        return tuple(dict.fromkeys(label for term in self.terms for label in term))


@lru_cache(maxsize=256)
def parse(text: str, lme4: Lme4 = NEWEST) -> Formula:
    """Parse a formula as lme4's `nobars()`, `findbars()` and `expandDoubleVerts()` do.

    Nested groups are named as in the version `lme4`.

    Raises
    ------
    FormulaError
        If the formula does not parse; a caret marks the place.
    """
    if not isinstance(text, str):
        raise FormulaError(
            f"The formula is a {type(text).__name__}: write it as text, such as 'y ~ x + (1 | g)'."
        )
    text = re.sub(r"\s", " ", text)  # one line, so that the caret fits below it
    whole = expression(text)
    one = "A formula must read `response ~ terms`, with one `~`."
    if not isinstance(whole, FunctionCall) or whole.function != "~":
        fail(text, one, whole.at if isinstance(whole, FunctionCall) else 0)
    if len(whole.arguments) == 1:
        fail(text, "The response is missing here.", whole.at)
    left, right = whole.operands
    if isinstance(left, FunctionCall) and left.function == "~":
        fail(text, one, whole.at)
    bars: list[Bar] = []
    fixed = _without_bars(text, right, bars, lme4)
    variables = [] if fixed is None else list(_variables(fixed))
    calls = (found for found in variables if isinstance(found, FunctionCall))
    offsets = tuple(
        deparse(call.operands[0], exact=True) for call in calls if call.function == "offset"
    )
    return Formula(
        text=deparse(whole, exact=True),
        response=deparse(left),
        fixed="1" if fixed is None else deparse(fixed, exact=True),
        offsets=offsets,
        bars=tuple(bars),
        nodes=_other_than_labels([left]),
    )


def _other_than_labels(nodes: Iterable[Node]) -> dict[str, Node]:
    """Return the expressions that their labels do not give again, by label.

    A label has at most 15 digits, and `2` for `2L`.
    """
    found = {deparse(node): node for node in nodes}
    return {label: node for label, node in found.items() if expression(label) != node}


def _without_bars(text: str, node: Node, bars: list[Bar], lme4: Lme4) -> Node | None:
    """Return the fixed part, and add the random-effects terms to `bars`."""
    if not isinstance(node, FunctionCall) or not _has_bar(node):
        return node
    if node.function in BARS:
        bars.extend(_bars(text, node, lme4))
        return None
    sides = node.operands
    if node.function == "-" and _has_bar(sides[-1]):
        fail(text, "A random-effects term cannot be subtracted: add it with `+`.", node.at)
    if node.function not in {"(", "+", "-"}:
        fail(text, "A random-effects term must be added with `+`.", node.at)
    found = [_without_bars(text, side, bars, lme4) for side in sides]
    kept = [(side, old) for side, old in zip(found, node.arguments, strict=True) if side]
    if len(kept) == len(sides):
        arguments = tuple(type(old)(side, old.name) for side, old in kept)
        return FunctionCall(node.function, arguments, node.at)
    if node.function == "-":  # (1 | g) - 1
        return FunctionCall("-", node.arguments[1:], node.at)
    return kept[0][0] if kept else None


def _has_bar(node: Node) -> bool:
    """Whether there is a bar between the terms; inside a call it is R's `or`."""
    if not isinstance(node, FunctionCall):
        return False
    below = node.operands if node.function in OPERATORS else ()
    if node.function == "!":  # `!` binds less than `+`: !l + (1 | g) is !(l + (1 | g))
        calls = (side for side in node.operands if isinstance(side, FunctionCall))
        below = tuple(call for call in calls if call.function in {"+", "-"})
    return node.function in BARS or any(map(_has_bar, below))


def _variables(node: Node) -> Iterator[Node]:
    """The variables of a right-hand side, from left to right: calls and names."""
    if isinstance(node, FunctionCall) and node.function in OPERATORS:
        for side in node.operands[: 1 if node.function == "^" else None]:
            yield from _variables(side)
    elif not isinstance(node, Constant):
        yield node


@lru_cache(maxsize=256)
def terms(text: str, columns: tuple[str, ...] | None = None) -> Terms:
    """Expand a right-hand side without bars, as R's `terms()` does.

    `.` stands for all `columns`. Within a term, variables are ordered by their first appearance in
    the formula. This is R's rule, and it decides the names of interactions. Source: `TermCode` and
    `EncodeVars` in R's src/library/stats/src/model.c.

    Raises
    ------
    FormulaError
        For numbers and text between the terms, and for `.` without columns.
    """
    algebra = _Algebra(text, columns)
    bits = algebra.encode(expression(text))
    labels = list(algebra.variables)
    found = [tuple(labels[i] for i in sorted(term)) for term in sorted(bits, key=len)]
    offsets = {label for label in labels if label.startswith("offset(")}
    kept = tuple(term for term in found if offsets.isdisjoint(term))
    present = offsets.union(*kept)
    removed = tuple(x for x in labels if x not in present)
    nodes = _other_than_labels(algebra.variables.values())
    return Terms(algebra.intercept, kept, removed, nodes)


Bits = list[frozenset[int]]  # terms, each as the numbers of its variables


class _Algebra:
    """The algebra of terms (Wilkinson and Rogers, 1973) with R's `%in%`, `0` and `-1`."""

    def __init__(self, text: str, columns: tuple[str, ...] | None) -> None:
        self.text = text
        self.columns = columns
        self.variables: dict[str, Node] = {}
        self.intercept = True
        self.adding = True  # whether the number of minus signs around this place is even

    def encode(self, node: Node) -> Bits:
        if isinstance(node, Constant):
            return self.constant(node)
        if not isinstance(node, FunctionCall) or node.function not in OPERATORS:
            if node == Name("."):
                if self.columns is None:
                    fail(
                        self.text,
                        "`.` for all other columns is not supported here: name them.",
                        node.at,
                    )
                return [self.variable(Name(name)) for name in self.columns]
            return [self.variable(node)]
        left, *right = node.operands
        match node.function:
            case "(":
                return self.encode(left)
            case "+":
                return _unique(term for side in node.operands for term in self.encode(side))
            case "-":
                kept = self.encode(left) if right else []
                self.adding = not self.adding
                dropped = self.encode(right[0] if right else left)
                self.adding = not self.adding
                return [term for term in kept if term not in dropped]
            case "^":
                return self.power(left, right[0])
        a, b = self.encode(left), self.encode(right[0])
        both = _unique(one | other for one, other in product(a, b))
        match node.function:
            case ":":
                return both
            case "*":
                return _unique([*a, *b, *both])
            case "/":
                whole = frozenset[int]().union(*a)
                return _unique([*a, *(whole | term for term in b)])
        whole = frozenset[int]().union(*b)  # a %in% b
        return _unique(term | whole for term in a)

    def variable(self, node: Node) -> frozenset[int]:
        label = deparse(node)
        self.variables.setdefault(label, node)
        return frozenset({list(self.variables).index(label)})

    def constant(self, node: Constant) -> Bits:
        """Read 0 and 1, for which R also takes FALSE and TRUE, and NULL, which is nothing."""
        if isinstance(node.value, str):
            fail(self.text, "Text is allowed only inside functions and comparisons.", node.at)
        if node.value is not None and node.value not in {0.0, 1.0}:
            fail(
                self.text,
                "Numbers other than 0 and 1 are allowed only inside functions such as I().",
                node.at,
            )
        if node.value is not None:
            self.intercept = (node.value == 1.0) is self.adding
        return []

    def power(self, left: Node, right: Node) -> Bits:
        exponent = right.value if isinstance(right, Constant) else None
        if not isinstance(exponent, float) or not exponent.is_integer() or exponent < 1:
            message = "The power of a term is a whole number: write I(x^y) for arithmetic."
            fail(self.text, message, right.at)
        once = self.encode(left)
        found = once
        for _ in range(int(exponent) - 1):
            found, before = _unique(a | b for a, b in product(found, once)), found
            if found == before:
                break
        return found


def _unique(found: Iterable[frozenset[int]]) -> Bits:
    return list(dict.fromkeys(found))


def _bars(text: str, bar: FunctionCall, lme4: Lme4) -> Iterator[Bar]:
    """Expand the inside of one ``(lhs | group)``."""
    lhs, group = bar.operands
    if isinstance(lhs, FunctionCall) and lhs.function in BARS:
        fail(text, "A random-effects term can have only one `|`.", bar.at)
    left = [deparse(lhs, exact=True)]
    if bar.function == "||":
        parts = terms(left[0])
        left = ["1"] * parts.intercept + [_without_intercept(term, parts) for term in parts.terms]
    expand = _nested if lme4.has(NESTING) else _nested_before
    return (Bar(side, *found) for side in left for found in expand(text, group))


def _without_intercept(term: tuple[str, ...], parts: Terms) -> str:
    exact = (deparse(parts.nodes.get(label, expression(label)), exact=True) for label in term)
    return "0 + " + ":".join(exact)


Group = tuple[tuple[str, ...], str]  # the columns, and the name


def _nested(text: str, group: Node) -> list[Group]:
    """Expand `a/b` into b:a and a, the innermost group first and columns in reverse order."""
    paths = _paths(text, group)
    if len(paths) > 1:
        paths = [path[::-1] for path in reversed(paths)]
    return [(path, _group_label(path)) for path in paths]


def _group_label(path: Sequence[str]) -> str:
    """Name a group as R's `deparse()` does, which quotes odd names inside a call only."""
    return path[0] if len(path) == 1 else ":".join(map(name_label, path))


def _paths(text: str, group: Node) -> list[tuple[str, ...]]:
    """Columns of each group, as written: `a/b` gives (a) and (a, b), `a:b` gives (a, b)."""
    if isinstance(group, Name):
        return [(group.text,)]
    if isinstance(group, FunctionCall) and group.function == "(":
        return _paths(text, group.operands[0])
    if not isinstance(group, FunctionCall) or group.function not in {"/", ":"}:
        fail(text, "A grouping factor must be a column, `a:b` or `a/b`.", group.at)
    outer, inner = (_paths(text, side) for side in group.operands)
    if group.function == "/":
        return outer + [outer[-1] + path for path in inner]
    if len(outer) > 1 or len(inner) > 1:
        fail(text, "A grouping factor cannot have `/` inside an operand of `:`.", group.at)
    return [outer[0] + inner[0]]


def _nested_before(text: str, group: Node) -> list[Group]:
    """Expand `a/b` as lme4 did before 1.1-36, with the brackets of R's deparse() in names."""
    parts = [group]
    while isinstance(parts[0], FunctionCall) and parts[0].function == "/":
        parts[:1] = parts[0].operands
    found: list[Group] = []
    for part in parts:
        paths = _paths(text, part)
        if len(paths) > 1:
            fail(text, "lme4 before version 1.1-36 does not allow `/` in brackets.", part.at)
        columns = paths[0]
        name = columns[0] if isinstance(part, Name) else deparse(part)
        if found:  # deparse() puts the right side of a colon in brackets
            outer, label = found[0]
            shown = name_label(label) if len(outer) == 1 else label
            bracketed = f"({label})" if len(outer) > 1 and not label.startswith("(") else shown
            here = name_label(name) if isinstance(part, Name) else name
            columns, name = columns + outer, f"{here}:{bracketed}"
        found.insert(0, (columns, name))
    return found
