"""From the training form of a network to its deploy form.

Both forms compute the same function in eval mode; the deploy form has its branches merged. The
work is done by timm's `reparameterize_model`, which calls `fuse`, `reparameterize` or
`switch_to_deploy` of every child that has one; blocks written here offer `reparameterize`.
"""

from __future__ import annotations

import copy
from itertools import chain

import torch
from timm.utils.model import reparameterize_model
from torch import nn


def to_deploy(module: nn.Module) -> nn.Module:
    """Return a copy of `module` in eval mode with every re-parameterisable part merged.

    >>> from blockzoo.blocks import get_block
    >>> from blockzoo.core.position import Position
    >>> block = get_block("RepVGG").build(8, 8, 1, Position.MID)
    >>> [sum(p.numel() for p in form.parameters()) for form in (block, to_deploy(block))]
    [688, 584]

    The copy is on the device that `module` is on, the meta device included.
    """
    # reparameterize_model only looks at children, so the root must be somebody's child.
    parent = nn.Sequential(copy.deepcopy(module).eval())
    # Merged convolutions are created on the default device: make that the module's own.
    with torch.no_grad(), _device_of(module):
        reparameterize_model(parent, inplace=True)
    # Again, because layers that merging creates are in training mode.
    return parent[0].eval()


def _device_of(module: nn.Module) -> torch.device:
    tensors = chain(module.parameters(), module.buffers())
    return next((tensor.device for tensor in tensors), torch.device("cpu"))
