"""Recordings of large values: their numbers lie in a compressed file beside the JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fake_r import FakeR, wire
from few import mostly_slow
from plugin_sessions import Run, record_once, recordings, said
from rparity.files import sha256
from rparity.parity import blocks
from rparity.parity.blocks import LARGE, compress, decompress, pack, unpack
from rparity.parity.store import numbers_of
from rparity.parity.values import decode, encode, tree, value_of

RNG = np.random.default_rng(8)
N = LARGE // 8 + 1
# Where a hundredth of the values counts as large, fewer show that each kind keeps its bits.
FEW = N // 100
ODD = np.array([np.nan, np.inf, -np.inf, -0.0, 5e-324, 1e308] * FEW)


def packed(node: object) -> tuple[object, bytes]:
    block = bytearray()
    return pack(node, block), bytes(block)


@pytest.mark.parametrize(
    "value",
    [
        RNG.normal(size=FEW),
        ODD,
        np.arange(FEW, dtype=np.int32),
        pd.Series(RNG.normal(size=FEW), [f"r{i}" for i in range(FEW)]),
        pd.DataFrame(RNG.normal(size=(5, 30))).add_prefix("x"),
        pd.DataFrame({"a": ["u", None] * FEW, "b": ODD[: 2 * FEW], "c": [True, False] * FEW}),
        pd.DataFrame({"none": np.full(2 * FEW, np.nan), "i": np.arange(2 * FEW, dtype=np.int32)}),
        {"list": {"vector": RNG.normal(size=FEW), "rows": 1.0}, "table": {"rows": ODD, "n": "Inf"}},
    ],
)
def test_large_values_keep_all_bits(value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "LARGE", 8 * FEW - 1)
    node = json.loads(json.dumps(encode(tree(wire(value), "f"))))
    small, block = packed(node)
    assert len(block) > blocks.LARGE
    assert unpack(json.loads(json.dumps(small)), block) == node
    assert json.dumps(unpack(small, block)) == json.dumps(node)  # -0.0 too
    assert repr(value_of(decode(unpack(small, block)))) == repr(value_of(decode(node)))


@pytest.mark.parametrize(
    "value",
    [np.zeros(N - 1), ["text"] * N, {f"x{i}": np.zeros(100) for i in range(200)}],
)
def test_small_values_and_texts_stay_in_the_json(value: object) -> None:
    node = encode(tree(wire(value), "f"))
    assert packed(node) == (node, b"")


def test_the_compressed_content_is_checked() -> None:
    block = RNG.normal(size=100).tobytes()
    content, digest = compress(block), sha256(block)
    assert compress(block) == content
    assert decompress(content, len(block), digest) == block
    for wrong in (content[:-20], compress(block[:-8]), compress(b"\1" * 800)):
        with pytest.raises(ValueError, match="differs"):
            decompress(wrong, len(block), digest)


# In sessions of pytest ----------------------------------------------------------------------------


@pytest.fixture
def large(pytester: pytest.Pytester, run: Run) -> Run:
    """A recorded call with a large answer."""
    pytester.makepyfile(
        test_a="""
        def test_one(r_parity):
            r = r_parity.call("f.R", "large")
            r.check(r.value, rtol=0)
        """
    )
    FakeR.functions["large"] = lambda: {"m": np.arange(20_000.0).reshape(200, 100) / 7, "a": 1.0}
    record_once(pytester.path, run, passed=1)
    return run


def file_of(pytester: pytest.Pytester) -> Path:
    (found,) = numbers_of(pytester.path / "r_recordings" / "test_a" / "test_one.1.json")
    return found


def test_recording_again_changes_no_byte(pytester: pytest.Pytester, large: Run) -> None:
    before = recordings(pytester.path)
    assert len(before) == 2
    assert max(map(len, before.values())) < 160_000
    large().assert_outcomes(passed=1)
    result = large("--r=record")
    result.stdout.fnmatch_lines(["1 recordings left as they were: R answers the same"])
    assert recordings(pytester.path) == before
    file_of(pytester).unlink()
    large("--r=record").assert_outcomes(passed=1)
    assert recordings(pytester.path) == before


@pytest.mark.slow(reason="records megabytes three times")
def test_a_changed_answer_replaces_the_file(pytester: pytest.Pytester, large: Run) -> None:
    old = file_of(pytester)
    FakeR.functions["large"] = lambda: {"m": np.arange(20_000.0), "a": 1.0}
    large("--r=record").assert_outcomes(passed=1)
    assert file_of(pytester) != old
    FakeR.functions["large"] = lambda: 1.0
    large("--r=record").assert_outcomes(passed=1)
    assert [Path(name).name for name in recordings(pytester.path)] == ["test_one.1.json"]


@pytest.mark.parametrize(
    "edit",
    mostly_slow(
        ["removed", "cut", "changed", "another"],
        lambda edit: edit == "changed",
        "records and reads megabytes in sessions of pytest, for each edit",
    ),
)
def test_a_file_that_is_not_as_written_is_refused(
    pytester: pytest.Pytester, large: Run, edit: str
) -> None:
    file = file_of(pytester)
    content = file.read_bytes()
    if edit == "removed":
        file.unlink()
        assert f"{file} is missing, which holds numbers of the recording" in said(large())
    else:
        wrong = {
            "cut": content[:-100],
            "changed": content[:500] + bytes([content[500] ^ 1]) + content[501:],
            "another": compress(np.zeros(20_000).tobytes()),
        }
        file.write_bytes(wrong[edit])
        assert "test_one.1.json, beside it, are corrupt. Restore them from" in said(large())
    large("--r=record").assert_outcomes(passed=1)
    large().assert_outcomes(passed=1)


def test_a_recording_that_no_test_uses_is_listed_with_its_numbers(
    pytester: pytest.Pytester, large: Run
) -> None:
    name = file_of(pytester).name
    pytester.makepyfile(test_a="def test_two(): pass")
    large().stdout.fnmatch_lines(
        ["2 recordings that no test uses: remove them:", f"*{name}", "*test_one.1.json"]
    )
