"""R expressions: text becomes a tree of calls, and a tree becomes text as by R's `deparse()`.

As in R, everything is a call: operators, brackets and indexing, too. Sources: R's grammar
(`?Syntax`) and `deparse()`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, NoReturn, TypeAlias

from rparity.errors import FormulaError
from rparity.r.format import format_r


@dataclass(frozen=True)
class Constant:
    """A number, text, TRUE, FALSE, NA or NULL; `integer` for a number that was written `2L`."""

    value: float | str | bool | None
    integer: bool = False
    at: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Name:
    """A variable."""

    text: str
    at: int = field(default=0, compare=False)


@dataclass(frozen=True)
class CallArgument:
    """One argument of a call, with its name if it was given."""

    value: "Node"
    name: str = ""


@dataclass(frozen=True)
class FunctionCall:
    """A call of a function or operator, such as `log`, `stats::poly`, `+`, `(` or `[`."""

    function: str
    arguments: tuple[CallArgument, ...]
    at: int = field(default=0, compare=False)

    @property
    def operands(self) -> "tuple[Node, ...]":
        """The arguments without their names."""
        return tuple(argument.value for argument in self.arguments)


Node: TypeAlias = Constant | Name | FunctionCall


class _Token(NamedTuple):
    kind: str
    text: str
    start: int


_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<quoted>`[^`]+`)
      | (?P<number>(?:0[xX][\da-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)L?)
      | (?P<name>(?:[^\W\d]|\.(?!\d))[\w.]*)
      | (?P<operator>%[^%]*%|:::?|\|\||&&|<=|>=|==|!=|\*\*|\[\[|[-+*/^:|&~<>=!,()$\[\]])""",
    re.VERBOSE,
)
_SYNTACTIC = re.compile(r"(?:[^\W\d]|\.(?!\d))[\w.]*")
_OPERANDS = {"string", "quoted", "number", "name"}
_RESERVED: dict[str, float | bool | None] = {
    "TRUE": True,
    "FALSE": False,
    "NULL": None,
    "NA": float("nan"),
    "NaN": float("nan"),
    "Inf": float("inf"),
}
_COMPARISONS = ("<", ">", "<=", ">=", "==", "!=")
# How tightly an operator binds; the right side of `^` is read first.
_BINDS = {
    "~": 1,
    **dict.fromkeys(("|", "||"), 3),
    **dict.fromkeys(("&", "&&"), 5),
    **dict.fromkeys(_COMPARISONS, 9),
    **dict.fromkeys("+-", 11),
    **dict.fromkeys("*/", 13),
    "%": 15,
    ":": 17,
    "^": 21,
}
_PREFIX = {"!": 7, "+": 19, "-": 19, "~": 1}
_UNSPACED = {"^", ":", "/", "%%", "%/%"}  # deparse() puts blanks around the other operators
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0"}


@lru_cache(maxsize=1024)
def expression(text: str) -> Node:
    """Parse an R expression.

    Raises
    ------
    FormulaError
        If the text does not parse; a caret marks the place.
    """
    return _Parser(text).whole()


