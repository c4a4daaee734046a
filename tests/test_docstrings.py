"""The examples in docstrings run, and every function of the public API has one."""

from __future__ import annotations

import doctest
import re
from importlib import import_module
from pathlib import Path

import pytest

import blockzoo

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "src"


def _module(path: Path) -> str:
    return ".".join(path.relative_to(SOURCES).with_suffix("").parts).removesuffix(".__init__")


WITH_EXAMPLES = sorted(
    _module(path) for path in SOURCES.rglob("*.py") if ">>> " in path.read_text()
)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_in_docstrings_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    results = doctest.testmod(import_module(name), optionflags=doctest.ELLIPSIS)

    assert results.attempted > 0
    assert results.failed == 0


def _public_functions() -> dict[str, object]:
    """Return what `blockzoo` exports and what the reference in docs/api.md lists, by name."""
    listed = re.findall(
        r"\.\. auto(?:function|class):: ([\w.]+)", (ROOT / "docs/api.md").read_text()
    )
    names = {*listed, *(f"blockzoo.{name}" for name in blockzoo.__all__)}
    split = (name.rpartition(".") for name in sorted(names))
    return {f"{home}.{name}": getattr(import_module(home), name) for home, _, name in split}


def test_every_function_of_the_public_api_has_an_example() -> None:
    functions = {
        name: value
        for name, value in _public_functions().items()
        if callable(value) and not isinstance(value, type)
    }
    without = [name for name, value in functions.items() if ">>> " not in (value.__doc__ or "")]

    assert len(functions) > 10
    assert without == []
