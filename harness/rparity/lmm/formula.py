"""lme4's formula notation: text becomes a fixed part and random-effects terms (bars)."""

import ast
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, NoReturn

from formulaic import Formula as Wilkinson
from formulaic.errors import FormulaicError

from rparity.errors import FormulaError
from rparity.lmm.lme4 import NESTING, NEWEST, Lme4
from rparity.r.format import format_r


@dataclass(frozen=True)
class Bar:
    """One random-effects term ``(lhs | group)``, after ``||`` and ``/`` are expanded."""

    lhs: str
    group: tuple[str, ...]  # the interacting columns: ("cask", "batch") for cask:batch
    name: str  # as lme4 prints it, such as "cask:batch"


@dataclass(frozen=True)
class Formula:
    """A parsed model formula; ``bars`` is empty for a linear model."""

    text: str
    response: str
    fixed: str
    offsets: tuple[str, ...]
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Terms:
    """The terms of a right-hand side: variables under R's labels, in the order of R's `terms()`."""

    intercept: bool
    terms: tuple[tuple[str, ...], ...]

    @property
    def variables(self) -> tuple[str, ...]:
        """Each label once."""
        return tuple(dict.fromkeys(label for term in self.terms for label in term))


@dataclass(frozen=True)
class Expression:
    """One variable as Python code, in which ``c0``, ``c1``, ... stand for `columns`."""

    code: str
    columns: tuple[str, ...]
    functions: tuple[str, ...]


class _Token(NamedTuple):
    kind: str
    text: str
    start: int


