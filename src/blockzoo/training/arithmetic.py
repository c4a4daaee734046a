"""Which arithmetic a device profits from: bfloat16 autocast and channels-last, or plain fp32.

On a CPU with bfloat16 instructions training in bfloat16 and channels-last is more than twice as
fast as in fp32; without them it is emulated, and slower.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from blockzoo.core.errors import InputError
from blockzoo.measure.machine.hardware import cpu_flags
from blockzoo.training.recipe import Recipe

# With fewer channels, channels-last, several threads and a batch that they do not divide, the
# backward pass of a convolution writes out of bounds and the process dies (torch 2.15, oneDNN).
_LEAST_CHANNELS = 16
_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})


@dataclass(frozen=True, kw_only=True)
class Arithmetic:
    """`precision` of convolutions and matrix products, and the memory layout of images."""

    precision: Literal["fp32", "bf16"]
    channels_last: bool


def resolve_arithmetic(recipe: Recipe, device: torch.device, net: nn.Module) -> Arithmetic:
    """Return what `recipe` asks for on `device`; "auto" is replaced by what profits there.

    With channels-last and in fp32 the CPU computes narrow convolutions contiguously, see
    `contiguous_where_narrow`. Raises `InputError` where channels-last is asked for and the CPU
    cannot train `net` in it.

    >>> from dataclasses import replace
    >>> from blockzoo.training.recipe import get_recipe
    >>> fp32 = replace(get_recipe("v1"), precision="fp32")
    >>> resolve_arithmetic(fp32, torch.device("cpu"), nn.Conv2d(3, 16, 3))
    Arithmetic(precision='fp32', channels_last=False)
    """
    precision = recipe.precision
    if precision == "auto":
        precision = "bf16" if profits_from_bf16(device) else "fp32"
    on_cpu, narrow = device.type == "cpu", _narrow_convolutions(net)
    # Of a subclass nobody knows how it computes.
    stubborn = [conv for conv in narrow if precision != "fp32" or type(conv) is not nn.Conv2d]
    if recipe.channels_last is True and on_cpu and stubborn:
        raise InputError(
            f"channels_last is True; on the CPU it needs convolutions of {_LEAST_CHANNELS} or more "
            f"channels, the narrowest here has {min(map(_channels, stubborn))}"
        )
    channels_last = recipe.channels_last
    if channels_last == "auto":
        channels_last = precision == "bf16" and not (on_cpu and narrow)
    elif channels_last == "safe":
        channels_last = not stubborn  # on every device, so that all compute alike
    return Arithmetic(precision=precision, channels_last=channels_last)


def _narrow_convolutions(net: nn.Module) -> list[nn.Conv2d]:
    """Return the convolutions that a CPU cannot train channels-last."""
    convolutions = (layer for layer in net.modules() if isinstance(layer, nn.Conv2d))
    return [conv for conv in convolutions if _channels(conv) < _LEAST_CHANNELS]


def _channels(conv: nn.Conv2d) -> int:
    """Return the fewest channels that go into or come out of a convolution, images apart."""
    return min(conv.out_channels, conv.in_channels if conv.in_channels != 3 else conv.out_channels)


def profits_from_bf16(device: torch.device) -> bool:
    """Tell whether `device` has bfloat16 arithmetic in hardware, as far as can be read."""
    if device.type == "cuda":
        # Torch by default says yes to emulation too, which profits nobody.
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(_BF16_FLAGS & cpu_flags())


# Above it bfloat16 gradients take longer than those of fp32 (benchmarks/depthwise_bf16.py).
_LARGEST_FAST_KERNEL = 3


class _ContiguousConv2d(nn.Conv2d):
    """Computes contiguously, whatever the layout of its input and its weights."""

    def forward(self, input: Tensor) -> Tensor:
        # Cloned, for of 1x1 kernels and images both layouts are contiguous, and the strides decide.
        plain = torch.contiguous_format
        images, weight = input.clone(memory_format=plain), self.weight.clone(memory_format=plain)
        output: Tensor = self._conv_forward(images, weight, self.bias)
        return output


@contextmanager
def contiguous_where_narrow(
    net: nn.Module, arithmetic: Arithmetic, device: torch.device
) -> Iterator[None]:
    """Have convolutions that a CPU cannot train channels-last compute contiguously inside.

    Those of `net`, and of copies made of it. Nothing changes on other devices, with other layouts
    and in bfloat16.

    >>> conv = nn.Conv2d(16, 4, 1).to(memory_format=torch.channels_last)
    >>> with contiguous_where_narrow(conv, Arithmetic(precision="fp32", channels_last=True),
    ...                              torch.device("cpu")):
    ...     conv(torch.zeros(1, 16, 8, 8).to(memory_format=torch.channels_last)).is_contiguous()
    True
    """
    applies = device.type == "cpu" and arithmetic == Arithmetic(
        precision="fp32", channels_last=True
    )
    narrow = _narrow_convolutions(net) if applies else []
    with _computing_as(_ContiguousConv2d, narrow):
        yield


@contextmanager
def _computing_as(kind: type[nn.Conv2d], convolutions: Sequence[nn.Conv2d]) -> Iterator[None]:
    for conv in convolutions:
        # The class and not the module, so that optimizers, names and hooks stay as they are.
        conv.__class__ = kind
    try:
        yield
    finally:
        for conv in convolutions:
            conv.__class__ = nn.Conv2d


class _Conv2dInFp32(nn.Conv2d):
    """Computes in fp32 under autocast as well, and returns the type of its input."""

    def forward(self, input: Tensor) -> Tensor:
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.float()).to(input.dtype)


@contextmanager
def fast_depthwise(net: nn.Module, arithmetic: Arithmetic, device: torch.device) -> Iterator[None]:
    """Have depthwise convolutions that a CPU is slow at in bfloat16 compute in fp32.

    Those of `net`, and of copies made of it inside. Weights stay where and what they are. Nothing
    changes on other devices and in fp32.

    >>> conv = nn.Conv2d(16, 16, 5, groups=16)
    >>> with fast_depthwise(conv, Arithmetic(precision="bf16", channels_last=False),
    ...                     torch.device("cpu")), torch.autocast("cpu"):
    ...     conv(torch.zeros(1, 16, 8, 8)).dtype
    torch.float32
    """
    applies = device.type == "cpu" and arithmetic.precision == "bf16"
    slow = [
        conv for conv in net.modules() if applies and type(conv) is nn.Conv2d and _is_slow(conv)
    ]
    with _computing_as(_Conv2dInFp32, slow):
        yield


def _is_slow(layer: nn.Conv2d) -> bool:
    # One channel in one group is an ordinary convolution.
    if layer.groups < max(layer.in_channels, 2):
        return False
    widened = max(*layer.stride, *layer.dilation) > 1
    return widened or max(layer.kernel_size) > _LARGEST_FAST_KERNEL
