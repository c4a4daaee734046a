"""Self-calibrated convolution: SCNet (Liu et al., CVPR 2020)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.layers import Concat, ResidualReLU, conv_bn, projection
from blockzoo.blocks.zoo.widths import inner_width
from blockzoo.core.position import Position

_POOLING = 4


class SelfCalibratedConv(nn.Module):
    """y = K4(K3(x) * sigmoid(x + up(K2(pool(x))))), K = bn conv3x3.

    The gate sees four times as far as the filter it calibrates. Maps (N, channels, H, W) to
    (N, channels, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.context = conv_bn(channels, channels, 3)
        self.filter = conv_bn(channels, channels, 3)
        self.leave = conv_bn(channels, channels, 3, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to (N, channels, ceil(H / stride), ceil(W / stride))."""
        height, width = x.shape[-2:]
        # An input smaller than the pooling window is one window.
        window = (min(_POOLING, height), min(_POOLING, width))
        context = self.context(F.avg_pool2d(x, window, _POOLING))
        spread = F.interpolate(context, size=(height, width), mode="bilinear")
        # x itself is in the gate, because the context comes from a coarse map without detail.
        y: Tensor = self.leave(self.filter(x) * torch.sigmoid(x + spread))
        return y


@register_block(
    "SCNetBottleneck",
    family="attention",
    year=2020,
    paper="CVPR 2020",
    source="written from the paper",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = relu(P([relu(bn(conv3x3_s(relu(P(x))))), relu(sc_s(relu(P(x))))]) + shortcut(x))",
    aliases=("SCNet", "SCConv"),
    notes=(
        "One half plain, one half self-calibrated, an eighth of the output channels each; pooling "
        "4, bilinear enlargement as in the paper's text. There is no arXiv version."
    ),
    knob="width_ratio",
)
def scnet_bottleneck(
    in_channels: int,
    out_channels: int,
    stride: int,
    position: Position,
    *,
    width_ratio: float = 0.25,
) -> nn.Module:
    """Return SCNet's bottleneck; `ValueError` when out_channels is no multiple of 8."""
    if out_channels % 8:
        raise ValueError("the output channels must be a multiple of 8")
    half = inner_width(out_channels // 2, width_ratio)
    plain = nn.Sequential(
        conv_bn(in_channels, half, activation=nn.ReLU()),
        conv_bn(half, half, 3, stride=stride, activation=nn.ReLU()),
    )
    calibrated = nn.Sequential(
        conv_bn(in_channels, half, activation=nn.ReLU()),
        SelfCalibratedConv(half, stride),
        nn.ReLU(),
    )
    branch = nn.Sequential(Concat([plain, calibrated]), conv_bn(2 * half, out_channels))
    return ResidualReLU(branch, projection(in_channels, out_channels, stride))
