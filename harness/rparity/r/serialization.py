"""R's serialization format, version 2: wire values as bytes that R's `unserialize` reads, and back.

Only what wire values can hold is supported: vectors, lists and their attributes. The format is
described in "R Internals", section 1.8.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from rparity.r.wire import NULL, Wire

HEADER = b"B\n" + struct.pack("<3i", 2, 0x00040600, 0x00020300)
SYMBOL, PAIRLIST, TEXT, LIST, REFERENCE, NIL = 1, 2, 9, 19, 255, 254
# R's numbers of the types that are arrays of bytes, with the bytes of one element.
ARRAYS = {
    "logical": (10, 4),
    "integer": (13, 4),
    "double": (14, 8),
    "complex": (15, 16),
    "raw": (24, 1),
}
KINDS = {number: (kind, size) for kind, (number, size) in ARRAYS.items()}
STRINGS = 16
IS_OBJECT, HAS_ATTRIBUTES, HAS_TAG = 1 << 8, 1 << 9, 1 << 10
UTF8, ASCII = 1 << 15, 1 << 18


def dumps(wire: Wire) -> bytes:
    """Return the bytes from which R's `unserialize` makes the value."""
    return HEADER + b"".join(_written(wire))


def loads(data: bytes) -> Wire:
    """Return the value in the bytes of R's `serialize(…, xdr = FALSE, version = 2)`.

    Raises
    ------
    ValueError
        The value holds something that wire values cannot, such as a function.
    """
    if data[:2] != b"B\n":
        raise ValueError("R's answer is not in the format that was asked for")
    return _Reader(data, len(HEADER)).value()


def _integers(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}i", *values)


def _written(wire: Wire) -> list[bytes]:
    kind, data, attributes = wire
    if kind == "NULL":
        return [_integers(NIL)]
    flags = HAS_ATTRIBUTES * bool(attributes) + IS_OBJECT * ("class" in attributes)
    if kind in ARRAYS:
        number, size = ARRAYS[kind]
        parts = [_integers(number | flags, len(data) // size), bytes(data)]
    elif kind == "character":
        parts = [_integers(STRINGS | flags, len(data)), *map(_text, data)]
    else:
        parts = [_integers(LIST | flags, len(data))]
        for item in data:
            parts += _written(item)
    if attributes:
        for name, value in attributes.items():
            # Each symbol is written out: a reference would only save bytes.
            parts += [_integers(PAIRLIST | HAS_TAG, SYMBOL), _text(name), *_written(value)]
        parts.append(_integers(NIL))
    return parts


def _text(text: str | None) -> bytes:
    if text is None:
        return _integers(TEXT, -1)
    encoded = text.encode("utf-8")
    return _integers(TEXT | (ASCII if text.isascii() else UTF8), len(encoded)) + encoded


class _Reader:
    """Reads one value after another from bytes."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self.at = at
        self.symbols: list[str] = []

    def integer(self) -> int:
        (value,) = struct.unpack_from("<i", self.data, self.at)
        self.at += 4
        return int(value)

    def take(self, length: int) -> bytes:
        self.at += length
        return self.data[self.at - length : self.at]

    def value(self) -> Wire:
        flags = self.integer()
        number = flags & 0xFF
        if number == NIL:
            return NULL
        if number in KINDS:
            kind, size = KINDS[number]
            data: Any = self.take(size * self.integer())
        elif number == STRINGS:
            kind, data = "character", [self.text(self.integer()) for _ in range(self.integer())]
        elif number == LIST:
            kind, data = "list", [self.value() for _ in range(self.integer())]
        else:
            raise ValueError(f"R's answer holds a value of type {number}")
        return kind, data, self.attributes() if flags & HAS_ATTRIBUTES else {}

    def attributes(self) -> dict[str, Wire]:
        found = {}
        while (flags := self.integer()) & 0xFF == PAIRLIST:
            name = self.symbol(self.integer()) if flags & HAS_TAG else ""
            found[name] = self.value()
        return found

    def symbol(self, flags: int) -> str:
        if flags & 0xFF == REFERENCE:
            return self.symbols[(flags >> 8) - 1]
        self.symbols.append(str(self.text(self.integer())))
        return self.symbols[-1]

    def text(self, flags: int) -> str | None:
        length = self.integer()
        if length < 0:
            return None
        # R's answers are in UTF-8 or ASCII: its prelude has them so.
        return self.take(length).decode("utf-8", "surrogateescape" if flags & ~UTF8 else "strict")


def from_flat(flat: Wire) -> Wire:
    """Return the value that `flatten` of the prelude took apart into kind, data and attributes."""
    kind, data, extra = flat[1]
    names: Sequence[Any] = extra[2]["names"][1] if "names" in extra[2] else ()
    attributes = {str(n): from_flat(v) for n, v in zip(names, extra[1] or (), strict=True)}
    is_list = kind[1][0] == "list"
    return kind[1][0], [from_flat(item) for item in data[1]] if is_list else data[1], attributes