class _Parser:
    """Operator precedence parsing (Pratt, 1973)."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _tokenize(text)
        self.i = 0

    def whole(self) -> Node:
        found = self.node(0)
        if self.i < len(self.tokens):
            token = self.tokens[self.i]
            fail(self.text, f"`{token.text}` is not allowed here.", token.start)
        return found

    def peek(self) -> str:
        """Return the next operator, or nothing before an operand or the end."""
        if self.i < len(self.tokens) and self.tokens[self.i].kind == "operator":
            return self.tokens[self.i].text
        return ""

    def take(self) -> _Token:
        if self.i == len(self.tokens):
            fail(self.text, "A term is missing at the end.", len(self.text))
        self.i += 1
        return self.tokens[self.i - 1]

    def node(self, least: int) -> Node:
        """Read an expression whose operators bind more tightly than `least`."""
        token = self.take()
        left: Node
        if token.kind == "operator" and token.text in _PREFIX:
            operand = self.node(_PREFIX[token.text])
            left = FunctionCall(token.text, (CallArgument(operand),), token.start)
        elif token.text == "(" and token.kind == "operator":
            left = FunctionCall("(", (CallArgument(self.node(0)),), token.start)
            self.expect(")")
        elif token.kind == "operator":
            missing = "The response" if token.text == "~" else "A term"
            fail(self.text, f"{missing} is missing here.", token.start)
        else:
            left = _operand(token)
        while True:
            operator = self.peek()
            symbol = "^" if operator == "**" else operator
            binds = _BINDS["%" if symbol.startswith("%") else symbol] if _is_binary(symbol) else 0
            if operator in {"(", "[", "[[", "$", "::", ":::"}:
                left = self.postfix(left, self.take())
            elif binds > least:
                token = self.take()
                right = self.node(binds - (symbol == "^"))  # a^b^c is a^(b^c)
                left = FunctionCall(symbol, (CallArgument(left), CallArgument(right)), token.start)
            else:
                return left

    def postfix(self, left: Node, token: _Token) -> Node:
        """Read a call, an index, or a name after `$` or `::`."""
        if token.text in {"$", "::", ":::"}:
            after = self.take()
            if after.kind not in {"name", "quoted"} or not isinstance(left, Name):
                fail(self.text, f"A name is missing after `{token.text}`.", after.start)
            if token.text == "$":
                column = Name(after.text.strip("`"), after.start)
                return FunctionCall("$", (CallArgument(left), CallArgument(column)), token.start)
            return Name(f"{left.text}::{after.text.strip('`')}", left.at)
        if token.text == "(":
            if not isinstance(left, Name):
                fail(self.text, "An operator is missing here.", token.start)
            return FunctionCall(left.text, tuple(self.arguments(")")), left.at)
        end = "]" if token.text == "[" else "]]"
        inside = tuple(self.arguments("]"))
        if end == "]]":
            self.expect("]")
        return FunctionCall(token.text, (CallArgument(left), *inside), token.start)

    def arguments(self, end: str) -> Iterator[CallArgument]:
        """Read arguments up to `end`."""
        if self.peek() == end:
            self.take()
            return
        while True:
            name = ""
            ahead = self.tokens[self.i : self.i + 2]
            if len(ahead) == 2 and ahead[1].text == "=" and ahead[0].kind in _OPERANDS:
                name = ahead[0].text.strip("`\"'")
                self.i += 2
            yield CallArgument(self.node(0), name)
            if self.peek() != ",":
                break
            self.take()
        self.expect(end)

    def expect(self, text: str) -> None:
        if self.peek() == text:
            self.take()
            return
        if self.i == len(self.tokens):
            fail(self.text, "A term is missing at the end.", len(self.text))
        token = self.tokens[self.i]
        what = "An operator is missing" if token.kind in _OPERANDS else f"`{token.text}` is wrong"
        fail(self.text, f"{what} here.", token.start)


def _is_binary(symbol: str) -> bool:
    return symbol in _BINDS or symbol.startswith("%")


def _operand(token: _Token) -> Node:
    text, at = token.text, token.start
    if token.kind == "string":
        unescaped = re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), text[1:-1])
        return Constant(unescaped, at=at)
    if token.kind == "number":
        digits = text.rstrip("L")
        value = float(int(digits, 16)) if digits[:2] in {"0x", "0X"} else float(digits)
        return Constant(value, text.endswith("L"), at)
    if token.kind == "name" and text in _RESERVED:
        return Constant(_RESERVED[text], at=at)
    return Name(text.strip("`"), at)


def _tokenize(text: str) -> list[_Token]:
    """Split `text` into tokens; check parentheses, and that no two operands follow each other."""
    tokens: list[_Token] = []
    opened: list[_Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            fail(text, f"`{text[at]}` is not allowed here.", at)
        token = _Token(str(match.lastgroup), match[0], at)
        at = match.end()
        if token.kind == "space":
            continue
        last = tokens[-1] if tokens else None
        complete = last is not None and (last.kind in _OPERANDS or last.text in {")", "]"})
        if token.kind in _OPERANDS and complete:
            fail(text, "An operator is missing here.", token.start)
        if token.text in {"(", "[", "[["} and token.kind == "operator":
            opened += [token] * len(token.text)
        elif token.text in {")", "]"} and token.kind == "operator":
            if not opened or (opened.pop().text == "(") != (token.text == ")"):
                fail(text, "This parenthesis has no opening one.", token.start)
            if not complete and last is not None and last.text not in {"(", "[", ","}:
                fail(text, "A term is missing here.", token.start)
        tokens.append(token)
    if opened:
        fail(text, "This parenthesis is not closed.", opened[-1].start)
    if not tokens:
        fail(text, "A term is missing at the end.", len(text))
    return tokens


def number_label(value: float) -> str:
    """Write a number as R's `as.character()` does, with up to 15 digits."""
    return format_r(value, 15)[0]


def deparse(node: Node, *, exact: bool = False) -> str:
    """Write an expression as R's `terms()` labels it: with R's blanks, and `2` for `2L`.

    With `exact`, the text has all digits of its numbers and the L of whole ones.
    """
    if isinstance(node, Name):
        return name_label(node.text)
    if isinstance(node, Constant):
        return _constant(node, exact)
    f, sides = node.function, [deparse(operand, exact=exact) for operand in node.operands]
    if f == "(":
        return f"({sides[0]})"
    if f in _PREFIX and len(sides) == 1:
        return f + sides[0]
    if _is_binary(f) and len(sides) == 2:
        return sides[0] + (f if f in _UNSPACED else f" {f} ") + sides[1]
    if f == "$":
        return "$".join(sides)
    arguments = [
        f"{argument.name} = {side}" if argument.name else side
        for argument, side in zip(node.arguments, sides, strict=True)
    ]
    if f in {"[", "[["}:
        return f"{sides[0]}{f}{', '.join(arguments[1:])}{']' * len(f)}"
    package, colons, function = f.rpartition("::")
    return f"{package}{colons}{name_label(function)}({', '.join(arguments)})"


def name_label(name: str) -> str:
    """Write a name, with backticks if R needs them."""
    quoted = not _SYNTACTIC.fullmatch(name.replace("::", "")) or name in _RESERVED
    return f"`{name}`" if quoted else name


def _constant(node: Constant, exact: bool) -> str:
    value = node.value
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        for letter, character in _ESCAPES.items():
            escaped = escaped.replace(character, f"\\{letter}")
        return f'"{escaped}"'
    shown = f"{value:.0f}" if node.integer else number_label(value)
    if not exact:
        return shown
    return f"{shown}L" if node.integer else shown if float(shown) == value else repr(value)


def names(node: Node) -> tuple[str, ...]:
    """Return each variable of an expression once, as R's `all.vars()` does."""
    return tuple(dict.fromkeys(_names(node)))


def _names(node: Node) -> Iterator[str]:
    if isinstance(node, Name):
        yield node.text
    elif isinstance(node, FunctionCall):
        for operand in node.operands[node.function == "$" :]:
            yield from _names(operand)


def fail(text: str, message: str, at: int) -> NoReturn:
    """Raise FormulaError with a caret below the place of the error."""
    raise FormulaError(f"{message}\n    {text}\n    {' ' * at}^")
