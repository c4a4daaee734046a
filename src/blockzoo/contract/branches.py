"""Finds branches of a block that could be one layer and that nothing merges.

Convolutions of one tensor whose outputs are added, with nothing but linear operations and norms in
between, are one convolution in eval mode (X. Ding et al., RepVGG, 2021). They are found in the
graph that autograd keeps of a forward pass, whatever the block's code looks like.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from blockzoo.contract.cases import run

_LINEAR = ("Convolution", "NativeBatchNorm", "Add", "Sub", "View", "Reshape", "AvgPool2D", "Slice")
_SUMS = ("AddBackward", "SubBackward")
# A walk over a block that adds without end, as dense ones do, would visit each path.
_PATHS_MAX = 10_000


def unmerged_branches(block: nn.Module, images: Tensor) -> list[str]:
    """Return the names of convolutions that stand in parallel and could be merged into one.

    `images` (N, C, H, W) is what the block, in eval mode, is run on.

    >>> class Two(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.near, self.far = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, padding=1)
    ...     def forward(self, x):
    ...         return torch.relu(self.near(x) + self.far(x))
    >>> unmerged_branches(Two().eval(), torch.randn(1, 4, 8, 8))
    ['far', 'near']
    """
    names = {id(value): name.rpartition(".")[0] for name, value in block.named_parameters()}
    with torch.enable_grad():
        # A copy of what needs a gradient, for some blocks change what they are given.
        output = run(block, images.clone().requires_grad_().clone())
    found: set[str] = set()
    for node in _nodes(output.grad_fn):
        if node.name().startswith(_SUMS):
            found |= _parallel(node, names)
    return sorted(found)


def _nodes(root: Any) -> Iterator[Any]:
    waiting, seen = [root], {root}
    while waiting:
        node = waiting.pop()
        if node is not None:
            yield node
            following = {each for each, _ in node.next_functions} - seen
            seen |= following
            waiting += following


def _parallel(total: Any, names: dict[int, str]) -> set[str]:
    """Return the convolutions of one tensor that meet in this sum, if there are several."""
    branches: dict[Any, list[frozenset[str]]] = {}
    for source, passed in _paths(total, names):
        if passed:
            branches.setdefault(source, []).append(passed)
    return {
        name
        for paths in branches.values()
        if len({*paths}) > 1
        for name in frozenset.union(*paths) - frozenset.intersection(*paths)
    }


def _paths(total: Any, names: dict[int, str]) -> Sequence[tuple[Any, frozenset[str]]]:
    """Return each linear way up from a sum: where it begins, and the convolutions on it."""
    ended: list[tuple[Any, frozenset[str]]] = []
    waiting: list[tuple[Any, frozenset[str]]] = [(total, frozenset())]
    while waiting and len(ended) < _PATHS_MAX:
        node, passed = waiting.pop()
        following = [each for each, _ in node.next_functions if each is not None]
        weights = [names.get(id(getattr(each, "variable", None))) for each in following]
        if node.name().startswith("Convolution"):
            passed |= {name for name in weights if name is not None}
        inputs = [each for each, name in zip(following, weights, strict=True) if name is None]
        if node.name().startswith(_LINEAR) and inputs:
            waiting += [(each, passed) for each in inputs]
        else:
            ended.append((node, passed))
    return ended
