"""Values as text that is equal exactly where the values are, in any process.

Each kind of value has a handler: here those of plain Python, in `canonical_code` those of
functions, classes and modules of code, in `canonical_tensors` those of tensors and arrays, in
`fingerprint` those of networks. What has no handler and hides its state has no canonical form; that
is said, never passed over.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import functools
import logging
import operator
import re
import threading
import types
import typing
import uuid
import weakref
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any, TypeVar

from blockzoo.core.errors import one_line

Value = TypeVar("Value")
Handler = Callable[["Describer", Any], str]

_ATOMS: frozenset[type] = frozenset(
    {type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented)}
)
_HEAP_TYPE = 1 << 9  # made while Python runs, as by a class statement
_handlers: dict[type, Handler] = {}


def handles(*kinds: type) -> Callable[[Handler], Handler]:
    """Decorate the function that describes values of these kinds and of their subclasses."""

    def add(handler: Handler) -> Handler:
        _handlers.update(dict.fromkeys(kinds, handler))
        return handler

    return add


class Describer:
    """Describes values of one network; `unsure` says in words what it could not describe.

    An object that comes again is named by its number: what is one object twice differs from two
    equal objects. With `values` the numbers in parameters and buffers count too.
    """

    def __init__(self, *, values: bool = False) -> None:
        self.values = values
        self.unsure: dict[str, None] = {}
        self._numbers: dict[object, int] = {}
        self._kept: list[object] = []
        self._place = "the block"

    def text(self, value: object) -> str:
        """Return the value as text."""
        kind: Any = type(value)
        if kind in _ATOMS:
            return repr(value)
        try:
            return _handler_of(kind)(self, value)
        # A user's object may raise whatever it is asked.
        except Exception as error:  # noqa: BLE001
            return self.doubt(f"{self._place} cannot be described: {one_line(error)}")

    def texts(self, values: Iterable[object]) -> str:
        """Return the values as text, in their order."""
        return ", ".join(map(self.text, values))

    def named(self, values: Mapping[str, object], owner: str) -> str:
        """Return the values as text, sorted by name; each is an attribute of `owner`."""
        lines = []
        for name, value in sorted(values.items()):
            with self.at(f"attribute {name!r} of {owner}"):
                lines.append(f"{name}={self.text(value)}")
        return "; ".join(lines)

    def once(self, value: Value, describe: Callable[[Describer, Value], str]) -> str:
        """Return what `describe` does the first time, later only the number of the object."""
        known = self.number(id(value))
        if known is not None:
            return f"#{known}"
        self._kept.append(value)  # so that no other object gets its id
        return describe(self, value)

    def number(self, key: object) -> int | None:
        """Return the number of what has that key; None, and it gets one, where it is new."""
        known = self._numbers.get(key)
        if known is None:
            self._numbers[key] = len(self._numbers)
        return known

    def alone(self, value: object) -> str:
        """Return the value as text that does not depend on what was described before."""
        other = Describer(values=self.values)
        other._place = self._place
        text = other.text(value)
        self.unsure.update(other.unsure)
        return text

    @contextmanager
    def at(self, place: str) -> Iterator[None]:
        """Name what is described meanwhile, for the reasons of `unsure`."""
        before, self._place = self._place, place
        try:
            yield
        finally:
            self._place = before

    def doubt(self, reason: str) -> str:
        """Note why the description is incomplete."""
        self.unsure[reason] = None
        return f"unsure: {reason}"

    def without_form(self, value: object) -> str:
        """Note that the value at this place has no canonical form."""
        kind = type(value).__qualname__
        return self.doubt(f"{self._place} is a {kind}, which has no canonical form")


@functools.lru_cache(maxsize=4096)
def _handler_of(kind: Any) -> Handler:
    known = next((each for each in kind.__mro__ if each in _handlers), None)
    if known is not None:
        return _handlers[known]
    return _object if _is_all_python(kind) else Describer.without_form


def _object(describer: Describer, value: object) -> str:
    """Describe an instance of a class that is written in Python: the class and all attributes."""
    return describer.once(value, _class_and_state)


def _class_and_state(describer: Describer, value: object) -> str:
    return f"object {describer.text(type(value))} {_state(describer, value)}"


def _state(describer: Describer, value: object) -> str:
    slots = [name for kind in type(value).__mro__ for name in _slots(kind)]
    attributes = {name: getattr(value, name) for name in slots if hasattr(value, name)}
    attributes |= getattr(value, "__dict__", {})
    # Names and documentation that a decorator copied.
    own = {k: v for k, v in attributes.items() if isinstance(k, str) and not _is_special(k)}
    return f"({describer.named(own, type(value).__qualname__)})"


def _is_special(name: str) -> bool:
    return name.startswith("__") and name.endswith("__") and name != "__wrapped__"


def _slots(kind: type) -> tuple[str, ...]:
    slots = vars(kind).get("__slots__", ())
    names = (slots,) if isinstance(slots, str) else tuple(slots)
    # As the class statement spells private names.
    private = f"_{kind.__name__.lstrip('_')}"
    hidden = (name for name in names if name not in ("__dict__", "__weakref__"))
    return tuple(
        f"{private}{name}" if name.startswith("__") and not name.endswith("__") else name
        for name in hidden
    )


def _is_all_python(kind: type) -> bool:
    """Tell whether all state of an instance is in its attributes: no base is written in C."""
    return all(_adds_attributes_only(each) for each in kind.__mro__[:-1])


def _adds_attributes_only(kind: type) -> bool:
    base = kind.__base__
    if not kind.__flags__ & _HEAP_TYPE or base is None:
        return False
    grown = kind.__basicsize__ - base.__basicsize__
    if not {"__slots__", "__dict__"} & {*vars(kind)}:
        # Only one with a base that has a dictionary of attributes adds none of its own.
        return grown == 0 and base is not object
    # A pointer a slot, one for the dictionary and one for weak references.
    return grown <= 8 * (len(_slots(kind)) + 2)


def _with_class(describer: Describer, value: object, plain: tuple[type, ...], text: str) -> str:
    """Return the text of a container, with class and attributes where it is of a subclass."""
    if type(value) in plain:
        return text
    attributes = _state(describer, value)
    return f"{describer.text(type(value))} {text} {attributes}"


@handles(bool, int, float, complex, str, bytes)
def _atom_of_subclass(describer: Describer, value: Any) -> str:
    base: Any = next(kind for kind in type(value).__mro__ if kind in _ATOMS)
    # By the base's own method: a subclass may show itself as it likes.
    text = base.__repr__(value)
    return _with_class(describer, value, (), text)


@handles(bytearray)
def _bytearray(describer: Describer, value: bytearray) -> str:
    return describer.once(value, lambda _, same: f"bytearray {bytes(same)!r}")


@handles(tuple)
def _tuple(describer: Describer, value: tuple[object, ...]) -> str:
    return _with_class(describer, value, (tuple,), f"({describer.texts(tuple.__iter__(value))})")


@handles(list)
def _list(describer: Describer, value: list[object]) -> str:
    def describe(describer: Describer, value: list[object]) -> str:
        return _with_class(describer, value, (list,), f"[{describer.texts(list.__iter__(value))}]")

    return describer.once(value, describe)


@handles(deque)
def _deque(describer: Describer, value: deque[object]) -> str:
    def describe(describer: Describer, value: deque[object]) -> str:
        text = f"deque [{describer.texts(value)}] of {value.maxlen}"
        return _with_class(describer, value, (deque,), text)

    return describer.once(value, describe)


@handles(set, frozenset)
def _set(describer: Describer, value: set[object]) -> str:
    def describe(describer: Describer, value: set[object]) -> str:
        kind = "set" if isinstance(value, set) else "frozenset"
        # Each on its own: the order of a set is another one in each process.
        members = sorted(map(describer.alone, value))
        return _with_class(describer, value, (set, frozenset), f"{kind} {{{', '.join(members)}}}")

    return describer.once(value, describe)


@handles(dict, types.MappingProxyType)
def _dict(describer: Describer, value: dict[object, object]) -> str:
    def describe(describer: Describer, value: dict[object, object]) -> str:
        # In its order, which a forward may follow.
        items = (f"{describer.text(key)}: {describer.text(each)}" for key, each in value.items())
        text = f"{{{', '.join(items)}}}"
        if isinstance(value, defaultdict):
            text += f" else {describer.text(value.default_factory)}"
        plain = (dict, types.MappingProxyType)
        return _with_class(describer, value, plain, text)

    return describer.once(value, describe)


@handles(enum.Enum)
def _enum(describer: Describer, value: enum.Enum) -> str:
    return f"{describer.text(type(value))}.{value.name}={describer.text(value.value)}"


@handles(functools.partial)
def _partial(describer: Describer, value: functools.partial[object]) -> str:
    def describe(describer: Describer, value: functools.partial[object]) -> str:
        text = describer.texts((value.func, value.args, value.keywords))
        return _with_class(describer, value, (functools.partial,), f"partial({text})")

    return describer.once(value, describe)


@handles(PurePath)
def _path(describer: Describer, value: PurePath) -> str:
    return f"path {value.as_posix()!r}"


@handles(slice)
def _slice(describer: Describer, value: slice) -> str:
    return f"slice({describer.texts((value.start, value.stop, value.step))})"


@handles(re.Pattern)
def _pattern(describer: Describer, value: re.Pattern[Any]) -> str:
    return f"pattern {value.pattern!r} {value.flags}"


@handles(
    range,
    datetime.date,
    datetime.time,
    datetime.timedelta,
    decimal.Decimal,
    fractions.Fraction,
    uuid.UUID,
    types.GenericAlias,
    types.UnionType,
    type(list[Any]),
    type(typing.Any),
    type(typing.Optional[int]),  # noqa: UP045 - the old form is a kind of its own
    typing.TypeVar,
)
def _by_repr(describer: Describer, value: object) -> str:
    return f"{type(value).__qualname__} {value!r}"


@handles(operator.itemgetter, operator.attrgetter, operator.methodcaller)
def _getter(describer: Describer, value: Any) -> str:
    _, arguments = value.__reduce__()
    return f"{type(value).__qualname__}({describer.texts(arguments)})"


@handles(types.SimpleNamespace)
def _namespace(describer: Describer, value: types.SimpleNamespace) -> str:
    return describer.once(value, _class_and_state)


@handles(weakref.ref)
def _reference(describer: Describer, value: weakref.ref[object]) -> str:
    return f"reference to {describer.text(value())}"


# What decides nothing that a network computes.
@handles(logging.Logger, type(threading.Lock()), type(threading.RLock()))
def _by_kind(describer: Describer, value: object) -> str:
    return type(value).__qualname__
