"""Functions, classes and modules of code as text: a user's by what they do, a library's by name.

A function of a user is its source, its defaults, what it encloses, and all that it looks up in its
module, with the values of this moment. A class is all classes it derives from, with their members.
So a change reaches the text through however many files of the user's.
"""

from __future__ import annotations

import builtins
import dataclasses
import enum
import functools
import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from importlib.util import resolve_name
from operator import itemgetter
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

from blockzoo.blocks.canonical import Describer, handles
from blockzoo.blocks.libraries import library_name, library_of
from blockzoo.blocks.source_code import UsedNames, code_text, used_names

# What Python and libraries write into classes: where they are from, and caches of theirs.
_NOT_MEMBERS = frozenset(
    {
        "__abstractmethods__", "__annotate__", "__annotate_func__", "__annotations__",
        "__annotations_cache__", "__dict__", "__doc__", "__firstlineno__", "__match_args__",
        "__module__", "__orig_bases__", "__parameters__", "__qualname__", "__replace__",
        "__static_attributes__", "__type_params__", "__weakref__", "_abc_impl",
        "_autograd_function_id", "_backward_cls",
    }
)  # fmt: skip
# Where a module lies, and how it is called there.
_OF_EVERY_MODULE = frozenset(
    {
        "__annotations__", "__builtins__", "__cached__", "__doc__", "__file__", "__loader__",
        "__name__", "__package__", "__path__", "__spec__",
    }
)  # fmt: skip
# Whoever asks by these may reach all that a module holds.
_ASKS_BY_TEXT = frozenset({"__dict__", "getattr", "vars"})
_REACHES_OUT = frozenset({"__import__", "compile", "eval", "exec", "globals", "input", "open"})
_OUTSIDE: tuple[tuple[object, str], ...] = (
    (importlib.import_module, "imports by name"),
    (os.environ, "reads the environment"),
    (os.getenv, "reads the environment"),
)


@handles(FunctionType)
def _function(describer: Describer, function: FunctionType) -> str:
    name = library_name(function)
    return name or describer.once(function, _described_function)


def _described_function(describer: Describer, function: FunctionType) -> str:
    owner = f"{function.__qualname__}()"
    # Of where its code is from: a decorator gives what it returns another module and name.
    origin = str(function.__globals__.get("__name__", ""))
    if library_of(origin.partition(".")[0]) is not None:
        # Made by a library's function: what it encloses tells it from others of its kind.
        text = f"{origin}.{function.__code__.co_name}"
    else:
        text = f"function {code_text(function.__code__)}"
        text += "".join(_looked_up(describer, function, owner))
    return text + "".join(_carried(describer, function, owner))


def _carried(describer: Describer, function: FunctionType, owner: str) -> Iterator[str]:
    """Yield defaults, enclosed values and attributes."""
    for defaults in (function.__defaults__, function.__kwdefaults__):
        if defaults:
            with describer.at(f"a default of {owner}"):
                yield f" defaults {describer.text(defaults)}"
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with describer.at(f"{name!r}, which {owner} encloses,"):
            yield f" {name}={_content(describer, cell)}"
    if attributes := {k: v for k, v in vars(function).items() if not k.startswith("__")}:
        yield f" ({describer.named(attributes, owner)})"


def _content(describer: Describer, cell: Any) -> str:
    try:
        value = cell.cell_contents
    except ValueError:
        return "empty"
    return describer.text(value)


def _looked_up(describer: Describer, function: FunctionType, owner: str) -> Iterator[str]:
    """Yield what the function finds in its module, in other modules and among the built-ins."""
    there, names = function.__globals__, used_names(function.__code__)
    for name in sorted(names.globals - _OF_EVERY_MODULE):
        with describer.at(f"global {name!r} of {owner}"):
            if name in there:
                yield f"\n{name}: {_global(describer, there[name], names, owner)}"
            elif hasattr(builtins, name):
                yield from _built_in(describer, name, owner)
            else:
                yield f"\n{name}: absent"
    for level, name in sorted(names.imports):
        yield f"\nimport {_imported(describer, there, level, name, names, owner)}"


