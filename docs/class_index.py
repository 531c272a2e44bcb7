"""Write docs/reference/classes.md, the index of classes: `python docs/class_index.py`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import rparity

PACKAGE = Path(rparity.__file__).parent
PAGE = Path(__file__).parent / "reference" / "classes.md"
HEAD = """# Index of classes

The classes of the package by module, with the first line of their docstrings.
`docs/class_index.py` writes this page. Other terms are in [Design](../design.md#words).

| class | module | meaning |
| --- | --- | --- |
"""


def classes() -> Iterator[tuple[str, str, str]]:
    """Yield name, module and meaning of every class that is not private, module by module."""
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                first = (ast.get_docstring(node) or "").partition("\n")[0]
                yield node.name, module.removesuffix(".__init__"), first


def page() -> str:
    """Return the page."""
    rows = (
        f"| `{name}` | `{module}` | {meaning.replace('|', chr(92) + '|')} |"
        for name, module, meaning in classes()
    )
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
