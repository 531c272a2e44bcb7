"""Imports point downwards only: what a module needs when it is loaded lies in a lower layer."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import harness

PACKAGE = Path(harness.__file__).parent
# From the top down; a layer may use those below it, its modules one another without circles.
LAYERS = [
    ["cli", "pytest_plugin"],
    ["commands"],
    ["fuzz", "strategies"],
    ["report"],
    ["regenerate", "run", "explain", "doctor", "parity"],
    ["versions"],
    ["audit"],
    ["diagnose"],
    ["ledger", "experiments"],
    ["engines", "keep"],
    ["cases", "extensions"],
    ["study"],
    ["linear", "exact"],
    ["lmm"],
    ["rsession", "rrandom", "recordings", "cluster", "_dask", "_processes"],
    ["children", "_rvalues"],
    ["_rchild", "paths", "tables", "compare", "processor", "r_version", "rformat", "signing"],
    ["errors"],
    ["text", "_start"],
]
DEPTH = {name: depth for depth, names in enumerate(LAYERS) for name in names}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def dotted(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def loaded(path: Path) -> Iterator[str]:
    """The package's modules that loading this one loads: not for types only, not in functions."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "harness":
            module = (node.module or "").removeprefix("harness").removeprefix(".")
            known = {dotted(other) for other in MODULES}
            for alias in node.names:
                inner = f"{module}.{alias.name}".removeprefix(".")
                yield inner if inner in known else module


GRAPH = {dotted(path): {name for name in loaded(path) if name} for path in MODULES}


def test_every_module_has_a_layer() -> None:
    assert {name.partition(".")[0] for name in GRAPH} == set(DEPTH)


@pytest.mark.parametrize("module", GRAPH)
def test_imports_point_downwards(module: str) -> None:
    here = module.partition(".")[0]
    for other in GRAPH[module]:
        there = other.partition(".")[0]
        assert there == here or DEPTH[there] >= DEPTH[here], f"{module} imports {other} from above"


def test_there_are_no_circles() -> None:
    left = {name: set(others) & set(GRAPH) for name, others in GRAPH.items()}
    while free := [name for name, others in left.items() if not others]:
        left = {name: others - set(free) for name, others in left.items() if name not in free}
    assert not left, f"circles among {sorted(left)}"


def test_only_the_child_process_of_r_imports_rpy2() -> None:
    users = [
        p
        for p in MODULES
        if 'import_module("rpy2' in (text := p.read_text("utf-8"))
        or "import rpy2" in text
        or "from rpy2" in text
    ]
    assert [dotted(path) for path in users] == ["_rchild"]
