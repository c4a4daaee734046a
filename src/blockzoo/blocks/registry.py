"""The registry: what a block is called, where it comes from, and how to build it.

A factory takes `(in_channels, out_channels, stride, position)` and returns a module that maps
(N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)). Nothing here
imports a block: the families of the zoo and the files of users import this module, and
`catalog.py` looks blocks up.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypedDict, TypeVar

import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin

from blockzoo.blocks import signatures, user_code, user_errors
from blockzoo.blocks.deploy import has_merges, merges_with_arguments, register_merges
from blockzoo.blocks.initialisation import initialise
from blockzoo.core.errors import BlockError, BlockZooError, InputError, in_one_line, one_line
from blockzoo.core.names import checked_name, published_name
from blockzoo.core.position import Position
from blockzoo.core.ranges import CAPACITY, DEPTH

if TYPE_CHECKING:
    from typing_extensions import Unpack

BlockFactory = Callable[..., nn.Module]
"""Takes in_channels, out_channels, stride, the position and, by its keyword, the block's knob."""
Builder = Callable[..., nn.Module]
"""Takes in_channels, out_channels and stride in this order, and perhaps the position."""
RegisteredTarget = TypeVar("RegisteredTarget", bound=Callable[..., nn.Module])
Initialisation = Literal["policy", "own"]
Evidence = Literal["official code", "network totals", "counts", "not stated"]
"""How it was established that a block is what its name says, the strongest way first."""
TrialKind = Literal["identity", "cost", "latency", "training"]
Task = TypeVar("Task")
Value = TypeVar("Value")


class Elsewhere(Protocol):
    """Runs a function of a block in a process that serves this block alone."""

    def __call__(
        self,
        function: Callable[[Task, Callable[[object], None]], Value],
        task: Task,
        *,
        kind: TrialKind,
        listener: Callable[[Any], None] | None = None,
    ) -> Value:
        """Return what `function(task, send)` returns there; `listener` hears what it sends.

        Function, task, value and messages are pickled, and name the block by its name. Raises what
        the function raises, and `BlockError` where the process ended.
        """


def built_elsewhere(
    in_channels: int, out_channels: int, stride: int, position: Position
) -> nn.Module:
    """Stand for the factory of a block whose code this process does not load."""
    raise BlockError("it is built in a process of its own alone")


