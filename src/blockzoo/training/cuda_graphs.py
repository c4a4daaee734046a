"""CUDA graphs of the training step without a compiler: the kernels of eager torch, replayed.

Launching its kernels one by one takes the CPU longer than a fast GPU takes to run them. Forward and
backward of a whole batch are recorded once per network, in about a second, and then launched as
one. The kernels are the same and so are the numbers; only whole batches are replayed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from blockzoo.core.seeding import seeded
from blockzoo.measure.machine.devices import is_out_of_memory
from blockzoo.measure.timing.backends.base import in_short
from blockzoo.training.compilation import BatchKind

Forward = Callable[..., Tensor]
Capture = Callable[[nn.Module, tuple[Tensor, ...]], Forward]


class GraphedForward:
    """Maps images to logits by replaying the graphs of `net` where the batch is of the kind.

    `given_up` says in one line why the network runs as it is after all, "" while it does not: one
    that makes the CPU wait for the GPU, or decides by values, cannot be recorded.
    """

    is_compiled = False

    def __init__(
        self,
        net: nn.Module,
        kind: BatchKind,
        autocast: Callable[[], AbstractContextManager[None]],
        capture: Capture | None = None,
    ) -> None:
        self._net, self._size, self.given_up = net, kind.shape[0], ""
        self._replay: Forward = net
        kept = {name: value.clone() for name, value in net.state_dict().items()}
        try:
            with seeded(0), autocast():
                # Casts that are kept from one step to the next would be recorded as constants.
                torch.set_autocast_cache_enabled(False)
                net.train()
                self._replay = (capture or _recorded)(_Called(net), kind.example())
        except Exception as error:  # whatever it is, the network itself decides
            if is_out_of_memory(error):
                raise
            self.given_up = in_short(error)
        # Batches that warm up leave nothing in batch statistics.
        net.load_state_dict(kept)

    def __call__(self, images: Tensor, *paths: Tensor) -> Tensor:
        """Return what the network returns; raises what it raises."""
        whole = not self.given_up and len(images) == self._size
        logits: Tensor = (self._replay if whole else self._net)(images, *paths)
        return logits


class _Called(nn.Module):
    """Calls the network: recording changes the forward of a module, which is not to be its."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, *inputs: Tensor) -> Tensor:
        logits: Tensor = self.net(*inputs)
        return logits


def _recorded(module: nn.Module, example: tuple[Tensor, ...]) -> Forward:
    graphed: Any = torch.cuda.make_graphed_callables(module, example, allow_unused_input=True)
    forward: Forward = graphed
    return forward
