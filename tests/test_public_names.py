"""What is importable from the top: said the same way to who runs and to who checks types."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import blockzoo
import blockzoo.measure

ROOT = Path(__file__).parents[1]
LAZY = [blockzoo, blockzoo.measure]
EXAMPLES = sorted(p for p in (ROOT / "examples").iterdir() if p.suffix in (".py", ".ipynb"))


def _told_to_type_checkers(package: ModuleType) -> dict[str, str]:
    """Return name and module of each import under `TYPE_CHECKING`."""
    assert package.__file__ is not None
    tree = ast.parse(Path(package.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    return {
        alias.asname or "": f"{node.module}.{alias.name}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


@pytest.mark.parametrize("package", LAZY, ids=lambda package: package.__name__)
def test_a_name_is_the_same_for_type_checkers(package: ModuleType) -> None:
    run = {name: f"blockzoo.{home}.{name}" for name, home in package._HOME.items()}

    assert list(run) == sorted(run)
    assert _told_to_type_checkers(package) == run
    for name in package.__all__:
        assert getattr(package, name) is getattr(import_module(run[name][: -len(name) - 1]), name)


def test_no_public_name_is_that_of_a_module() -> None:
    # Importing a module makes it an attribute of its package, over whatever has its name there.
    root = ROOT / "src/blockzoo"
    modules = {path.stem for path in root.iterdir()}
    assert modules & set(blockzoo.__all__) == set()
    assert blockzoo.measure.measure is blockzoo.benchmark_modules


def test_importing_loads_nothing_that_is_not_used() -> None:
    code = "import sys, blockzoo; print(*(m for m in sys.modules if m.startswith('blockzoo')))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {*ran.stdout.split()} == {"blockzoo", "blockzoo.core", "blockzoo.core.version"}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'blockzoo' has no attribute 'Nothing'"):
        _ = blockzoo.Nothing
    assert {*blockzoo.__all__} < {*dir(blockzoo)}


def _code(path: Path) -> str:
    if path.suffix == ".py":
        return path.read_text()
    cells = json.loads(path.read_text())["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_examples_import_from_the_top_alone(example: Path) -> None:
    found = re.findall(r"^\s*(?:from|import) (blockzoo[\w.]*)", _code(example), flags=re.M)
    assert set(found) == {"blockzoo"}