@dataclass(frozen=True, kw_only=True)
class BlockSpec:
    """One block: what it is called, where it comes from, and how it is built.

    `get_block` returns one, `register_block` makes one.

    Attributes:
        name: What the block is called; aliases lead to it.
        family: The group of blocks that it belongs to; "user" of one that nobody said more of.
        year: When it was published; 0 where that is not known.
        paper: Its arXiv number, or else where it was published.
        source: The class that it is or was written after.
        licence: Of the source.
        formula: Its mathematics in one line.
        factory: Called as `(in_channels, out_channels, stride, position)`; returns the module.
        evidence: How it was established that it is what its name says, see the page of the zoo.
        reparameterisable: Whether branches merge in its deploy form.
        merge_methods: Methods that merge branches, for a block that calls them otherwise than
            `fuse`, `reparameterize` and `switch_to_deploy`.
        initialisation: "policy", or "own" for a block whose paper or purpose
            requires another.
        aliases: Other names of it.
        notes: What else there is to know.
        knob: The keyword of the factory that sets its capacity, a number above 0; "" for none.
        capacity: The value of the knob that it is built with; None for the published one.
        stage_depth: How many blocks its stage has, whatever the scaffold says; None for the
            scaffold's.
        defined_at: File and line of the factory.
        class_name: Of a user's block that another process loads, its class.
        elsewhere: What runs functions of such a block in its process; None for all others.

    Raises:
        InputError: For a name that no record could keep.

    Example:
        >>> from blockzoo import get_block
        >>> spec = get_block("RepVGG")
        >>> spec.name, spec.year, spec.reparameterisable
        ('RepVGGBlock', 2021, True)
    """

    name: str
    family: str
    year: int
    paper: str
    source: str
    licence: str
    formula: str
    factory: BlockFactory
    evidence: Evidence = "not stated"
    reparameterisable: bool = False
    merge_methods: tuple[str, ...] = ()
    initialisation: Initialisation = "policy"
    aliases: tuple[str, ...] = ()
    notes: str = ""
    knob: str = ""
    capacity: float | None = None
    stage_depth: int | None = None
    defined_at: str = ""
    class_name: str = ""
    elsewhere: Elsewhere | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        checked_name("block", self.name)

    @property
    def from_zoo(self) -> bool:
        """Whether the block is BlockZoo's own; all code that builds another one is a user's."""
        return self.elsewhere is None and _is_ours(self.factory)

    @property
    def identity_name(self) -> str:
        """What identities call the block; of one by its path only the class, wherever it lies.

        >>> from blockzoo.blocks import get_block
        >>> get_block("RepVGG").identity_name
        'RepVGGBlock'
        """
        if not user_code.names_user_code(self.name):
            return self.name
        target = inspect.unwrap(self.factory)
        asked = self.name.rpartition(":")[2]
        return self.class_name or getattr(target, "__qualname__", asked)

    def build(
        self, in_channels: int, out_channels: int, stride: int, position: Position
    ) -> nn.Module:
        """Build the block with its initial weights, drawn from torch's current generator.

        Args:
            in_channels: Of its input (N, in_channels, H, W).
            out_channels: Of its output (N, out_channels, ceil(H / stride), ceil(W / stride)).
            stride: 1 or 2.
            position: Which stage it is for.

        Returns:
            The block, in training mode.

        Raises:
            InputError: For channels below 1 or a stride other than 1 and 2.
            BlockError: When the constructor raises, does not return a module or returns one with
                lazy weights; the message names the block and its arguments.

        Example:
            >>> from blockzoo.blocks import get_block
            >>> get_block("Identity").build(8, 16, 2, Position.MID)(torch.zeros(1, 8, 5, 5)).shape
            torch.Size([1, 16, 3, 3])
        """
        _check_arguments(in_channels, out_channels, stride)
        arguments = f"in={in_channels}, out={out_channels}, stride={stride}, position={position}"
        try:
            block = self.factory(in_channels, out_channels, stride, position, **self._setting)
        except BlockZooError:
            raise  # it says already what is wrong, and is no fault of the block's code
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
        if self.merge_methods:
            register_merges(block, self.merge_methods)
        if not self.from_zoo:
            self._tell_of_uncalled_merges(block)
        # On the meta device there is nothing to draw, and drawing would take time all the same.
        if self.initialisation == "policy" and not _on_meta_device():
            initialise(block)
        return block

    @property
    def _setting(self) -> dict[str, float]:
        return {} if self.capacity is None else {self.knob: self.capacity}

    def at_capacity(self, value: float) -> BlockSpec:
        """Return the block with its knob turned, under a name that says so.

        Args:
            value: Of the knob, above 0; four digits of it count.

        Returns:
            Another spec.

        Raises:
            InputError: For a block without a knob and a value that is not above 0.

        Example:
            >>> from blockzoo.blocks import get_block
            >>> get_block("InvertedResidual").at_capacity(3).name
            'InvertedResidual[expansion=3]'
        """
        if not self.knob:
            raise InputError(f"block {self.name} declares no knob for its capacity")
        value = CAPACITY.checked(self.knob, float(f"{value:.4g}"))
        return self._turned(value, self.stage_depth)

    def at_depth(self, blocks: float) -> BlockSpec:
        """Return the block for a stage of that many, under a name that says so.

        Args:
            blocks: How many.

        Returns:
            Another spec.

        Raises:
            InputError: For a number out of range.

        Example:
            >>> from blockzoo.blocks import get_block
            >>> get_block("MobileOneBlock").at_depth(5).name
            'MobileOneBlock[depth=5]'
        """
        return self._turned(self.capacity, int(DEPTH.checked("depth", blocks)))

    def _turned(self, capacity: float | None, depth: int | None) -> BlockSpec:
        turned = "" if capacity is None else f"[{self.knob}={capacity:.4g}]"
        stacked = "" if depth is None else f"[depth={depth}]"
        name = f"{published_name(self.name)}{turned}{stacked}"
        return replace(self, name=name, capacity=capacity, stage_depth=depth, aliases=())

    def depth_in(self, scaffold_depth: int) -> int:
        """Return how many blocks its stage has in a scaffold of that depth.

        Args:
            scaffold_depth: Blocks per stage of the scaffold.

        Example:
            >>> from blockzoo.blocks import get_block
            >>> get_block("RepVGG").depth_in(3), get_block("RepVGG").at_depth(5).depth_in(3)
            (3, 5)
        """
        return scaffold_depth if self.stage_depth is None else self.stage_depth

    def _tell_of_uncalled_merges(self, block: nn.Module) -> None:
        """Warn, once each, of methods with a merge's name that ask for arguments."""
        what = "is not called" if has_merges(block) else "is not called and no deploy form is made"
        for text, method in merges_with_arguments(block).items():
            line = f"block {self.name}: {text} takes arguments, so it {what}"
            if line not in _told:
                _told.add(line)
                code = inspect.unwrap(method).__code__
                place = (code.co_filename, code.co_firstlineno)
                warnings.warn_explicit(line, UserWarning, *place)

    def describe_error(self, error: Exception) -> str:
        """Return an error of the block's code in one line, with its place where that is a user's.

        What a block of BlockZoo refuses by `ValueError` is said without type and place.

        Args:
            error: What the block raised.
        """
        if not self.from_zoo:
            return user_errors.describe_error(error, self.defined_at)
        return in_one_line(str(error)) if type(error) is ValueError else one_line(error)


