"""Folds batch norms into the convolutions and linear layers before them, in any block.

Which norm reads which layer is seen, not guessed: the network is run once on an example, while
every operation on the outputs and parameters of such layers is watched. A norm is folded only where
nothing else reads what it reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.nn.utils.parametrize import is_parametrized
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.hooks import RemovableHandle

from blockzoo.blocks.deploy import to_deploy

_LAYERS = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
    nn.Linear,
)
# The first is one of the others too, with an activation after it.
_NORMS = (BatchNormAct2d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def to_folded(module: nn.Module, example: Tensor) -> nn.Module:
    """Return the deploy form of `module` with each batch norm folded into the layer before it.

    A norm stays where its layer's output or parameters are read by anything else too, where either
    is no plain layer of torch (another forward, a hook, a parametrisation), and where it has no
    running statistics. A folded layer is trainable where a parameter of it or of its norm was.

    Args:
        module: Any module; it is left as it is.
        example: An input (N, ...) of the module, which is run through it once, in its precision.
            What the module does wrong with it comes through.

    Returns:
        The folded copy, in eval mode.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        >>> to_folded(net, torch.zeros(1, 3, 8, 8))
        Sequential(
          (0): Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))
          (1): Identity()
          (2): ReLU()
        )
    """
    deploy_form = nn.Sequential(to_deploy(module))  # a root can be replaced only in a parent
    left: dict[nn.Module | None, nn.Module] = {}
    for layer, norm in _foldable(deploy_form, example):
        _fuse(layer, norm)
        left[norm] = _without_norm(norm)
    for parent in list(deploy_form.modules()):
        for name, child in list(parent._modules.items()):  # all names, where one has several
            if child in left:
                setattr(parent, name, left[child])
    return deploy_form[0].eval()


def _foldable(root: nn.Module, example: Tensor) -> list[tuple[nn.Module, nn.Module]]:
    """Return the pairs of a layer and the only norm that reads it, and that reads nothing else."""
    layers = [layer for layer in root.modules() if _is_plain(layer, _LAYERS)]
    norms = [
        norm
        for norm in root.modules()
        if _is_plain(norm, _NORMS) and getattr(norm, "running_mean", None) is not None
    ]
    reads = _Reads()
    for module in (*layers, *norms):
        for tensor in _own(module):
            reads.watch(tensor)
    with _listening(reads, [*layers, *norms]):
        _run(root, example, reads)
    return [(layer, norm) for layer in layers if (norm := reads.only_norm_of(layer)) is not None]


def _is_plain(module: nn.Module, kinds: tuple[type[nn.Module], ...]) -> bool:
    """Tell whether it computes what a layer of torch does: itself, or one with other arguments."""
    kind = next((each for each in kinds if isinstance(module, each)), None)
    if kind is None or is_parametrized(module):
        return False
    if getattr(module, "groups", 1) > 1 and isinstance(module, _ConvTransposeNd):
        return False  # its weights are laid out by group, which the fusion does not know
    inherited = all(
        getattr(type(module), name, None) is getattr(kind, name, None)
        for name in ("forward", "_conv_forward", "__call__")
    )
    hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks)
    return inherited and "forward" not in vars(module) and not any(hooks)


def _run(root: nn.Module, example: Tensor, reads: _Reads) -> None:
    first = next((each for each in root.parameters() if each.is_floating_point()), example)
    with torch.no_grad(), reads:
        output = root(example.to(device=first.device, dtype=first.dtype))
    for leaf in tree_leaves(output):  # what is returned is read by whoever called
        reads.note(leaf)


@dataclass(eq=False)
class _Call:
    """One call of a layer or norm: what it read and what it returned."""

    module: nn.Module
    source: Tensor
    result: Tensor | None = None


@dataclass(eq=False)
class _Watch:
    """A tensor and the modules that read it; None for an operation outside of all that count."""

    tensor: Tensor
    readers: list[nn.Module | None] = field(default_factory=list)


class _Reads(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has no types for it
    """Notes, for each watched tensor, within which layer or norm an operation read it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._watches: dict[int, _Watch] = {}
        self._open: list[_Call] = []
        self._calls: dict[nn.Module, list[_Call]] = {}

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Note what an operation reads, and do it."""
        for leaf in tree_leaves((args, kwargs or {})):
            self.note(leaf)
        return func(*args, **(kwargs or {}))

    def watch(self, tensor: Tensor) -> None:
        """Note from now on who reads that tensor."""
        # Held, so that no other tensor comes to have its identity.
        self._watches[id(tensor)] = _Watch(tensor)

    def note(self, leaf: object) -> None:
        """Note that a value, if it is a tensor that is watched, is read at this point."""
        if isinstance(leaf, Tensor) and id(leaf) in self._watches:
            reader = self._open[-1].module if self._open else None
            self._watches[id(leaf)].readers.append(reader)

    def enter(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        """A layer or norm is called; what it reads was returned by another, perhaps."""
        self._open.append(_Call(module, inputs[0] if inputs else torch.empty(0)))

    def leave(self, module: nn.Module, inputs: tuple[Any, ...], result: Any) -> None:
        """It has returned."""
        del inputs
        call = self._open.pop()
        call.result = result
        self._calls.setdefault(module, []).append(call)
        self.watch(result)

    def only_norm_of(self, layer: nn.Module) -> nn.Module | None:
        """Return the norm that alone reads what the layer returns, and reads nothing else."""
        calls = self._calls.get(layer, [])
        readers = {
            reader for call in calls for reader in self._watches[id(call.result)].readers or [None]
        }
        norm = readers.pop() if len(readers) == 1 else None
        if norm is None or isinstance(norm, _LAYERS):
            return None
        results = {id(call.result) for call in calls}
        read = {id(call.source) for call in self._calls[norm]}
        flat = isinstance(layer, nn.Linear) and any(call.source.dim() != 2 for call in calls)
        alone = self._alone(layer) and self._alone(norm)
        return norm if read == results and alone and not flat else None

    def _alone(self, module: nn.Module) -> bool:
        """Tell whether nobody but the module reads its parameters and buffers."""
        readers = (self._watches[id(tensor)].readers for tensor in _own(module))
        return all(set(of_one) <= {module} for of_one in readers)


def _own(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(recurse=False), *module.buffers(recurse=False)]


@contextmanager
def _listening(reads: _Reads, modules: Iterable[nn.Module]) -> Iterator[None]:
    """Within it `reads` hears of every call of these modules."""
    hooks: list[RemovableHandle] = []
    for module in modules:
        hooks += [
            module.register_forward_pre_hook(reads.enter),
            module.register_forward_hook(reads.leave),
        ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _fuse(layer: Any, norm: Any) -> None:
    """Make the layer do what it and its norm do."""
    sources = [*layer.parameters(), *norm.parameters()]
    trainable = any(parameter.requires_grad for parameter in sources)
    with torch.no_grad():
        layer.weight, layer.bias = fuse_conv_bn_weights(
            layer.weight,
            layer.bias,
            norm.running_mean,
            norm.running_var,
            norm.eps,
            norm.weight,
            norm.bias,
            transpose=isinstance(layer, _ConvTransposeNd),
        )
    layer.weight.requires_grad_(trainable)
    layer.bias.requires_grad_(trainable)


def _without_norm(norm: nn.Module) -> nn.Module:
    """Return what of a norm is left once it is folded: its activation, where it has one."""
    if isinstance(norm, BatchNormAct2d):
        return nn.Sequential(norm.drop, norm.act)
    return nn.Identity()
