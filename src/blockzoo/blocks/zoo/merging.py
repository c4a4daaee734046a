"""Arithmetic on kernels: what structural re-parameterisation needs to merge branches into one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def at_centre(conv: nn.Conv2d, kernel_size: int) -> Tensor:
    """Return the weights of `conv` as a dense kernel_size x kernel_size kernel around its centre.

    A dilated kernel gets zeros between its weights. Height and width of what `conv` spans and
    `kernel_size` must be odd, and `kernel_size` not below them. Shape (out, in / groups,
    kernel_size, kernel_size); detached.

    >>> at_centre(nn.Conv2d(8, 8, 3, dilation=2, groups=8), 7).shape
    torch.Size([8, 1, 7, 7])
    """
    weight = _undilated(conv)
    # All sizes are odd, so both kernels have a middle and the zeros are the same on each side.
    vertical, horizontal = ((kernel_size - size) // 2 for size in weight.shape[2:])
    return F.pad(weight, (horizontal, horizontal, vertical, vertical))


def _undilated(conv: nn.Conv2d) -> Tensor:
    weight, (vertical, horizontal) = conv.weight.detach(), conv.dilation
    height, width = weight.shape[2:]
    spread = weight.new_zeros(
        *weight.shape[:2], (height - 1) * vertical + 1, (width - 1) * horizontal + 1
    )
    # A dilated kernel is a dense one with zeros between its weights.
    spread[:, :, ::vertical, ::horizontal] = weight
    return spread


def pointwise_then(pointwise: nn.Conv2d, spatial: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Return weight and bias of one convolution that does `pointwise` and then `spatial`.

    `pointwise` is 1x1, both have one group and a bias. Exact at the borders too if what `spatial`
    sees beyond them is `pointwise` of zeros, that is, its bias.
    """
    assert pointwise.bias is not None
    assert spatial.bias is not None
    first, second = pointwise.weight.detach()[:, :, 0, 0], spatial.weight.detach()
    # Both are linear, so one after the other is the sum over the channels m between them.
    weight = torch.einsum("omhw,mi->oihw", second, first)
    # The first bias is the same at every pixel: the second kernel sums it over its whole window.
    bias = spatial.bias.detach() + second.sum((2, 3)) @ pointwise.bias.detach()
    return weight, bias