BlockLike = str | BlockSpec | Callable[..., nn.Module]
"""What stands for a block: its name, its spec, or the class or function that builds it."""

_told: set[str] = set()
"""What was warned of: a block is built many times."""
_registry: dict[str, BlockSpec] = {}
_aliases: dict[str, str] = {}


def registered(name: str) -> BlockSpec | None:
    """Return the block registered under that name or alias, if any.

    >>> import blockzoo.blocks
    >>> registered("RepVGG").name, registered("Nothing")
    ('RepVGGBlock', None)
    """
    return _registry.get(_aliases.get(name, name))


def registered_whatever_case(name: str) -> BlockSpec | None:
    """Return the one block that has that name or alias if case does not count; None if several do.

    >>> import blockzoo.blocks
    >>> registered_whatever_case("repvgg").name
    'RepVGGBlock'
    """
    folded = name.casefold()
    found = {_aliases.get(each, each) for each in registered_names() if each.casefold() == folded}
    return _registry[found.pop()] if len(found) == 1 else None


def registered_blocks() -> tuple[BlockSpec, ...]:
    """Return all registered blocks, in the order in which they came."""
    return tuple(_registry.values())


def registered_names() -> Iterator[str]:
    """Yield every name that is taken: those of blocks, then the aliases."""
    yield from _registry
    yield from _aliases


def block_of_target(target: signatures.Target) -> BlockSpec | None:
    """Return the block that was registered with this very class or function, if any."""
    # A factory that takes no position, or another's adapter, is registered wrapped.
    return next((s for s in _registry.values() if inspect.unwrap(s.factory) is target), None)


def register(spec: BlockSpec) -> BlockSpec:
    """Add a block; raises `InputError` naming both places when a name or alias is taken."""
    if not _is_ours(spec.factory):
        user_errors.claim(spec.factory)
    # All names before any is added, so that a refused block leaves nothing behind.
    for name in (spec.name, *spec.aliases):
        taken = registered(name)
        if taken is not None:
            raise InputError(
                f"block name {name!r} is registered twice: at {taken.defined_at} "
                f"and at {spec.defined_at}"
            )
    _registry[spec.name] = spec
    _aliases.update(dict.fromkeys(spec.aliases, spec.name))
    return spec


