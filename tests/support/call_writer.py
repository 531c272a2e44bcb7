"""As writer.py, with the recording of a call of `r_parity` instead of one of a case."""

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
    """Return an answer in which every value shows the name of the recording."""
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
    """Write the recording `name`."""
    provenance = {"asked": asked(root), "made_by": MADE_BY, "time": name}
    recorded = RecordedCall(tree(wire(value(name)), "f"), provenance)
    write_recording(place(root).recording(1), recorded)


def whose(root: Path) -> str:
    """Return the name of the recording that is there; fail if it is a mixture of two."""
    found = read(place(root).recording(1), asked(root), "run it")
    seen, name = value_of(found.answer), str(found.provenance["time"])
    expected = value(name)
    assert list(seen) == list(expected)
    assert seen["number"] == expected["number"]
    pd.testing.assert_series_equal(seen["vector"], expected["vector"], check_exact=True)
    pd.testing.assert_frame_equal(seen["table"], expected["table"], check_exact=True)
    np.testing.assert_array_equal(seen[f"only_{name}"], expected[f"only_{name}"])
    return name


def alone(root: Path) -> bool:
    """Whether there is nothing beside the recording."""
    file = place(root).recording(1)
    return [path.name for path in file.parent.iterdir()] == [file.name]


if __name__ == "__main__":
    writer.write = write  # the children of writer call it
    writer.STEPS += [(Path, "replace")]
    writer.serve()
