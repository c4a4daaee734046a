"""Code as text: the source that runs, whatever has become of the file, else the bytecode."""

from __future__ import annotations

import importlib
import linecache
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from blockzoo.blocks.source_code import code_text, used_names

Load = Callable[[str], ModuleType]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Write a module and import it."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def put(text: str) -> ModuleType:
        (tmp_path / "y4_code.py").write_text(text)
        sys.modules.pop("y4_code", None)
        linecache.clearcache()
        importlib.invalidate_caches()
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        return importlib.import_module("y4_code")

    yield put
    sys.modules.pop("y4_code", None)


def test_text_is_the_source_without_comments_and_docstrings(load: Load) -> None:
    text = (
        'def same(f): return f\n@same\ndef f(x):\n    """Say."""\n\n    return (x\n + 1)  # one\n'
    )
    function = load(text).f
    assert code_text(function.__code__) == "@same\ndef f(x):\n    return x + 1"


def test_a_file_that_was_edited_since_is_not_taken_for_what_runs(load: Load) -> None:
    module = load("def f(x):\n    return x + 1\n")
    Path(str(module.__file__)).write_text("def f(x):\n    return x + 2\n")
    linecache.clearcache()
    assert code_text(module.f.__code__).startswith("bytecode ('f'")


def test_lambdas_on_one_line_are_told_apart(load: Load) -> None:
    module = load("f, g = (lambda x: x), (lambda x: -x)\nh = lambda x: +x\n")
    f, g, h = (code_text(each.__code__) for each in (module.f, module.g, module.h))
    assert f != g
    assert f.startswith("bytecode")
    assert h == "lambda x: +x"


def test_bytecode_tells_code_without_a_source_apart() -> None:
    def made(text: str) -> str:
        names: dict[str, Callable[[int], int]] = {}
        exec(text, names)
        return code_text(names["f"].__code__)

    texts = ("def f(x): return x + 1", "def f(x): return x + 2", "def f(x): return x * 1")
    assert len({made(text) for text in texts}) == 3
    assert made(texts[0]) == made(f"\n\n{texts[0]}  # one")
    # Members of a set constant have another order in each process.
    assert "{'a', 'b', 'c'}" in made("def f(x): return x in {'c', 'a', 'b'}")


def test_names_are_those_of_all_code_within(load: Load) -> None:
    module = load(
        "def f(x):\n"
        "    from .beside import helper\n"
        "    import deep.down as d\n"
        "    class Inner:\n        value = outside\n"
        "    def inner(): global kept; kept = lambda: other.part\n"
        "    return helper(d, Inner, inner)\n"
    )
    names = used_names(module.f.__code__)
    assert {"outside", "kept", "other"} <= names.globals
    assert not {"x", "helper", "inner", "part"} & names.globals
    assert {"part", "helper"} <= names.attributes
    assert names.imports == {(1, "beside"), (0, "deep.down")}