_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<quoted>`[^`]+`)
      | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?L?)
      | (?P<name>(?:[^\W\d]|\.)[\w.]*)
      | (?P<operator>%[^%]*%|\|\||&&|<=|>=|==|!=|\*\*|[-+*/^:|&~<>=!,()])""",
    re.VERBOSE,
)
_SYNTACTIC = re.compile(r"(?:[^\W\d]|\.(?!\d))[\w.]*")
_OPERANDS = {"string", "quoted", "number", "name"}
# R's constants and operators in Python; operators that bind differently there are left out.
_SAME = ("+", "-", "*", "/", "**", "<", ">", "<=", ">=", "==", "!=", "=", ",", "(", ")")
_PYTHON = {"TRUE": "True", "FALSE": "False", "NULL": "None", "^": "**"} | {op: op for op in _SAME}
_UNSPACED = {"^", "**", ":", "/"}  # R's deparse() puts blanks around the other operators


@lru_cache(maxsize=256)
def parse(text: str, lme4: Lme4 = NEWEST) -> Formula:
    """Parse a formula as lme4's `nobars()`, `findbars()` and `expandDoubleVerts()` do.

    Nested groups are named as in the version `lme4`.

    Raises
    ------
    FormulaError
        If the formula does not parse; a caret marks the place.
    """
    text = re.sub(r"\s", " ", text)  # one line, so that the caret fits below it
    tokens = _tokenize(text)
    sides = list(_split(tokens, {"~"}))
    if len(sides) != 2 or not sides[0][1]:
        at = sides[2][0] if len(sides) > 2 else tokens[0] if tokens else None
        _fail(text, "A formula must read `response ~ terms`, with one `~`.", at)
    fixed: list[str] = []
    offsets: list[str] = []
    bars: list[Bar] = []

    def collect(tokens: Sequence[_Token]) -> None:
        for sign, term in _split(tokens, {"+", "-"}):
            minus = sign is not None and sign.text == "-"
            inside = term[1:-1] if _closes(term) == len(term) - 1 else []
            is_call = len(term) > 2 and _closes(term[1:]) == len(term) - 2
            if _bar(term):
                _fail(text, "A random-effects term needs parentheses: `(x | g)`.", _bar(term))
            if minus and _has_bar(term):
                _fail(text, "A random-effects term cannot be subtracted: add it with `+`.", sign)
            if inside and _bar(inside):
                bars.extend(_bars(text, inside, lme4))
            elif inside and _has_bar(inside):
                collect(inside)
            elif _has_bar(term):
                _fail(text, "A random-effects term must be added with `+`.", term[0])
            elif is_call and term[0].text == "offset" and not minus:
                offsets.append(_deparse(term[2:-1]))
            else:
                lead = " - " if minus else " + " if fixed else ""
                fixed.append(lead + _source(text, term))

    collect(sides[1][1])
    right = "".join(fixed).strip() or "1"
    return Formula(text, _deparse(sides[0][1]), right, tuple(offsets), tuple(bars))


@lru_cache(maxsize=256)
def terms(text: str) -> Terms:
    """Expand a right-hand side without bars, as R's `terms()` does, by formulaic's algebra.

    formulaic gets a plain alias for each variable, so that calls and R's dotted names are not
    changed. Within a term, variables are ordered by their first appearance in the formula. This is
    R's rule, and it decides the names of interactions.
    """
    tokens = _tokenize(text)
    aliases: dict[str, str] = {}
    pieces: list[str] = []
    depth = i = 0
    while i < len(tokens):
        token = tokens[i]
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        end = i + 1
        if token.kind in {"name", "quoted"}:
            if token.text == ".":
                _fail(text, "`.` for all other columns is not supported: name them.", token)
            if _opens(tokens, i + 1):
                end = i + 2 + _closes(tokens[i + 1 :])
            pieces.append(aliases.setdefault(_deparse(tokens[i:end]), f"v{len(aliases)}"))
        else:
            power = i > 0 and tokens[i - 1].text in {"^", "**"}
            if token.kind == "number" and not power and (depth or token.text not in {"0", "1"}):
                _fail(
                    text,
                    "Numbers are allowed only inside I(), except 0 and 1 outside parentheses.",
                    token,
                )
            if token.kind == "string" or token.text.startswith(tuple("%&<>=!,")):
                _fail(text, f"`{token.text}` is not supported here: compute a column first.", token)
            pieces.append(token.text)
        i = end
    try:
        expanded = Wilkinson(" ".join(pieces))
    except FormulaicError as error:
        reason = str(error).splitlines()[0]
        raise FormulaError(f"The formula part `{text}` does not parse: {reason}") from error
    order = {alias: (int(alias[1:]), label) for label, alias in aliases.items()}
    found = [sorted(order[f.expr] for f in t.factors if f.expr != "1") for t in expanded]
    labels = tuple(tuple(label for _, label in term) for term in found)
    return Terms(() in labels, tuple(term for term in labels if term))


@lru_cache(maxsize=256)
def expression(label: str) -> Expression:
    """Translate one variable of a formula, such as ``I(x^2)``, from R to Python.

    Raises
    ------
    FormulaError
        For R operators that Python does not have, or that bind differently there.
    """
    columns: dict[str, str] = {}
    functions: list[str] = []
    code: list[str] = []
    tokens = _tokenize(label)
    for i, token in enumerate(tokens):
        if token.kind == "name" and _opens(tokens, i + 1):
            functions.append(token.text)
            code.append(token.text.replace(".", "_"))
        elif token.kind == "name" and i + 1 < len(tokens) and tokens[i + 1].text == "=":
            code.append(token.text)
        elif token.text in _PYTHON:
            code.append(_PYTHON[token.text])
        elif token.kind in {"name", "quoted"}:
            code.append(columns.setdefault(token.text.strip("`"), f"c{len(columns)}"))
        elif token.kind in {"number", "string"}:
            code.append(token.text.rstrip("L") if token.kind == "number" else token.text)
        else:
            _fail(label, f"`{token.text}` is not supported here: compute a column first.", token)
    return Expression(" ".join(code), tuple(columns), tuple(functions))


def number_label(value: float) -> str:
    """Write a number as R's `as.character()` does, with up to 15 digits."""
    return format_r(value, 15)[0]


