"""A process that records calls in children of its own, as writer.py does for whole recordings.

start ROOT NAME     fork a child that writes the recording NAME over and over; answers its pid
once ROOT NAME K    fork a child that writes it once and dies, as if killed, before its K-th
                    system call of note; answers its exit status, 0 once it has got through
wait PID            wait for a killed child
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

import writer
from fake_r import wire
from rparity.parity.store import Place, RecordedCall, read
from rparity.parity.store import write as write_recording
from rparity.parity.values import tree, value_of


def place(root: Path) -> Place:
    return Place(root / "test_planted.py", "TestPlanted.test_planted[1]")


def asked(root: Path) -> dict[str, object]:
    question = {"script": "f.R", "function": "f", "seed": 1, "packages": []}
    hashes = {"scripts": {"f.R": "0" * 64}, "arguments": {"x": "1" * 64}}
    return {"test": place(root).test, "call": 1, **question, **hashes}


def value(name: str) -> dict[str, object]:
    """An answer of which every value tells whose it is."""
    number = float(len(name)) + ord(name[0]) / 7.0
    return {
        "number": number,
        "vector": pd.Series({"a": number, "b": number}),
        "table": pd.DataFrame(
            {"x": [number] * 40, "label": [name] * 40}, [f"r{i}" for i in range(40)]
        ),
        f"only_{name}": np.full(20, number),
    }


MADE_BY = {"packages": {"R": "4.2.2"}, "platform": "planted"}


def write(root: Path, name: str) -> None:
    """Write the recording `name`, whatever is there."""
    provenance = {"asked": asked(root), "made_by": MADE_BY, "time": name}
    recorded = RecordedCall(tree(wire(value(name)), "f"), provenance)
    write_recording(place(root).recording(1), recorded)


def whose(root: Path) -> str:
    """Read the recording; return its name if it is whole, and raise if it is a mixture."""
    found = read(place(root).recording(1), asked(root), "run it")
    seen, name = value_of(found.answer), str(found.provenance["time"])
    expected = value(name)
    assert list(seen) == list(expected)
    assert seen["number"] == expected["number"]
    pd.testing.assert_series_equal(seen["vector"], expected["vector"], check_exact=True)
    pd.testing.assert_frame_equal(seen["table"], expected["table"], check_exact=True)
    np.testing.assert_array_equal(seen[f"only_{name}"], expected[f"only_{name}"])
    return name


if __name__ == "__main__":
    writer.write = write  # what writer's children do
    writer.STEPS += [(Path, "replace")]
    writer.serve()
