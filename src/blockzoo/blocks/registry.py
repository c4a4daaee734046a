"""The registry: what a block is called, where it comes from, and how to build it.

A factory takes `(in_channels, out_channels, stride, position)` and returns a module that maps
(N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)). Blocks of others
come by `register_block`, by file or module (`foreign.py`), or with a package (`entry_points.py`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin

from blockzoo.blocks import entry_points, user_code, user_errors
from blockzoo.blocks.initialisation import initialise
from blockzoo.core.errors import BlockError, BlockZooError, InputError, UnknownNameError
from blockzoo.core.position import Position

BlockFactory = Callable[[int, int, int, Position], nn.Module]
Initialisation = Literal["policy", "own"]


@dataclass(frozen=True, kw_only=True)
class BlockSpec:
    """One block of the zoo.

    `formula` is the block's mathematics in one line. `initialisation` is "policy" (see
    `blocks/initialisation.py`) or "own" for a block whose paper or purpose requires another.
    `defined_at` is the file and line of the factory.
    """

    name: str
    family: str
    year: int
    paper: str
    source: str
    licence: str
    formula: str
    factory: BlockFactory
    reparameterisable: bool = False
    initialisation: Initialisation = "policy"
    aliases: tuple[str, ...] = ()
    notes: str = ""
    defined_at: str = ""

    def build(
        self, in_channels: int, out_channels: int, stride: int, position: Position
    ) -> nn.Module:
        """Build the block with its initial weights, drawn from torch's current generator.

        Raises `BlockError` naming the block and its arguments when the constructor raises, does
        not return a module or returns one with lazy weights, and `InputError` for channels below 1
        or a stride other than 1 and 2.
        """
        _check_arguments(in_channels, out_channels, stride)
        arguments = f"in={in_channels}, out={out_channels}, stride={stride}, position={position}"
        try:
            block = self.factory(in_channels, out_channels, stride, position)
        except BlockZooError:
            raise
        except Exception as error:
            raise BlockError(
                f"block {self.name} cannot be built with {arguments}: {self.describe_error(error)}"
            ) from error
        if not isinstance(block, nn.Module):
            raise BlockError(
                f"block {self.name} with {arguments} returned {type(block).__name__}, "
                f"not a torch.nn.Module"
            )
        lazy = [type(m).__name__ for m in block.modules() if isinstance(m, LazyModuleMixin)]
        if lazy:
            raise BlockError(
                f"block {self.name} with {arguments} has {lazy[0]}, whose weights have no shape "
                f"yet; a block must give them one in its constructor"
            )
        if self.initialisation == "policy" and not _on_meta_device():
            initialise(block)
        return block

    def describe_error(self, error: Exception) -> str:
        """Return an error of the block's code in one line, with its place where that is a user's.

        What a block of BlockZoo refuses by `ValueError` is said without type and place.
        """
        if not _is_ours(self.factory):
            return user_errors.describe_error(error, self.defined_at)
        return str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"


_registry: dict[str, BlockSpec] = {}
_aliases: dict[str, str] = {}
_foreign: dict[tuple[str, user_code.Target], BlockSpec] = {}


def register(spec: BlockSpec) -> BlockSpec:
    """Add a block; raises `InputError` naming both places when a name or alias is taken."""
    # A name of the zoo is taken even before anybody asks for it. The zoo's own modules import one
    # another, so that loading it from within one of them would be a circle.
    if not _is_ours(spec.factory):
        user_errors.claim(spec.factory)
        _load_zoo()
    for name in (spec.name, *spec.aliases):
        taken = _registry.get(_aliases.get(name, name))
        if taken is not None:
            raise InputError(
                f"block name {name!r} is registered twice: at {taken.defined_at} "
                f"and at {spec.defined_at}"
            )
    _registry[spec.name] = spec
    _aliases.update(dict.fromkeys(spec.aliases, spec.name))
    return spec


def register_block(
    name: str,
    *,
    family: str,
    year: int,
    paper: str,
    source: str,
    licence: str,
    formula: str,
    reparameterisable: bool = False,
    initialisation: Initialisation = "policy",
    aliases: tuple[str, ...] = (),
    notes: str = "",
) -> Callable[[BlockFactory], BlockFactory]:
    """Decorate a factory or an nn.Module class so that `name` stands for it everywhere.

    The decorated object is called as `(in_channels, out_channels, stride, position)`, or without
    the position where it takes the first three by these names and no fourth.
    """

    def add(factory: BlockFactory) -> BlockFactory:
        adapt = not _is_ours(factory) and user_code.leaves_out_position(factory)
        register(
            BlockSpec(
                name=name,
                family=family,
                year=year,
                paper=paper,
                source=source,
                licence=licence,
                formula=formula,
                factory=user_code.adapted(factory) if adapt else factory,
                reparameterisable=reparameterisable,
                initialisation=initialisation,
                aliases=aliases,
                notes=notes,
                defined_at=user_errors.place_of(factory),
            )
        )
        return factory

    return add


def get_block(name: str) -> BlockSpec:
    """Return the block of that name or alias, or of that file or module and class.

    `path/to/file.py:MyBlock` and `package.module:MyBlock` need not be registered, nor do blocks
    that installed packages declare. Raises `UnknownNameError` with near names, and what
    `foreign.load` raises.
    """
    _load_zoo()
    spec = _registered(name)
    if spec is None and user_code.is_foreign_name(name):
        return _foreign_block(name)
    if spec is None:
        _load_entries(name)
        spec = _registered(name)
    if spec is None:
        known = (*_registry, *_aliases, *entry_points.declared_blocks())
        raise UnknownNameError("block", name, known)
    return spec


def list_available_blocks() -> list[str]:
    """Return the names of all registered blocks, sorted, `classic/` ones last.

    Those of installed packages are among them. Raises `InputError` when two have one name.
    """
    _load_zoo()
    entry_points.import_modules()
    declared = entry_points.declared_blocks()
    for name in declared:
        if _registered(name) is not None:
            _load_entry(name)  # raises unless it is this entry's own
    return sorted({*_registry, *declared}, key=lambda name: ("/" in name, name.casefold()))


def _registered(name: str) -> BlockSpec | None:
    return _registry.get(_aliases.get(name, name))


def _load_entries(name: str) -> None:
    """Load the entry of that name, or all modules that may register it."""
    if name in entry_points.declared_blocks():
        _load_entry(name)
    else:
        entry_points.import_modules()


def _load_entry(name: str) -> None:
    """Register the class or function of an entry point, unless it has registered itself."""
    entry = entry_points.declared_blocks()[name]
    target = entry_points.load_entry(entry)
    spec = _registered(name)
    if spec is None or inspect.unwrap(spec.factory) is not target:
        spec = _spec_of(name, target)
        register(replace(spec, defined_at=f"{spec.defined_at} ({entry_points.origin(entry)})"))


def _foreign_block(name: str) -> BlockSpec:
    loaded = user_code.load(name)
    key = (loaded.name, loaded.target)
    if key not in _foreign:
        _foreign[key] = _spec_of(*key)
    return _foreign[key]


def _spec_of(name: str, target: user_code.Target) -> BlockSpec:
    """Return a spec of that name for a class or function, with what it was registered with."""
    for spec in _registry.values():
        if inspect.unwrap(spec.factory) is target:
            return replace(spec, name=name, aliases=())
    place = user_errors.place_of(target)
    user_errors.claim(target)
    summary = (target.__doc__ or "").strip().partition("\n")[0]
    return BlockSpec(
        name=name,
        family="user",
        year=0,
        paper="none (user)",
        source=place,
        licence="not stated",
        formula=summary or "not stated",
        factory=user_code.adapted(target),
        defined_at=place,
    )


def _check_arguments(in_channels: int, out_channels: int, stride: int) -> None:
    for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
        if channels < 1:
            raise InputError(f"{name} is {channels}; it must be 1 or more")
    if stride not in (1, 2):
        raise InputError(f"stride is {stride}; it must be 1 or 2")


def _load_zoo() -> None:
    import blockzoo.blocks.zoo  # noqa: F401 - importing it registers every family


def _is_ours(factory: BlockFactory) -> bool:
    return factory.__module__.startswith(f"{__package__}.")


def _on_meta_device() -> bool:
    return torch.empty(0).device.type == "meta"
