"""Depthwise convolutions whose gradients a CPU is slow at in bfloat16 are trained in fp32.

With a stride, a dilation or a kernel larger than 3x3 they take several times as long in bfloat16 as
in fp32 on a CPU that has it in hardware (torch 2.14, oneDNN 3.12; `benchmarks/depthwise_bf16.py`).
All others, and grouped convolutions with more channels to a group, are faster in bfloat16.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from blockzoo.training.precision import Arithmetic

_LARGEST_FAST_KERNEL = 3


class _Conv2dInFp32(nn.Conv2d):
    """Computes in fp32 under autocast as well, and returns the type of its input."""

    def forward(self, input: Tensor) -> Tensor:
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.float()).to(input.dtype)


@contextmanager
def fast_depthwise(net: nn.Module, arithmetic: Arithmetic, device: torch.device) -> Iterator[None]:
    """Have such convolutions of `net`, and of copies made of it inside, compute in fp32.

    Weights stay where and what they are. Nothing changes on other devices and in fp32.
    """
    applies = device.type == "cpu" and arithmetic.precision == "bf16"
    slow = [conv for conv in net.modules() if applies and _is_slow(conv)]
    for conv in slow:
        conv.__class__ = _Conv2dInFp32
    try:
        yield
    finally:
        for conv in slow:
            conv.__class__ = nn.Conv2d


def _is_slow(layer: nn.Module) -> bool:
    if type(layer) is not nn.Conv2d or layer.groups < max(layer.in_channels, 2):
        return False
    widened = max(*layer.stride, *layer.dilation) > 1
    return widened or max(layer.kernel_size) > _LARGEST_FAST_KERNEL
