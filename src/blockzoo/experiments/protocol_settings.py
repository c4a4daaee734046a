"""What a protocol holds, setting by setting, and what a changed one has changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, get_type_hints

from blockzoo.core.errors import BlockZooError, InputError, UnknownNameError
from blockzoo.experiments.protocol import Protocol, get_protocol, protocol_names
from blockzoo.results.records import TrainingRecord
from blockzoo.training.recipe import Recipe

_SCAFFOLD = ("context", "depth", "width", "stem", "stem_bias")
_SPLIT = ("validation_fraction", "split_seed")
_TO_RUN = ("dataset", "blocks", "positions", "seeds")
LATENCY_SETTINGS: dict[str, type] = {
    "latency_batch_size": int,
    "latency_budget_s": float,
    "latency_processes": int,
}
"""How latencies are measured, and the type of each."""
# What records hold of the scaffold; "auto" is there as the stem that it came to.
_RECORDED = ("context", "depth", "width", "stem_bias")


@dataclass(frozen=True, kw_only=True)
class ShownProtocol:
    """The settings of a protocol beside those of the published one that it comes from.

    `base` is None where it is a published one itself. `kept_from`: where the settings were read, ""
    where they were not read from records, which do not hold all of them.
    """

    label: str
    settings: Mapping[str, object]
    base: Protocol | None = None
    kept_from: str = ""

    @property
    def complete(self) -> bool:
        """Whether what is known to be changed is all that the label tells apart."""
        if self.base is None or not self.kept_from:
            return True
        changes = {name: value for name, (value, _) in self.changed.items()}
        try:
            return self.base.changed(**changes).label == re.sub(r"\+.*", "", self.label)
        except BlockZooError:  # several values, of a tuned track say
            return False

    @property
    def changed(self) -> dict[str, tuple[object, object]]:
        """The value here and that of the published protocol, for each setting that differs."""
        if self.base is None:
            return {}
        published = settings_of(self.base)
        return {
            name: (value, published[name])
            for name, value in self.settings.items()
            if name in published and value != published[name]
        }


def settings_of(protocol: Protocol) -> dict[str, object]:
    """Return all settings of a protocol by name, those of its recipe among them.

    >>> settings = settings_of(get_protocol("v1"))
    >>> settings["width"], settings["epochs"], len(settings["seeds"])
    (64, 50, 10)
    """
    own = {
        name: getattr(protocol, name) for name in (*_SCAFFOLD, *_SPLIT, *_TO_RUN, *LATENCY_SETTINGS)
    }
    recipe = {f.name: getattr(protocol.recipe, f.name) for f in fields(Recipe) if f.name != "name"}
    # In the order of the work: what is built, how it is trained, on what, and what is run.
    order = (*_SCAFFOLD, *recipe, *_SPLIT, *_TO_RUN, *LATENCY_SETTINGS)
    return {name: {**own, **recipe}[name] for name in order}


def shown(name: str, changes: Sequence[str] = ()) -> ShownProtocol:
    """Return the protocol of that name with the changes, each `NAME=VALUE`, made to it.

    Raises `UnknownNameError` for a name or a setting that is not there, and `InputError` for a
    value that cannot be.

    >>> narrow = shown("v1", ["width=32", "epochs=20"])
    >>> narrow.changed
    {'width': (32, 64), 'epochs': (20, 50), 'warmup_epochs': (2.0, 5.0)}
    """
    base = get_protocol(name)
    if not changes:
        return ShownProtocol(label=base.label, settings=settings_of(base))
    protocol = base.changed(**dict(map(_change, changes)))
    return ShownProtocol(label=protocol.label, settings=settings_of(protocol), base=base)


def _change(text: str) -> tuple[str, object]:
    given, equals, value = text.partition("=")
    # As the options of the command line are called.
    name = {"lr": "learning_rate"}.get(given, given.replace("-", "_"))
    kinds = kinds_of_settings()
    if not equals:
        raise InputError(f"{text!r} sets nothing; write NAME=VALUE, such as width=32")
    if name not in kinds:
        raise UnknownNameError("setting", given, kinds)
    parse, words = _PARSERS.get(kinds[name], (str, ""))
    try:
        return name, parse(value)
    except (ValueError, KeyError):
        raise InputError(f"{name} is {value!r}; it must be {words}") from None


def kinds_of_settings() -> dict[str, Any]:
    """Return the type of each setting that results depend on and that one word can say."""
    kinds = {**get_type_hints(Protocol), **get_type_hints(Recipe)}
    names = (*_SCAFFOLD, *(field.name for field in fields(Recipe)), *_SPLIT)
    return {name: kinds[name] for name in names if name not in ("name", "channels_last")}


_PARSERS: dict[Any, tuple[Callable[[str], object], str]] = {
    int: (int, "a whole number"),
    float: (float, "a number"),
    bool: (lambda text: {"true": True, "false": False}[text.casefold()], "true or false"),
}


def from_records(label: str, records: Iterable[TrainingRecord], source: str) -> ShownProtocol:
    """Return what records of a label say of it, beside the published protocol it comes from.

    Where they differ, as a tuned track's do by network, the setting is all values there are. Raises
    `InputError` where no record has the label, or where it comes from no published protocol.
    """
    found = [record for record in records if record.protocol == label]
    if not found:
        raise InputError(
            f"{source} has no training of the protocol {label!r}; what it changed is known to "
            f"the store that it was made in: name that with --results"
        )
    settings = [{**_scaffold_of(record), **_recipe_of(record)} for record in found]
    names = [name for name in settings_of(_base(label)) if name in settings[0]]
    values = {name: dict.fromkeys(each.get(name) for each in settings) for name in names}
    return ShownProtocol(
        label=label,
        settings={name: _one(list(each)) for name, each in values.items()},
        base=_base(label),
        kept_from=source,
    )


def _base(label: str) -> Protocol:
    published = re.split(r"[~+]", label, maxsplit=1)[0]
    if published not in protocol_names():
        raise InputError(f"{label!r} comes from none of {', '.join(protocol_names())}")
    return get_protocol(published)


def _scaffold_of(record: TrainingRecord) -> dict[str, object]:
    return {name: getattr(record.scaffold, name) for name in _RECORDED}


def _recipe_of(record: TrainingRecord) -> dict[str, object]:
    return {name: value for name, value in record.recipe.items() if name != "name"}


def _one(values: Sequence[object]) -> object:
    return values[0] if len(values) == 1 else tuple(values)
