"""From the training form of a network to its deploy form.

Both forms compute the same function in eval mode; the deploy form has its branches merged. Every
module that offers `fuse`, `reparameterize` or `switch_to_deploy` is asked to, the outer before the
inner; blocks written here offer `reparameterize`. The names are those that timm's
`reparameterize_model` looks for, whose order this follows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from blockzoo.core.networks import copied

MERGING_METHODS = ("fuse", "reparameterize", "switch_to_deploy")
"""In the order in which they are looked for; the first returns what takes the module's place."""
_MERGED = "_merged_to_deploy"


def to_deploy(module: nn.Module) -> nn.Module:
    """Return a copy of `module` in eval mode with every re-parameterisable part merged.

    >>> from blockzoo.blocks import get_block
    >>> from blockzoo.core.position import Position
    >>> block = get_block("RepVGG").build(8, 8, 1, Position.MID)
    >>> [sum(p.numel() for p in form.parameters()) for form in (block, to_deploy(block))]
    [688, 584]

    The copy has the device and the precision of `module`, the meta device included. What is merged
    already stays as it is. A parameter that merging made is trainable where one of those that it
    took the place of was.
    """
    # Only children can be replaced, so the root must be somebody's child.
    parent = nn.Sequential(copied(module).eval())
    before = {name: (id(each), each.requires_grad) for name, each in parent.named_parameters()}
    held = list(parent.parameters())  # so that no new one comes to have the identity of an old one
    with torch.no_grad():
        _merge_children(parent)
    _keep_trainability(parent, before)
    del held
    # Again, because layers that merging creates are in training mode.
    return parent[0].eval()


def _merge_children(module: nn.Module) -> None:
    for name, child in list(module.named_children()):
        method = next((each for each in MERGING_METHODS if hasattr(child, each)), None)
        # Not every merge can be asked for twice: the branches that it reads are gone.
        if method is not None and not getattr(child, _MERGED, False):
            with _created_like(child):
                merged = getattr(child, method)()
            if method == "fuse":
                setattr(module, name, merged)
        _merge_children(child)
    for child in module.children():
        if any(hasattr(child, each) for each in MERGING_METHODS):
            setattr(child, _MERGED, True)


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