def _global(describer: Describer, value: object, names: UsedNames, owner: str) -> str:
    if isinstance(value, ModuleType):
        return _used_of(describer, value, names, owner)
    return _outside(describer, value, owner) or describer.text(value)


def _outside(describer: Describer, value: object, owner: str) -> str | None:
    """Note that code depends on what is in no code; None where it does not."""
    what = next((words for known, words in _OUTSIDE if known is value), None)
    return None if what is None else describer.doubt(f"{owner} {what}")


def _built_in(describer: Describer, name: str, owner: str) -> Iterator[str]:
    if name in _REACHES_OUT:
        yield describer.doubt(f"{owner} calls {name}, whose effect its code does not tell")
    if _is_users_function(value := getattr(builtins, name)):
        yield f"\n{name}: {describer.text(value)}"  # somebody put it in another's place


def _imported(
    describer: Describer,
    there: Mapping[str, Any],
    level: int,
    name: str,
    names: UsedNames,
    owner: str,
) -> str:
    try:
        full = resolve_name("." * level + name, there.get("__package__")) if level else name
    except ImportError:
        full = name
    module = sys.modules.get(full)
    if module is not None:
        return _used_of(describer, module, names, owner)
    if library_of(full.partition(".")[0]) is not None:
        return full
    return describer.doubt(f"{owner} imports {full} only when it runs")


def _used_of(describer: Describer, module: ModuleType, names: UsedNames, owner: str) -> str:
    """Return what code with those names may use of a module, and of modules in it."""
    is_library = _is_librarys(module)
    used = _members_used(describer, module, names, owner, set())
    return "; ".join((module.__name__ if is_library else "module", *used))


def _is_librarys(module: ModuleType) -> bool:
    return library_of(module.__name__.partition(".")[0]) is not None


def _members_used(
    describer: Describer, module: ModuleType, names: UsedNames, owner: str, passed: set[int]
) -> Iterator[str]:
    if id(module) in passed:
        return
    passed.add(id(module))
    is_library = _is_librarys(module)
    for name, value in sorted(_reached(module, names, is_library=is_library), key=itemgetter(0)):
        # Of a library's modules not even the names: which are there depends on what was imported.
        if isinstance(value, ModuleType):
            yield from _members_used(describer, value, names, owner, passed)
            continue
        with describer.at(f"{name!r} of module {module.__name__.rpartition('.')[2]}"):
            if outside := _outside(describer, value, owner):
                yield outside
            # In a library only what somebody put there.
            elif not is_library or _is_users_function(value):
                yield f"{name}: {describer.text(value)}"


def _is_users_function(value: object) -> bool:
    if not isinstance(value, FunctionType):
        return False
    return library_of(str(value.__globals__.get("__name__", "")).partition(".")[0]) is None


def _reached(
    module: ModuleType, names: UsedNames, *, is_library: bool
) -> Iterator[tuple[str, object]]:
    asks_by_text = bool(_ASKS_BY_TEXT & (names.globals | names.attributes))
    for name, value in vars(module).items():
        by_text = asks_by_text and not is_library and name not in _OF_EVERY_MODULE
        if by_text or name in names.attributes or (name == "__getattr__" and not is_library):
            yield name, value


@handles(BuiltinFunctionType)
def _builtin_function(describer: Describer, function: Any) -> str:
    owner = function.__self__
    if owner is not None and not isinstance(owner, ModuleType | type):
        return f"{function.__name__} of {describer.text(owner)}"
    module = function.__module__ or getattr(owner, "__module__", None) or "builtins"
    if library_of(str(module).partition(".")[0]) is None:
        return describer.without_form(function)  # of a user's own extension
    return f"{module}.{function.__qualname__}"


