"""Imports point downwards only: what a module needs when it is loaded lies in a lower layer."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

import rparity

PACKAGE = Path(rparity.__file__).parent
# From the top down; a layer may use those below it, its modules one another without circles.
LAYERS = [
    ["cli", "pytest_plugin"],
    ["commands", "strategies", "extend"],
    ["fuzz"],
    ["report"],
    ["doctor", "regenerate", "run", "parity"],
    ["audit"],
    ["diagnosis"],
    ["engines"],
    ["cases"],
    ["exact", "study"],
    ["lmm", "recordings"],
    ["files", "r"],
    ["rrandom", "workers", "signing"],
    ["errors"],
    ["compare", "paths", "tables", "text"],
]
DEPTH = {name: depth for depth, names in enumerate(LAYERS) for name in names}
# The same inside lmm, from the lowest up. What is not here uses these, and may use one another.
ROOMS_OF_LMM = [["lme4", "numbers"], ["control", "language"], ["matrices"], ["solver"]]
HEIGHT = {name: height for height, names in enumerate(ROOMS_OF_LMM) for name in names}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def dotted(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def statements(path: Path) -> list[ast.stmt]:
    """All statements of a module, at whatever depth; no import lies in an expression."""
    found = list(parsed(path).body)
    for node in found:  # which grows
        for name in ("body", "orelse", "finalbody", "handlers", "cases"):
            found += getattr(node, name, ())
    return found


@cache
def imported(path: Path, *, lazily: bool) -> set[str]:
    """The modules of the package that a module imports to run; `lazily` also those in functions."""
    for_types = {
        id(node)
        for block in statements(path)
        if isinstance(block, ast.If)
        and isinstance(block.test, ast.Name)
        and block.test.id == "TYPE_CHECKING"
        for node in block.body
    }
    found = set()
    for node in statements(path) if lazily else parsed(path).body:
        if not isinstance(node, ast.ImportFrom) or id(node) in for_types:
            continue
        root, _, module = (node.module or "").partition(".")
        if root == "rparity":
            for alias in node.names:
                inner = f"{module}.{alias.name}".removeprefix(".")
                found.add(inner if inner in NAMES else module)
    return found - {""}


NAMES = {dotted(path): path for path in MODULES}


def room(module: str) -> str:
    """A folder of the package, or a module in its root."""
    return module.partition(".")[0]


def test_every_room_has_a_layer_and_there_are_fewer_than_thirty() -> None:
    for names in LAYERS:
        print("  ".join(names))
    assert {room(name) for name in NAMES} == set(DEPTH)
    assert len(DEPTH) < 30


@pytest.mark.parametrize("module", NAMES)
def test_imports_point_downwards_also_those_in_functions(module: str) -> None:
    for other in imported(NAMES[module], lazily=True):
        if room(other) != room(module):
            assert DEPTH[room(other)] > DEPTH[room(module)], f"{module} imports {other} from above"


@pytest.mark.parametrize("module", [name for name in NAMES if name.startswith("lmm.")])
def test_the_rooms_of_lmm_build_on_one_another(module: str) -> None:
    own, top = module.split(".")[1], len(ROOMS_OF_LMM)
    for other in imported(NAMES[module], lazily=True):
        if other.startswith("lmm.") and (theirs := other.split(".")[1]) != own:
            height = HEIGHT.get(own, top)
            assert height == top or HEIGHT.get(theirs, top) < height, f"{module} imports {other}"


def test_no_modules_load_one_another() -> None:
    left = {name: imported(path, lazily=False) & set(NAMES) for name, path in NAMES.items()}
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
    assert [dotted(path) for path in users] == ["r.child"]


def classes() -> list[str]:
    return [
        node.name
        for path in MODULES
        for node in parsed(path).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]


def test_a_class_name_has_one_meaning() -> None:
    names = classes()
    assert not {name for name in names if names.count(name) > 1}
