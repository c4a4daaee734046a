"""Which inputs an output sees: the theoretical and the effective receptive field of any module.

Theoretical: the columns (rows) of the input from the first to the last that the middle column (row)
of the output depends on. Dependence is read off a gradient in double precision (in single where a
module's code cannot take double), at random weights and inputs: it is zero where there is no path
and, but for a coincidence, not zero where there is one, however small. This is exact for any
operation with a gradient, dilated, strided, pooled or branched, where adding up kernel sizes would
need a rule for each. Weights that start at exactly zero are drawn anew, lest they hide a path. Each
axis is measured on a long and narrow input, so that also attention fits in memory. An output that
reaches both ends of every input tried depends on the whole image. Deformable kernels are measured
at the offsets that random weights give them.

Effective (Luo et al., "Understanding the effective receptive field in deep convolutional neural
networks", arXiv 1701.04128): how much of that matters at given weights. The gradient of the middle
output with respect to the input is taken over random inputs, and a pixel counts if its gradient is
above 1 - 95.45% of the largest, which is within two deviations of a Gaussian's middle; the width is
the square root of the number of those pixels. The gradients are averaged as a root mean square over
inputs and channels, where Luo et al. average them with their sign.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from blockzoo.core.errors import ModelError
from blockzoo.core.networks import cast_network, copied
from blockzoo.core.seeding import seeded
from blockzoo.measure.costs.meta import in_mode

NARROW = 8
LENGTHS = (96, 384)
EFFECTIVE_SHARE = 1 - 0.9545
_WIDTH_AXIS, _HEIGHT_AXIS = 3, 2


@dataclass(frozen=True, kw_only=True)
class ReceptiveField:
    """Rows and columns of the input that one output depends on; None is the whole image."""

    height: int | None
    width: int | None

    def __str__(self) -> str:
        if self.height is None and self.width is None:
            return "whole image"
        return f"{self.height or 'all'}×{self.width or 'all'}"


@dataclass(frozen=True, kw_only=True)
class EffectiveField:
    """Side in pixels of the square as large as what matters, and its share of the input's area."""

    width: float
    share_of_input: float


def receptive_field(
    module: nn.Module, channels: int, *, lengths: Iterable[int] = LENGTHS, seed: int = 0
) -> ReceptiveField:
    """Return the theoretical receptive field of `module`, (N, channels, H, W) to (N, C, H', W').

    `lengths` are the input sizes tried; a field larger than the last counts as the whole image.
    Raises `ModelError` if the output does not depend on the input at all.

    >>> two = nn.Sequential(nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3))
    >>> print(receptive_field(two, channels=4))  # 3 + (3 - 1)
    5×5
    """
    sizes = tuple(lengths)
    try:
        # A dependence through many layers may be smaller than fp32 tells from 0.
        return _field(module, channels, sizes, seed, torch.float64)
    except ModelError:
        raise
    except Exception:  # noqa: BLE001 - code that asks for fp32 itself; that run decides
        return _field(module, channels, sizes, seed, torch.float32)


def _field(
    module: nn.Module, channels: int, sizes: tuple[int, ...], seed: int, dtype: torch.dtype
) -> ReceptiveField:
    with seeded(seed, gpus=False), torch.inference_mode(False):
        probe = _without_zeros(cast_network(copied(module).cpu(), dtype))
        with in_mode(probe, training=False):
            return ReceptiveField(
                height=_extent(probe, channels, _HEIGHT_AXIS, sizes, dtype),
                width=_extent(probe, channels, _WIDTH_AXIS, sizes, dtype),
            )


def effective_receptive_field(
    module: nn.Module, channels: int, *, size: int = 64, inputs: int = 8, seed: int = 0
) -> EffectiveField:
    """Return the effective receptive field at the module's own weights, in eval mode.

    Measured on `inputs` random inputs (channels, size, size); a field as large as the input would
    be larger on a larger one.

    >>> field = effective_receptive_field(nn.Conv2d(4, 4, 1), channels=4, size=16, inputs=1)
    >>> field.width
    1.0
    """
    with seeded(seed, gpus=False), torch.inference_mode(False):
        probe = cast_network(copied(module).cpu(), torch.float32)
        with in_mode(probe, training=False):
            gradient = _middle_gradient(probe, torch.randn(inputs, channels, size, size))
    strength = gradient.square().mean((0, 1)).sqrt()
    area = int((strength > EFFECTIVE_SHARE * strength.max()).sum())
    return EffectiveField(width=math.sqrt(area), share_of_input=area / size**2)


def _extent(
    module: nn.Module, channels: int, axis: int, lengths: tuple[int, ...], dtype: torch.dtype
) -> int | None:
    for length in lengths:
        shape = [1, channels, NARROW, NARROW]
        shape[axis] = length
        gradient = _middle_gradient(module, torch.randn(shape, dtype=dtype), axis)
        along = gradient.abs().sum([d for d in range(4) if d != axis])
        seen = along.nonzero().flatten().tolist()
        if not seen:
            raise ModelError("the output does not depend on the input: no receptive field")
        # At an end of the input the field may go on beyond it: try a longer one.
        if seen[0] > 0 and seen[-1] < length - 1:
            return int(seen[-1] - seen[0] + 1)
    return None


def _middle_gradient(module: nn.Module, features: Tensor, axis: int | None = None) -> Tensor:
    """Return the gradient of the sum over the output's middle.

    The middle is one place or, with an `axis`, all that lies across it. The sum is over channels
    with random signs, so that a following normalisation over them does not cancel it.
    """
    features.requires_grad_()
    output = module(features)
    middle = output
    for dimension in (_HEIGHT_AXIS, _WIDTH_AXIS):
        if axis in (None, dimension):
            middle = middle.narrow(dimension, output.shape[dimension] // 2, 1)
    weights = torch.randn(output.shape[1], 1, 1, dtype=output.dtype)
    (gradient,) = torch.autograd.grad((middle * weights).sum(), features)
    return gradient


def _without_zeros(module: nn.Module) -> nn.Module:
    """Draw parameters anew that are zero everywhere; a bias of zero hides nothing, but may stay."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.is_floating_point() and not parameter.any():
                parameter.uniform_(-0.1, 0.1)
    return module