class BlockFacts(TypedDict, total=False):
    """What `register_block` may be told of a block; the fields of `BlockSpec` explain each."""

    family: str
    year: int
    paper: str
    source: str
    licence: str
    formula: str
    evidence: Evidence
    reparameterisable: bool
    merge_methods: tuple[str, ...]
    initialisation: Initialisation
    aliases: tuple[str, ...]
    notes: str
    knob: str


def register_block(
    name: str, *, build: Builder | None = None, **facts: Unpack[BlockFacts]
) -> Callable[[RegisteredTarget], RegisteredTarget]:
    """Decorate a factory or an nn.Module class so that `name` stands for it everywhere.

    The decorated object is called as `(in_channels, out_channels, stride, position)`, or without
    the position where it takes the first three by these names and no `position`.

    Args:
        name: What the block is called from now on; it is all that is needed.
        build: Builds a block that takes other arguments. It is called as `(in_channels,
            out_channels, stride)`, whatever it calls them, or with the position as a fourth. Then
            the block is there at once, and the decorator only says which class it is:
            `register_block("C3", build=lambda i, o, s: C3(i, o, n=1))`.
        **facts: Attributes of `BlockSpec`: family, year, paper, source, licence, formula,
            reparameterisable, merge_methods, initialisation, aliases, notes and knob.

    Returns:
        The decorator, which returns what it decorates.

    Raises:
        InputError: Where the object takes other arguments, and where the name or an alias is taken,
            by a block of the zoo say.

    Example:
        >>> from blockzoo import register_block
        >>> register_block("ResNetBasicBlock")(nn.Identity)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        blockzoo.core.errors.InputError: block name 'ResNetBasicBlock' is registered twice: at ...
    """
    if not isinstance(name, str):
        raise InputError('register_block needs a name: @register_block("MyBlock")')
    if build is not None:
        adapter = signatures.Adapter(build, name)
        register(_spec_of(name, adapter, build, facts))

        def add(target: RegisteredTarget) -> RegisteredTarget:
            # Whoever asks for the class by its path finds this block, see `block_of_target`.
            adapter.stand_for(target)
            user_errors.claim(target)
            return target
    else:

        def add(target: RegisteredTarget) -> RegisteredTarget:
            # The zoo's own factories all take a position; no need to look.
            factory = target if _is_ours(target) else signatures.registered_factory(target, name)
            register(_spec_of(name, factory, target, facts))
            # As it came: the class can still be used and subclassed under its own name.
            return target

    return add


def _spec_of(
    name: str, factory: BlockFactory, target: signatures.Target, facts: BlockFacts
) -> BlockSpec:
    place = user_errors.place_of(target)
    told: BlockFacts = {**unstated_facts(target, place), **facts}
    if (knob := told.get("knob")) and not _is_ours(target):
        signatures.check_knob(target, name, knob)
    return BlockSpec(name=name, factory=factory, defined_at=place, **told)


def unstated_facts(target: signatures.Target, place: str) -> BlockFacts:
    """Return what is said of a block of which nobody said anything; its summary is its formula.

    >>> unstated_facts(nn.Identity, "my.py:3")["source"]
    'my.py:3'
    """
    summary = (target.__doc__ or "").strip().partition("\n")[0]
    return {
        "family": "user",
        "year": 0,
        "paper": "none (user)",
        "source": place,
        "licence": "not stated",
        "formula": summary or "not stated",
    }


def _check_arguments(in_channels: int, out_channels: int, stride: int) -> None:
    for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
        if channels < 1:
            raise InputError(f"{name} is {channels}; it must be 1 or more")
    if stride not in (1, 2):
        raise InputError(f"stride is {stride}; it must be 1 or 2")


def _is_ours(factory: Callable[..., nn.Module]) -> bool:
    return factory.__module__.startswith(f"{__package__}.")


def _on_meta_device() -> bool:
    return torch.empty(0).device.type == "meta"
