"""The widths inside blocks, which their knobs set."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from timm.layers.helpers import make_divisible
from torch import nn

_rounded: Callable[[int], int] = make_divisible


def inner_width(channels: int, ratio: float, multiple: int = 1) -> int:
    """Return `ratio` times the channels as a multiple of `multiple`: the nearest one, never 0.

    >>> inner_width(64, 1.26), inner_width(64, 1.26, multiple=16), inner_width(64, 0.001)
    (81, 80, 1)
    """
    return multiple * max(1, round(ratio * channels / multiple))


def leaving_one(ratio: float, channels: int) -> float:
    """Return the ratio, or the least with which a library that rounds down leaves one channel.

    >>> leaving_one(4, 64), int(64 * leaving_one(0.001, 64))
    (4, 1)
    """
    # Half a channel more than one keeps the error of the product away.
    return max(ratio, 1.5 / channels)


def squeezed_channels(in_channels: int, ratio: float, expansion: int) -> int:
    """Return the width of squeeze-excite to `ratio` of the input in timm's inverted residual.

    As it is with the published expansion, from which timm counts, and so with every other one.

    >>> squeezed_channels(64, 0.25, expansion=6)
    16
    """
    return round(_rounded(expansion * in_channels) * (ratio / expansion))


def width_of(block: nn.Module, name: str) -> int:
    """Return how many channels come out of the block's convolution of that name.

    >>> width_of(nn.Sequential(nn.Conv2d(8, 4, 1)), "0")
    4
    """
    conv = block.get_submodule(name)
    assert isinstance(conv, nn.Conv2d)
    return conv.out_channels


def set_inner_width(
    block: nn.Module,
    width: int,
    *,
    enter: Iterable[str],
    inside: Iterable[str] = (),
    leave: Iterable[str],
) -> None:
    """Give a block `width` channels between the layers `enter` and the layers `leave`, by name.

    For blocks of libraries that take no such number. `inside` are what stands between and keeps
    the number of channels: normalisations, depthwise and plain convolutions. Their weights are
    drawn anew as the layers draw them. A block that has this width already is left as it is, so
    that it draws no random numbers.

    >>> pair = nn.Sequential(nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 1))
    >>> set_inner_width(pair, 5, enter=["0"], inside=["1"], leave=["2"])
    >>> [layer.weight.shape[0] for layer in pair], pair[2].in_channels
    ([5, 5, 4], 5)
    """
    first, *others = (block.get_submodule(name) for name in enter)
    assert isinstance(first, nn.Conv2d)
    if first.out_channels == width:
        return
    for layer in (first, *others):
        _resize_conv(layer, outputs=width)
    for layer in map(block.get_submodule, inside):
        if isinstance(layer, nn.BatchNorm2d):
            _resize_norm(layer, width)
        else:
            _resize_conv(layer, inputs=width, outputs=width)
    for layer in map(block.get_submodule, leave):
        _resize_conv(layer, inputs=width)


def _resize_conv(conv: nn.Module, *, inputs: int | None = None, outputs: int | None = None) -> None:
    assert isinstance(conv, nn.Conv2d)
    if conv.groups > 1:
        assert conv.groups == conv.in_channels == conv.out_channels  # depthwise
        assert inputs is not None
        conv.groups = inputs
    conv.in_channels = inputs or conv.in_channels
    conv.out_channels = outputs or conv.out_channels
    shape = (conv.out_channels, conv.in_channels // conv.groups, *conv.kernel_size)
    conv.weight = nn.Parameter(conv.weight.new_empty(shape))
    if conv.bias is not None:
        conv.bias = nn.Parameter(conv.bias.new_empty(conv.out_channels))
    conv.reset_parameters()


def _resize_norm(norm: nn.BatchNorm2d, width: int) -> None:
    norm.num_features = width
    for name in ("weight", "bias"):
        setattr(norm, name, nn.Parameter(norm.get_parameter(name).new_empty(width)))
    for name in ("running_mean", "running_var"):
        setattr(norm, name, norm.get_buffer(name).new_empty(width))
    norm.reset_parameters()