def _tokenize(text: str) -> list[_Token]:
    """Split `text` into tokens; check that operands and operators alternate, and parentheses."""
    tokens: list[_Token] = []
    opened: list[_Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            _fail(text, f"`{text[at]}` is not allowed here.", _Token("", "", at))
        kind, start, at = str(match.lastgroup), at, match.end()
        if kind == "space":
            continue
        token = _Token(kind, match[0], start)
        last = tokens[-1] if tokens else None
        complete = last is not None and (last.kind in _OPERANDS or last.text == ")")
        if kind in _OPERANDS:
            if complete:
                _fail(text, "An operator is missing here.", token)
        elif token.text == "(":
            if complete and last is not None and last.kind != "name":
                _fail(text, "An operator is missing here.", token)
            opened.append(token)
        elif token.text == ")" and not opened:
            _fail(text, "This parenthesis has no opening one.", token)
        elif not complete and token.text not in {"+", "-", "!"}:
            missing = "The response" if token.text == "~" else "A term"
            _fail(text, f"{missing} is missing here.", token)
        elif token.text == ")":
            opened.pop()
        tokens.append(token)
    if opened:
        _fail(text, "This parenthesis is not closed.", opened[-1])
    if not tokens or (tokens[-1].kind not in _OPERANDS and tokens[-1].text != ")"):
        _fail(text, "A term is missing at the end.", _Token("", "", len(text)))
    return tokens


def _bars(text: str, tokens: Sequence[_Token], lme4: Lme4) -> Iterator[Bar]:
    """Expand the inside of one ``(lhs | group)``."""
    (_, lhs), (bar, group), *more = _split(tokens, {"|", "||"})
    if more:
        _fail(text, "A random-effects term can have only one `|`.", more[0][0])
    left = [_source(text, lhs)]
    if bar is not None and bar.text == "||":
        parts = terms(left[0])
        left = ["1"] * parts.intercept + ["0 + " + ":".join(term) for term in parts.terms]
    expand = _nested if lme4.has(NESTING) else _nested_before
    return (Bar(side, *found) for side in left for found in expand(text, group))


Group = tuple[tuple[str, ...], str]  # the columns, and the name


def _nested(text: str, group: Sequence[_Token]) -> list[Group]:
    """Expand `a/b` into b:a and a, the innermost group first and columns in reverse order."""
    paths = _paths(text, group)
    if any(token.text == "/" for token in group):
        paths = [path[::-1] for path in reversed(paths)]
    return [(path, ":".join(path)) for path in paths]


def _paths(text: str, group: Sequence[_Token]) -> list[tuple[str, ...]]:
    """Columns of each group, as written: `a/b` gives (a) and (a, b), `a:b` gives (a, b)."""
    while len(group) > 1 and _closes(group) == len(group) - 1:
        group = group[1:-1]
    outer: tuple[str, ...] = ()
    found: list[tuple[str, ...]] = []
    parts = [part for _, part in _split(group, {"/"})]
    if len(parts) > 1:
        for part in parts:
            found += [outer + path for path in _paths(text, part)]
            outer = found[-1]
        return found
    factors = [part for _, part in _split(group, {":"})]
    if len(factors) == 1:
        if len(group) != 1 or group[0].kind not in {"name", "quoted"}:
            place = group[0] if len(group) == 1 else group[1]
            _fail(text, "A grouping factor must be a column, `a:b` or `a/b`.", place)
        return [(group[0].text.strip("`"),)]
    for factor in factors:
        inner = _paths(text, factor)
        if len(inner) > 1:
            _fail(text, "A grouping factor cannot have `/` inside an operand of `:`.", factor[0])
        outer += inner[0]
    return [outer]


def _nested_before(text: str, group: Sequence[_Token]) -> list[Group]:
    """Expand `a/b` as lme4 did before 1.1-36, with the brackets of R's deparse() in names."""
    found: list[Group] = []
    for _, part in _split(group, {"/"}):
        paths = _paths(text, part)
        if len(paths) > 1:
            _fail(text, "lme4 before version 1.1-36 does not allow `/` in brackets.", part[0])
        columns = paths[0]
        name = _deparse(part) if len(part) > 1 else columns[0]
        if found:  # deparse() puts the right side of a colon in brackets
            outer, label = found[0]
            bracketed = f"({label})" if ":" in label and not label.startswith("(") else label
            columns, name = columns + outer, f"{name}:{bracketed}"
        found.insert(0, (columns, name))
    return found


def _split(
    tokens: Sequence[_Token], operators: set[str]
) -> Iterator[tuple[_Token | None, Sequence[_Token]]]:
    """Split at `operators` outside parentheses; successive signs become one."""
    depth, begin = 0, 0
    operator: _Token | None = None
    for i, token in enumerate(tokens):
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth or token.text not in operators:
            continue
        before = tokens[i - 1] if i else None
        if before is None or (before.kind not in _OPERANDS and before.text != ")"):  # a sign
            if i != begin:
                continue  # the sign of an exponent, in x^-1
            negated = operator is not None and operator.text == "-" and token.text == "-"
            negative = operator is not None and operator.text == "-"
            if not negative or negated:
                operator = token._replace(text="+") if negated else token
        else:
            yield operator, tokens[begin:i]
            operator = token
        begin = i + 1
    yield operator, tokens[begin:]


def _opens(tokens: Sequence[_Token], i: int) -> bool:
    return i < len(tokens) and tokens[i].text == "("


def _closes(tokens: Sequence[_Token]) -> int:
    """Return where the parenthesis that opens at the first token closes, or -1 if none opens."""
    depth = 0
    for i, token in enumerate(tokens):
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if not depth:
            return i or -1
    return -1


def _bar(tokens: Sequence[_Token]) -> _Token | None:
    """Return the first bar outside all parentheses."""
    return next((op for op, _ in _split(tokens, {"|", "||"}) if op is not None), None)


def _has_bar(tokens: Sequence[_Token]) -> bool:
    """Whether there is a bar outside calls; inside a call it is R's `or`."""
    calls: list[bool] = []
    for i, token in enumerate(tokens):
        if token.text == "(":
            calls.append(i > 0 and tokens[i - 1].kind == "name")
        elif token.text == ")":
            calls.pop()
        elif token.text in {"|", "||"} and not any(calls):
            return True
    return False


def deparse(text: str) -> str:
    """Write a part of a formula with R's blanks."""
    return _deparse(_tokenize(text))


def _deparse(tokens: Sequence[_Token]) -> str:
    """Write an expression as R's `deparse()` does."""
    out: list[str] = []
    for i, token in enumerate(tokens):
        before = tokens[i - 1] if i else None
        binary = before is not None and (before.kind in _OPERANDS or before.text == ")")
        if token.kind == "string":
            out.append(json.dumps(ast.literal_eval(token.text), ensure_ascii=False))
        elif token.kind == "number" and not token.text.endswith("L"):
            out.append(number_label(float(token.text)))
        elif token.kind == "quoted" and _SYNTACTIC.fullmatch(token.text[1:-1]):
            out.append(token.text[1:-1])
        elif token.text == ",":
            out.append(", ")
        elif token.kind == "operator" and binary and token.text not in _UNSPACED | {"(", ")"}:
            out.append(f" {token.text} ")
        else:
            out.append("^" if token.text == "**" else token.text)
    return "".join(out)


def _source(text: str, tokens: Sequence[_Token]) -> str:
    return text[tokens[0].start : tokens[-1].start + len(tokens[-1].text)]


def _fail(text: str, message: str, at: _Token | None) -> NoReturn:
    place = 0 if at is None else at.start
    raise FormulaError(f"{message}\n    {text}\n    {' ' * place}^")
