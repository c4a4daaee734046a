"""The registry: what a block is called, where it comes from, and how to build it.

A factory takes `(in_channels, out_channels, stride, position)` and returns a module that maps
(N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from blockzoo.blocks.initialisation import initialise
from blockzoo.errors import BlockError, BlockZooError, InputError, UnknownNameError
from blockzoo.position import Position

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

        Raises `BlockError` naming the block and its arguments when the constructor raises or does
        not return a module, and `InputError` for channels below 1 or a stride other than 1 and 2.
        """
        _check_arguments(in_channels, out_channels, stride)
        arguments = f"in={in_channels}, out={out_channels}, stride={stride}, position={position}"
        try:
            block = self.factory(in_channels, out_channels, stride, position)
        except BlockZooError:
            raise
        except Exception as error:
            kind = "" if type(error) is ValueError else f"{type(error).__name__}: "
            raise BlockError(
                f"block {self.name} cannot be built with {arguments}: {kind}{error}"
            ) from error
        if not isinstance(block, nn.Module):
            raise BlockError(
                f"block {self.name} with {arguments} returned {type(block).__name__}, "
                f"not a torch.nn.Module"
            )
        if self.initialisation == "policy" and not _on_meta_device():
            initialise(block)
        return block


_registry: dict[str, BlockSpec] = {}
_aliases: dict[str, str] = {}


def register(spec: BlockSpec) -> BlockSpec:
    """Add a block; raises `InputError` naming both places when a name or alias is taken."""
    # A name of the zoo is taken even before anybody asks for it. The zoo's own modules import one
    # another, so that loading it from within one of them would be a circle.
    if not spec.factory.__module__.startswith(__package__):
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

    The decorated object is called as `(in_channels, out_channels, stride, position)`.
    """

    def add(factory: BlockFactory) -> BlockFactory:
        register(
            BlockSpec(
                name=name,
                family=family,
                year=year,
                paper=paper,
                source=source,
                licence=licence,
                formula=formula,
                factory=factory,
                reparameterisable=reparameterisable,
                initialisation=initialisation,
                aliases=aliases,
                notes=notes,
                defined_at=_place_of(factory),
            )
        )
        return factory

    return add


def get_block(name: str) -> BlockSpec:
    """Return the block of that name or alias; raises `UnknownNameError` with near names."""
    _load_zoo()
    try:
        return _registry[_aliases.get(name, name)]
    except KeyError:
        raise UnknownNameError("block", name, (*_registry, *_aliases)) from None


def list_available_blocks() -> list[str]:
    """Return the names of all registered blocks, sorted, `classic/` ones last."""
    _load_zoo()
    return sorted(_registry, key=lambda name: ("/" in name, name.casefold()))


def _check_arguments(in_channels: int, out_channels: int, stride: int) -> None:
    for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
        if channels < 1:
            raise InputError(f"{name} is {channels}; it must be 1 or more")
    if stride not in (1, 2):
        raise InputError(f"stride is {stride}; it must be 1 or 2")


def _load_zoo() -> None:
    import blockzoo.blocks.zoo  # noqa: F401 - importing it registers every family


def _place_of(factory: BlockFactory) -> str:
    try:
        return f"{inspect.getsourcefile(factory)}:{inspect.getsourcelines(factory)[1]}"
    except (OSError, TypeError):
        return f"{factory.__module__}"


def _on_meta_device() -> bool:
    return torch.empty(0).device.type == "meta"
