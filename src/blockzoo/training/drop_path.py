"""Drop path: in training a block is skipped at random, image by image.

For one image, block l computes x + m / (1 - p_l) (B(x) - x), where m is 1 with probability 1 - p_l
and else 0, so that its expectation is B(x). For residual blocks that is stochastic depth as known;
others are skipped or overshoot their change likewise. p_l grows linearly with depth, from 0 at the
first block of the scaffold to the recipe's `drop_path` at the last. Blocks that change the shape
are never skipped. Source: G. Huang et al., Deep Networks with Stochastic Depth, ECCV 2016
(arXiv 1603.09382); image by image as in timm.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from blockzoo.core.errors import InputError
from blockzoo.core.position import POSITIONS
from blockzoo.core.seeding import derived_generator
from blockzoo.scaffold.net import ScaffoldNet


class DropPath:
    """Draws which blocks of `net` each training image skips.

    Draws follow from (seed, epoch) alone and are made on the CPU, so that they are the same
    whatever the blocks and the device. Raises `InputError` for a network that is no `ScaffoldNet`.
    """

    def __init__(self, net: nn.Module, rate: float, *, seed: int, device: torch.device) -> None:
        if not isinstance(net, ScaffoldNet):
            raise InputError(
                f"drop_path is {rate}; only a ScaffoldNet can skip blocks, not {type(net).__name__}"
            )
        self.blocks = sum(len(net.stage(position)) for position in POSITIONS)
        self._rates = drop_rates(self.blocks, rate)
        self._seed, self._device = seed, device
        self._generator = torch.Generator()

    def begin(self, epoch: int) -> None:
        """Begin the draws of that epoch."""
        self._generator = derived_generator(f"{self._seed}/drop path {epoch}")

    def draw(self, images: int) -> Tensor:
        """Return m / (1 - p_l) for each block and each of the next images, (blocks, images)."""
        drawn = torch.rand(images, self.blocks, generator=self._generator)
        paths = (drawn >= self._rates) / (1 - self._rates)
        paths = paths.t().contiguous()
        if self._device.type == "cuda":  # from other memory the copy may wait for the steps before
            paths = paths.pin_memory()
        return paths.to(self._device, non_blocking=True)


def drop_rates(blocks: int, rate: float) -> Tensor:
    """Return the probabilities of being skipped, (blocks,): 0 to `rate` in equal steps.

    >>> drop_rates(5, 0.5).tolist()
    [0.0, 0.125, 0.25, 0.375, 0.5]
    """
    return torch.linspace(0, rate, blocks)
