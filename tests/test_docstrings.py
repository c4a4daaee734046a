"""Docstrings of the public API say what is there, in the ecosystem's form; examples in them run."""

from __future__ import annotations

import dataclasses
import doctest
import inspect
import re
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import blockzoo

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "src"
SECTIONS = ("Args", "Attributes", "Returns", "Raises", "Example")


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


def _listed() -> list[str]:
    """Return what the pages of the reference list, page by page."""
    pages = sorted((ROOT / "docs/reference").glob("api*.md"))
    found = (re.findall(r"\.\. auto\w+:: ([\w.]+)", page.read_text()) for page in pages)
    return [name for names in found for name in names]


PUBLIC = sorted(blockzoo.__all__)
FUNCTIONS = [name for name in PUBLIC if inspect.isfunction(getattr(blockzoo, name))]
CLASSES = [name for name in PUBLIC if name not in FUNCTIONS]


def test_the_reference_lists_everything_public_once() -> None:
    assert Counter(_listed()) == Counter(f"blockzoo.{name}" for name in PUBLIC)


def _sections(name: str) -> dict[str, str]:
    """Return the text of each section of the docstring, and of what stands before them under ""."""
    text = inspect.cleandoc(getattr(blockzoo, name).__doc__ or "")
    first, *rest = re.split(rf"^({'|'.join(SECTIONS)}):$", text, flags=re.M)
    return {"": first, **dict(zip(rest[::2], rest[1::2], strict=True))}


def _names(section: str) -> list[str]:
    """Return what a section describes: the words before a colon at the first indent."""
    return re.findall(r"^    \**(\w+): \S", section, flags=re.M)


def _parameters(value: Any) -> list[str]:
    """Return what is to be described: parameters, or the fields that a class adds to its base."""
    if inspect.isfunction(value):
        return list(inspect.signature(value).parameters)
    if issubclass(value, BaseModel):
        inherited = {name for base in value.__bases__ for name in getattr(base, "model_fields", ())}
        return [name for name in value.model_fields if name not in inherited]
    if dataclasses.is_dataclass(value):
        return [field.name for field in dataclasses.fields(value)]
    own = vars(value).get("__init__")
    return list(inspect.signature(own).parameters)[1:] if inspect.isfunction(own) else []


@pytest.mark.parametrize("name", PUBLIC)
def test_every_parameter_and_field_is_described(name: str) -> None:
    sections = _sections(name)
    described = _names(sections.get("Args", "")) + _names(sections.get("Attributes", ""))

    assert described == _parameters(getattr(blockzoo, name))
    assert sections[""].partition("\n")[0].endswith(".")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_says_what_it_returns_and_has_an_example(name: str) -> None:
    sections = _sections(name)
    assert sections["Returns"].strip()
    assert ">>> " in sections["Example"]


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_that_a_user_makes_has_an_example(name: str) -> None:
    sections = _sections(name)
    assert "Args" not in sections or ">>> " in sections["Example"]


@pytest.mark.parametrize("name", PUBLIC)
def test_errors_are_said_under_raises(name: str) -> None:
    sections = _sections(name)
    prose = "".join(text for title, text in sections.items() if title not in ("Raises", "Example"))
    raised = _names(sections.get("Raises", ""))

    assert "aises `" not in prose
    assert ("Raises" in sections) == bool(raised)
    for error in raised:
        assert error == "ValueError" or issubclass(getattr(blockzoo, error), Exception)


def _checks_of(value: type) -> str:
    """Return the source by which a class checks what it is made of."""
    own = [vars(value).get(name) for name in ("__init__", "__post_init__")]
    # Those that dataclasses make are of no file.
    home = inspect.getfile(value)
    written = (f for f in own if inspect.isfunction(f) and f.__code__.co_filename == home)
    return "".join(map(inspect.getsource, written))


def test_a_class_that_checks_its_fields_says_what_it_raises() -> None:
    checked = [
        name for name in CLASSES if re.search(r"raise |check", _checks_of(getattr(blockzoo, name)))
    ]
    assert len(checked) > 5
    assert [name for name in checked if "Raises" not in _sections(name)] == []


def _methods() -> dict[str, Any]:
    """Return the public methods that classes of the public API have of their own."""
    found = {}
    for name in CLASSES:
        for method, value in vars(getattr(blockzoo, name)).items():
            function = getattr(value, "__func__", value)
            if inspect.isfunction(function) and not method.startswith("_"):
                found[f"{name}.{method}"] = function
    return found


METHODS = _methods()


@pytest.mark.parametrize("name", METHODS)
def test_every_parameter_of_a_method_is_described(name: str) -> None:
    text = inspect.cleandoc(METHODS[name].__doc__ or "")
    _, _, after = text.partition("Args:\n")
    own = [it for it in inspect.signature(METHODS[name]).parameters if it not in ("self", "cls")]

    assert _names(re.split(r"^\S", after, flags=re.M)[0]) == own
    assert "aises `" not in text
