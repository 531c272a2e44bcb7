"""R's serialization format: what R has written is read, and what is written is what R writes."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from few import mostly_slow
from rparity.r.serialization import dumps, loads
from rparity.r.wire import NULL, Wire

# R 4.2.2: serialize(list(1L, c(a = 1.5, b = NA, c = NaN, d = -Inf), c("x", NA, "é"), NULL, TRUE,
# factor(c("u", "v", "u")), data.frame(a = 1:2, b = c("p", "q")), 1+2i, as.raw(c(1, 255)),
# matrix(1:4, 2, dimnames = list(c("r", "s"), NULL)), list(z = list())), NULL, FALSE, FALSE, 2)
WRITTEN_BY_R = bytes.fromhex(
    "420a020000000202040000030200130000000b0000000d00000001000000010000000e020000040000000000"
    "00000000f83fa20700000000f07f000000000000f87f000000000000f0ff0204000001000000090004000500"
    "00006e616d657310000000040000000900040001000000610900040001000000620900040001000000630900"
    "04000100000064fe000000100000000300000009000400010000007809000000ffffffff0980000002000000"
    "c3a9fe0000000a00000001000000010000000d03000003000000010000000200000001000000020400000100"
    "000009000400060000006c6576656c7310000000020000000900040001000000750900040001000000760204"
    "0000010000000900040005000000636c61737310000000010000000900040006000000666163746f72fe0000"
    "0013030000020000000d00000002000000010000000200000010000000020000000900040001000000700900"
    "0400010000007102040000ff0100001000000002000000090004000100000061090004000100000062020400"
    "00ff0300001000000001000000090004000a000000646174612e6672616d6502040000010000000900040009"
    "000000726f772e6e616d65730d0000000200000000000080fefffffffe0000000f0000000100000000000000"
    "0000f03f0000000000000040180000000200000001ff0d020000040000000100000002000000030000000400"
    "00000204000001000000090004000300000064696d0d00000002000000020000000200000002040000010000"
    "00090004000800000064696d6e616d6573130000000200000010000000020000000900040001000000720900"
    "04000100000073fe000000fe0000001302000001000000130000000000000002040000ff0100001000000001"
    "00000009000400010000007afe000000"
)


def text(*values: str | None) -> Wire:
    return "character", list(values), {}


def integers(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}i", *values)


VALUE: Wire = (
    "list",
    [
        ("integer", integers(1), {}),
        (
            "double",
            struct.pack("<d", 1.5)
            + np.uint64(0x7FF00000000007A2).tobytes()
            + np.uint64(0x7FF8000000000000).tobytes()
            + struct.pack("<d", -np.inf),
            {"names": text("a", "b", "c", "d")},
        ),
        text("x", None, "é"),
        NULL,
        ("logical", integers(1), {}),
        ("integer", integers(1, 2, 1), {"levels": text("u", "v"), "class": text("factor")}),
        (
            "list",
            [("integer", integers(1, 2), {}), text("p", "q")],
            {
                "names": text("a", "b"),
                "class": text("data.frame"),
                "row.names": ("integer", integers(-(2**31), -2), {}),
            },
        ),
        ("complex", struct.pack("<2d", 1.0, 2.0), {}),
        ("raw", b"\x01\xff", {}),
        (
            "integer",
            integers(1, 2, 3, 4),
            {
                "dim": ("integer", integers(2, 2), {}),
                "dimnames": ("list", [text("r", "s"), NULL], {}),
            },
        ),
        ("list", [("list", [], {})], {"names": text("z")}),
    ],
    {},
)


def test_what_r_has_written_is_read() -> None:
    assert loads(WRITTEN_BY_R) == VALUE


def test_what_is_written_is_read_again() -> None:
    assert loads(dumps(VALUE)) == VALUE


STRINGS = st.none() | st.text(st.characters(exclude_categories=["Cs"]))
VECTORS = st.one_of(
    st.lists(STRINGS).map(lambda data: ("character", data, {})),
    st.binary().map(lambda data: ("raw", data, {})),
    st.lists(st.floats(width=64)).map(
        lambda data: ("double", np.array(data, dtype=np.float64).tobytes(), {})
    ),
)


@pytest.mark.parametrize(
    "examples",
    mostly_slow([20, 100], lambda n: n == 20, "draws a hundred values of R"),
)
def test_every_value_survives(examples: int) -> None:
    @settings(max_examples=examples)
    @given(st.recursive(VECTORS, lambda inner: st.lists(inner).map(lambda x: ("list", x, {}))))
    def survives(value: Wire) -> None:
        assert loads(dumps(value)) == value

    survives()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"X\n" + WRITTEN_BY_R[2:], "not in the format"),
        (WRITTEN_BY_R[:14] + integers(3), "a value of type 3"),  # a closure
    ],
)
def test_other_values_are_refused(data: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        loads(data)


@pytest.mark.live
def test_r_reads_what_is_written() -> None:
    from rparity.r.session import RSession

    code = "unserialize(as.raw(bytes))"
    with RSession() as r:
        given_bytes = np.frombuffer(dumps(VALUE[1][5]), dtype=np.uint8).astype(float)
        assert list(r.evaluate(code, {"bytes": given_bytes}).value) == ["u", "v", "u"]
