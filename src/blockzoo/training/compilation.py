"""`torch.compile` for training: once per process for a network and a batch, whatever the seed.

What is compiled is a function of the network and its images. Weights are inputs of the compiled
code, so that another network of the same structure runs the code that is there. Each structure
has a function with a code object of its own, because torch keeps what it compiled, and how often
it may do so, by the code object. Only whole batches run compiled; a smaller last one runs as it is.
On CUDA the compiled code is also recorded as CUDA graphs, once per network: launching its kernels
one by one takes the CPU longer than a fast GPU takes to run them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from types import FunctionType

import torch
from torch import Tensor, nn

from blockzoo.blocks import fingerprint
from blockzoo.core.networks import copied
from blockzoo.core.quiet import quiet
from blockzoo.core.seeding import seeded
from blockzoo.measure.machine.devices import is_out_of_memory
from blockzoo.measure.timing.backends.base import in_short

Function = Callable[..., Tensor]
MODES = {"cuda": "reduce-overhead"}
"""The mode of `torch.compile` by kind of device: CUDA graphs; "default" on others."""


@dataclass(frozen=True, kw_only=True)
class BatchKind:
    """What code is compiled for, beside the network: images float32 `shape` on `device`.

    `layout` and `precision` are the arithmetic's. `paths`: the shape of drop path's factors, ()
    without drop path.
    """

    shape: tuple[int, int, int, int]
    paths: tuple[int, ...]
    device: torch.device
    layout: torch.memory_format
    precision: str

    def example(self) -> tuple[Tensor, ...]:
        """Return random images, and drop path's factors where there are any."""
        images = torch.randn(self.shape, device=self.device).contiguous(memory_format=self.layout)
        return (images, torch.ones(self.paths, device=self.device)) if self.paths else (images,)


class CompiledForward:
    """Maps images to logits by the compiled form of `net` where the batch is of the kind.

    `given_up` says in one line why the network runs as it is after all, "" while it does not:
    what cannot be compiled, or would be compiled anew at every turn, costs time but no training.
    """

    is_compiled = True

    def __init__(
        self, net: nn.Module, kind: BatchKind, autocast: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._net, self._size, self._graphs = net, kind.shape[0], kind.device.type in MODES
        self._function = _function(fingerprint(net), kind)
        self.given_up = _try(self._function, net, kind, autocast)

    def __call__(self, images: Tensor, *paths: Tensor) -> Tensor:
        """Return what the network returns; raises what it raises."""
        if self.given_up or len(images) != self._size:
            logits: Tensor = self._net(images, *paths)
            return logits
        if self._graphs:  # what the last step's graphs returned may be overwritten from here on
            begin: Callable[[], None] = torch.compiler.cudagraph_mark_step_begin  # untyped in torch
            begin()
        try:
            with torch.compiler.set_stance("fail_on_recompile"):
                return self._function(self._net, images, *paths)
        except Exception as error:  # whatever it is, the network itself decides
            if is_out_of_memory(error):
                raise
            self.given_up = in_short(error)
        return self(images, *paths)


def _call(net: nn.Module, *inputs: Tensor) -> Tensor:
    logits: Tensor = net(*inputs)
    return logits


@cache
def _function(network: str, kind: BatchKind) -> Function:
    """Return the function for networks of that fingerprint; it is compiled when first called."""
    code = _call.__code__.replace(co_name=f"call_{network}_{abs(hash(kind))}")
    own: Function = FunctionType(code, globals(), code.co_name)
    mode = MODES.get(kind.device.type, "default")
    # Whole or not at all: pieces that run uncompiled in between would pass unnoticed.
    compiled: Function = torch.compile(own, fullgraph=True, dynamic=False, mode=mode)
    return compiled


_refused: dict[Function, str] = {}
"""Why functions could not be compiled, so that it is not tried again for every seed."""


def _try(
    function: Function,
    net: nn.Module,
    kind: BatchKind,
    autocast: Callable[[], AbstractContextManager[None]],
) -> str:
    """Compile forward and backward by a step of a copy; return "" or why that is not possible."""
    if function in _refused:
        return _refused[function]
    # A copy, so that the try leaves nothing in weights and batch statistics.
    tried = copied(net).train()
    try:
        with seeded(0), quiet():
            with autocast():
                logits = function(tried, *kind.example())
            torch.autograd.backward(logits.float().sum())
    except Exception as error:  # noqa: BLE001 - a compiler may raise anything; all means the same
        # Another time memory may suffice, so that is not held against the function.
        if not is_out_of_memory(error):
            _refused[function] = in_short(error)
        return in_short(error)
    return ""
