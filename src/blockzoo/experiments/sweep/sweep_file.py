"""A sweep in a TOML file: what to run, and settings whose lists make a grid of protocols."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from blockzoo.blocks import list_available_blocks
from blockzoo.core.errors import InputError
from blockzoo.core.position import Position
from blockzoo.core.ranges import SEEDS
from blockzoo.experiments.protocol import Protocol, get_protocol
from blockzoo.experiments.protocol_settings import LATENCY_SETTINGS, kinds_of_settings
from blockzoo.results.budgets import Match

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SUFFIX = ".toml"
GRID_MAX = 1000
"""More protocols are not swept by one command."""
_LISTS = ("blocks", "positions", "seeds")


@dataclass(frozen=True, kw_only=True)
class SweepFile:
    """The values of each key of a sweep file, in its order.

    Attributes:
        name: Of the file, for messages.
        values: By key; those of `blocks`, `positions` and `seeds` make one protocol, those of all
            other keys one protocol each.

    Example:
        >>> file = SweepFile.of_text("width = [8, 16]\\nseeds = 2\\nblocks = 'Identity'")
        >>> [(each.width, each.seeds, each.blocks) for each in file.protocols()]
        [(8, (0, 1), ('Identity',)), (16, (0, 1), ('Identity',))]
    """

    name: str
    values: Mapping[str, tuple[Any, ...]]

    @classmethod
    def read(cls, path: str | Path) -> SweepFile:
        """Return what a file says; raises `InputError` for one that cannot be read or is wrong."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"sweep file {path} cannot be read: {reason}") from None
        return cls.of_text(text, name=str(path))

    @classmethod
    def of_text(cls, text: str, name: str = "the sweep file") -> SweepFile:
        """Return what the text of a file says, see `read`."""
        try:
            settings = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise InputError(f"{name} is no TOML: {error}") from None
        known = _checks()
        values: dict[str, tuple[Any, ...]] = {}
        for key, value in settings.items():
            if key not in known:
                raise InputError(f"unknown key {key!r} in {name}; allowed: {', '.join(known)}")
            every = value if isinstance(value, list) else [value]
            values[key] = tuple(_checked(f"{key} in {name}", each, known[key]) for each in every)
            if key == "seeds" and not isinstance(value, list):
                # One number is how many, as `--seeds` says it.
                values[key] = tuple(range(int(SEEDS.checked(f"seeds in {name}", value))))
            if not values[key]:
                raise InputError(f"{key} in {name} is empty; give one value or more")
        return cls(name=name, values=values)

    @property
    def blocks(self) -> tuple[str, ...]:
        """The blocks that it names; none where they are the protocol's."""
        named: tuple[str, ...] = self.values.get("blocks", ())
        return tuple(list_available_blocks()) if named == ("all",) else named

    @property
    def contexts(self) -> tuple[str, ...]:
        """The blocks that it names for the two other stages."""
        return self.values.get("context", ())

    def protocols(self, *, protocol: str = "v1", without: Collection[str] = ()) -> list[Protocol]:
        """Return the grid: a protocol for each combination of values, the last key varying fastest.

        Args:
            protocol: The one to start from where the file names none.
            without: Keys that are passed over, for options of the command say them.

        Raises:
            InputError: For values that cannot work, and for more than `GRID_MAX` protocols.
            UnknownNameError: For names that are not known.
        """
        axes = {
            key: values
            for key, values in self.values.items()
            if key not in _LISTS and key not in without
        }
        axes.setdefault("protocol", (protocol,))
        if (points := prod(map(len, axes.values()))) > GRID_MAX:
            raise InputError(f"{self.name} asks for {points:,} protocols; at most {GRID_MAX:,}")
        lists = {name: value for name, value in self._lists().items() if name not in without}
        # Each once, where a value is given twice.
        return list(
            dict.fromkeys(
                _protocol(dict(zip(axes, point, strict=True)), lists)
                for point in product(*axes.values())
            )
        )

    def _lists(self) -> dict[str, tuple[Any, ...]]:
        found = {name: self.values[name] for name in _LISTS if name in self.values}
        if "blocks" in found:
            found["blocks"] = self.blocks
        if "positions" in found:
            asked = {*map(Position.parse, found["positions"])}
            found["positions"] = tuple(each for each in Position if each in asked)
        return found


def _protocol(settings: dict[str, Any], lists: Mapping[str, tuple[Any, ...]]) -> Protocol:
    base = get_protocol(settings.pop("protocol"))
    if "match" in settings:
        settings["match"] = Match.of_text(settings["match"])
    return base.changed(**settings, **lists)


_Check = tuple[Callable[[object], bool], str]


def _checks() -> dict[str, _Check]:
    """Return what values each key takes."""
    whole: _Check = (_is_whole, "a whole number")
    number: _Check = (lambda each: _is_whole(each) or isinstance(each, float), "a number")
    yes_or_no: _Check = (lambda each: isinstance(each, bool), "true or false")
    text: _Check = (lambda each: isinstance(each, str), "text in quotes")
    of_kind: dict[Any, _Check] = {int: whole, float: number, bool: yes_or_no}
    layouts = ("auto", "wide", True, False)
    layout: _Check = (lambda each: each in layouts, "true, false, auto or wide")
    return {
        **dict.fromkeys(("protocol", "blocks", "positions"), text),
        "seeds": whole,
        **dict.fromkeys(("dataset", "match"), text),
        **{name: of_kind.get(kind, text) for name, kind in kinds_of_settings().items()},
        "channels_last": layout,
        **{name: of_kind[kind] for name, kind in LATENCY_SETTINGS.items()},
    }


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _checked(what: str, value: object, check: _Check) -> object:
    holds, words = check
    if not holds(value):
        raise InputError(f"{what} is {value!r}; it must be {words}")
    return value
