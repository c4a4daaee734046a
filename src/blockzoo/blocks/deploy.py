"""From the training form of a network to its deploy form.

Both forms compute the same function in eval mode; the deploy form has its branches merged. Every
module that has a merge is asked to, the outer before the inner. A merge is a method that can be
called without arguments, of the name `fuse`, `reparameterize` or `switch_to_deploy`, or of one that
the block was registered with. The three names are those that timm's `reparameterize_model` looks
for, whose order this follows; blocks written here offer `reparameterize`.

A merge that returns a module has that module take its own module's place. One that returns None has
merged in place. One that returns anything else, a kernel say, is none: its module stays as it was.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from blockzoo.blocks.signatures import in_words
from blockzoo.core.errors import BlockError
from blockzoo.core.networks import copied

MERGING_METHODS = ("fuse", "reparameterize", "switch_to_deploy")
"""In the order in which they are looked for; those a block was registered with come before them."""
_MERGED = "_merged_to_deploy"
_REGISTERED = "_registered_merges"


def to_deploy(module: nn.Module) -> nn.Module:
    """Return a copy of `module` in eval mode with every re-parameterisable part merged.

    What is merged already stays as it is. A parameter that merging made is trainable where one of
    those that it took the place of was.

    Args:
        module: Any module; it is left as it is.

    Returns:
        The copy, on the device and in the precision of `module`, the meta device included.

    Raises:
        BlockError: Where a merge that the block was registered with returns neither None nor a
            module.

    Example:
        >>> from blockzoo.blocks import get_block
        >>> from blockzoo.core.position import Position
        >>> block = get_block("RepVGG").build(8, 8, 1, Position.MID)
        >>> [sum(p.numel() for p in form.parameters()) for form in (block, to_deploy(block))]
        [688, 584]
    """
    # Only children can be replaced, so the root must be somebody's child.
    parent = nn.Sequential(copied(module).eval())
    before = {name: (id(each), each.requires_grad) for name, each in parent.named_parameters()}
    held = list(parent.parameters())  # so that no new one comes to have the identity of an old one
    with torch.no_grad():
        _merge_children(parent, (), {})
    _keep_trainability(parent, before)
    del held
    # Again, because layers that merging creates are in training mode.
    return parent[0].eval()


def register_merges(block: nn.Module, names: Sequence[str]) -> None:
    """Have methods of these names count as merges in `block` and all that it holds."""
    setattr(block, _REGISTERED, tuple(names))


def has_merges(module: nn.Module) -> bool:
    """Tell whether anything in `module` would be asked to merge; see the top of this file.

    >>> class Flagged(nn.Sequential):
    ...     fuse = True
    >>> has_merges(Flagged())
    False
    """
    found = _walk(module, ())
    return any(_merge_of(each, names) is not None for each, names in found)


def merges_with_arguments(module: nn.Module) -> dict[str, Callable[..., object]]:
    """Return the methods named as merges that ask for arguments, by how people write them.

    Those of modules that have a merge beside it are left out.

    >>> class Fusion(nn.Sequential):
    ...     def fuse(self, near, far):
    ...         return near + far
    >>> list(merges_with_arguments(nn.Sequential(Fusion())))
    ['Fusion.fuse(near, far)']
    """
    wanting: dict[str, Callable[..., object]] = {}
    for each, names in _walk(module, ()):
        if _merge_of(each, names) is None:
            for name, method in _methods(each, names):
                wanting[f"{type(each).__name__}.{name}{_arguments(method)}"] = method
    return wanting


def _walk(module: nn.Module, above: tuple[str, ...]) -> Iterator[tuple[nn.Module, tuple[str, ...]]]:
    """Yield each module within, itself first, with the names that count as merges in it."""
    names = _names_in(module, above)
    yield module, (*names, *MERGING_METHODS)
    for child in module.children():
        yield from _walk(child, names)


def _names_in(module: nn.Module, above: tuple[str, ...]) -> tuple[str, ...]:
    """Return the registered names of merges that count in a module and below it."""
    own: tuple[str, ...] = getattr(module, _REGISTERED, ())
    return (*own, *above)


def _merge_of(module: nn.Module, names: Sequence[str]) -> tuple[str, Callable[[], object]] | None:
    """Return name and method of the first that can be called without arguments."""
    return next((each for each in _methods(module, names) if _is_callable_bare(each[1])), None)


def _methods(
    module: nn.Module, names: Sequence[str]
) -> Iterator[tuple[str, Callable[..., object]]]:
    for name in names:
        method = _method(module, name)
        if method is not None:
            yield name, method


def _method(module: nn.Module, name: str) -> Callable[..., object] | None:
    """Return the method of that name; layers, flags and functions kept as attributes are none."""
    # Without computing it: a property may do anything.
    holders = (module, *type(module).__mro__)
    static = next((vars(holder)[name] for holder in holders if name in vars(holder)), None)
    if static is None or isinstance(static, (property, functools.cached_property)):
        return None
    value: Callable[..., object] = getattr(module, name)
    return value if inspect.ismethod(value) else None


def _is_callable_bare(method: Callable[..., object]) -> bool:
    try:
        inspect.signature(method).bind()
    except (TypeError, ValueError):
        return False
    return True


def _arguments(method: Callable[..., object]) -> str:
    """Return the parameters of a method without their types, as "(near, far=...)"."""
    parameters = inspect.signature(method).parameters.values()
    return f"({', '.join(map(in_words, parameters))})"


def _merge_children(
    module: nn.Module, above: tuple[str, ...], done: dict[nn.Module, nn.Module]
) -> None:
    """Merge in all below `module`; `done` has what took the place of each module, or itself."""
    below = _names_in(module, above)
    # Under all its names, where a child has several, and in all modules that hold it.
    for name, child in list(module._modules.items()):
        if child is None:
            continue
        if child not in done:
            done[child] = _merged(child, _names_in(child, below))
            _merge_children(done[child], below, done)
        if done[child] is not child:
            setattr(module, name, done[child])


def _merged(child: nn.Module, registered: tuple[str, ...]) -> nn.Module:
    """Ask a module to merge, where it can and has not yet; return what takes its place."""
    merge = _merge_of(child, (*registered, *MERGING_METHODS))
    # Not every merge can be asked for twice: the branches that it reads are gone.
    if merge is None or getattr(child, _MERGED, False):
        return child
    name, call = merge
    with _created_like(child):
        result = call()
    if result is not None and not isinstance(result, nn.Module) and name in registered:
        raise BlockError(
            f"{type(child).__name__}.{name}() returned a {type(result).__name__}; "
            f"a merge returns None or the module that takes its own's place"
        )
    taking = result if isinstance(result, nn.Module) else child
    for each in {child, taking}:
        if _merge_of(each, (*registered, *MERGING_METHODS)) is not None:
            setattr(each, _MERGED, True)
    return taking


@contextmanager
def _created_like(module: nn.Module) -> Iterator[None]:
    """Within it new layers have the device and the precision of the module's parameters."""
    tensors = [*module.parameters(), *module.buffers()]
    device = tensors[0].device if tensors else torch.device("cpu")
    precise = next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), None)
    usual = torch.get_default_dtype()
    torch.set_default_dtype(precise or usual)
    try:
        with device:
            yield
    finally:
        torch.set_default_dtype(usual)


def _keep_trainability(module: nn.Module, before: dict[str, tuple[int, bool]]) -> None:
    """Let each parameter that stayed be as trainable as `before` says, and each new one as those
    that are gone around it.

    `before` has, by name, the identity of each parameter and whether it was trainable: merges
    detach what they leave behind, and at times what stays.
    """
    after = dict(module.named_parameters())
    kept = {id(parameter) for parameter in after.values()}
    gone = {name: was for name, (identity, was) in before.items() if identity not in kept}
    old = dict(before.values())
    for name, parameter in after.items():
        trainable = old.get(id(parameter))
        if trainable is None:
            trainable = any(_lost_around(name, gone))
        parameter.requires_grad_(trainable)


def _lost_around(name: str, gone: dict[str, bool]) -> list[bool]:
    """Return what is said of those that are gone from the innermost module that lost any."""
    lost: list[bool] = []
    while not lost and name:
        name = name.rpartition(".")[0]
        lost = [was for other, was in gone.items() if other.startswith(f"{name}.")]
    return lost