@handles(
    MethodDescriptorType,
    WrapperDescriptorType,
    MemberDescriptorType,
    GetSetDescriptorType,
)
def _descriptor(describer: Describer, value: Any) -> str:
    return f"{describer.text(value.__objclass__)}.{value.__name__}"


@handles(MethodType, MethodWrapperType)
def _method(describer: Describer, method: Any) -> str:
    code = getattr(method, "__func__", None)
    what = method.__name__ if code is None else describer.text(code)
    return f"method {what} of {describer.text(method.__self__)}"


@handles(staticmethod, classmethod)
def _wrapped(describer: Describer, value: Any) -> str:
    return f"{type(value).__name__} {describer.text(value.__func__)}"


@handles(property)
def _property(describer: Describer, value: property) -> str:
    return f"property {describer.texts((value.fget, value.fset, value.fdel))}"


@handles(type(functools.lru_cache(len)))
def _cached(describer: Describer, value: Any) -> str:
    # What it remembers follows from what it wraps.
    return f"cache {value.cache_parameters()} {describer.text(value.__wrapped__)}"


@handles(CodeType)
def _code(_: Describer, value: CodeType) -> str:
    return code_text(value)


@handles(ModuleType)
def _module(describer: Describer, module: ModuleType) -> str:
    if _is_librarys(module):
        return module.__name__
    return describer.once(module, _all_of_module)


def _all_of_module(describer: Describer, module: ModuleType) -> str:
    all_of_it = {k: v for k, v in vars(module).items() if k not in _OF_EVERY_MODULE}
    return f"module ({describer.named(all_of_it, module.__name__)})"


@handles(type)
def _class(describer: Describer, kind: type) -> str:
    name = library_name(kind)
    return name or describer.once(kind, _described_class)


def _described_class(describer: Describer, kind: type) -> str:
    parts = [f"class {kind.__qualname__} of {describer.text(type(kind))}"]
    parts += [describer.text(base) for base in kind.__mro__[1:]]
    for name, value in sorted(_members(kind).items()):
        with describer.at(f"attribute {name!r} of {kind.__qualname__}"):
            parts.append(f"{name}: {describer.text(value)}")
    return "\n".join(parts)


def _members(kind: type) -> dict[str, object]:
    if issubclass(kind, enum.Enum):
        members = {name: each.value for name, each in kind.__members__.items()}
        return members | {k: v for k, v in vars(kind).items() if _is_code(v)}
    members = {k: v for k, v in vars(kind).items() if k not in _NOT_MEMBERS}
    if dataclasses.is_dataclass(kind):
        members = {k: v for k, v in members.items() if not _is_generated(v)}
        members["__dataclass_params__"] = repr(vars(kind).get("__dataclass_params__"))
        members["__dataclass_fields__"] = [_field(each) for each in dataclasses.fields(kind)]
    elif issubclass(kind, tuple) and "_fields" in members:  # a named tuple
        members = {k: v for k, v in members.items() if _is_code(v) and not _is_generated(v)}
        members["_fields"] = getattr(kind, "_fields", ())
        members["_field_defaults"] = getattr(kind, "_field_defaults", {})
    return members


def _field(field: dataclasses.Field[Any]) -> tuple[object, ...]:
    values = (field.default, field.default_factory)
    defaults = tuple("none" if value is dataclasses.MISSING else value for value in values)
    return field.name, *defaults, field.init, field.repr, field.compare, field.kw_only


def _is_code(value: object) -> bool:
    """Tell whether a member was written in a class, and is not what its kind of class adds."""
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    if isinstance(value, property):
        value = value.fget
    return _is_users_function(value)


def _is_generated(value: object) -> bool:
    """Tell whether `dataclass` or `namedtuple` wrote this method, after the fields."""
    code = getattr(value, "__code__", None)
    if code is None:
        code = getattr(getattr(value, "__wrapped__", None), "__code__", None)
    return isinstance(code, CodeType) and code.co_filename.startswith("<")
