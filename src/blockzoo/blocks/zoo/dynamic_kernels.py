"""Convolutions that mix several kernels anew for every image: CondConv and ODConv."""

from __future__ import annotations

import math
from functools import partial, reduce
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers.cond_conv2d import CondConv2d
from timm.models._efficientnet_blocks import CondConvResidual, SqueezeExcite
from torch import Tensor, nn

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.inverted import set_google_norms
from blockzoo.blocks.zoo.layers import ResidualReLU, conv_bn, projection
from blockzoo.blocks.zoo.widths import inner_width, squeezed_channels
from blockzoo.core.position import Position

_EXPANSION = 6
_EXPERTS = 4
_COND_KERNEL_SIZE = {Position.EARLY: 3, Position.MID: 5, Position.LATE: 5}
_OD_REDUCTION = 16
_OD_LEAST_WIDTH = 16
_OD_HOTTEST, _OD_COOLING = 30.0, 0.1


class ODAttention(nn.Module):
    """The four attentions of ODConv on (N, in_channels, H, W), from its mean over the image.

    All their logits are divided by the temperature, which cools in training from 30 to 1, linearly
    over the first tenth; as built it is 1.
    """

    temperature: Tensor

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, kernels: int) -> None:
        super().__init__()
        squeezed = max(in_channels // _OD_REDUCTION, _OD_LEAST_WIDTH)
        self.squeeze = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), conv_bn(in_channels, squeezed, activation=nn.ReLU())
        )
        self.input_gate = nn.Conv2d(squeezed, in_channels, 1)
        self.output_gate = nn.Conv2d(squeezed, out_channels, 1)
        self.position_gate = nn.Conv2d(squeezed, kernel_size**2, 1)
        self.kernel_gate = nn.Conv2d(squeezed, kernels, 1) if kernels > 1 else None
        # A buffer that is saved, so that a loaded training goes on at its temperature.
        self.register_buffer("temperature", torch.ones(()))

    def on_training_progress(self, fraction: float) -> None:
        """Cool the attentions: told by the trainer how much of the training is done."""
        left = max(0.0, 1.0 - fraction / _OD_COOLING)
        self.temperature.fill_(1.0 + (_OD_HOTTEST - 1.0) * left)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Return gates of inputs, outputs and positions, each (N, C, 1, 1), and kernels' shares."""
        squeezed = self.squeeze(x)
        inputs, outputs, positions = (
            torch.sigmoid(gate(squeezed) / self.temperature)
            for gate in (self.input_gate, self.output_gate, self.position_gate)
        )
        if self.kernel_gate is None:
            return inputs, outputs, positions, None
        shares = torch.softmax(self.kernel_gate(squeezed) / self.temperature, dim=1)
        return inputs, outputs, positions, shares


class ODConv2d(nn.Module):
    """y = o(x) * conv(i(x) * x; s(x) * sum over n of k_n(x) * W_n): attention on every dimension.

    i, o and s are sigmoid gates of the input channels, the output channels and the kernel's
    positions; k is a softmax over the kernels, absent where there is one. All come from the pooled
    input, see `ODAttention`. Maps (N, in_channels, H, W) to
    (N, out_channels, ceil(H / stride), ceil(W / stride)); `kernel_size` is odd and above 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        stride: int = 1,
        kernels: int = 4,
    ) -> None:
        super().__init__()
        self.stride, self.kernels = stride, kernels
        self.attention = ODAttention(in_channels, out_channels, kernel_size, kernels)
        # Four dimensions, the kernels one after the other: channels_last knows no fifth.
        shape = (kernels * out_channels, in_channels, kernel_size, kernel_size)
        self.weight = nn.Parameter(torch.empty(shape))
        # No layer that the policy knows, so drawn here as the policy draws convolutions.
        nn.init.normal_(self.weight, 0.0, _he_deviation(out_channels * kernel_size**2))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        attention: tuple[Tensor, Tensor, Tensor, Tensor | None] = self.attention(x)
        inputs, outputs, positions, shares = attention
        # The images become groups of one image, so that each is convolved with its own kernel.
        y = F.conv2d(
            (x * inputs).reshape(1, -1, *x.shape[2:]),
            self._kernels(positions, shares).flatten(0, 1),
            stride=self.stride,
            padding=self.weight.shape[-1] // 2,
            groups=len(x),
        )
        per_image = y.reshape(len(x), -1, *y.shape[2:])
        # The convolution is linear, so its outputs may be gated instead of every kernel.
        return per_image * outputs

    def _kernels(self, positions: Tensor, shares: Tensor | None) -> Tensor:
        """Map the attentions to kernels (N, out_channels, in_channels, k, k)."""
        size = self.weight.shape[-1]
        positions = positions.reshape(-1, 1, 1, size, size)
        if shares is None:
            return positions * self.weight
        # One kernel at a time: all at once would hold a copy of every kernel for every image.
        weighted = (
            share[:, None, None] * kernel
            for share, kernel in zip(shares.unbind(1), self.weight.chunk(self.kernels), strict=True)
        )
        return positions * reduce(torch.add, weighted)


class ODBasicBlock(ResidualReLU):
    """y = relu(bn(odconv3x3(relu(bn(odconv3x3_s(x))))) + shortcut(x)), shortcut option B.

    Maps (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        *,
        kernels: int = 4,
        width_ratio: float = 1,
    ) -> None:
        width = inner_width(out_channels, width_ratio)
        branch = nn.Sequential(
            ODConv2d(in_channels, width, stride=stride, kernels=kernels),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            ODConv2d(width, out_channels, kernels=kernels),
            nn.BatchNorm2d(out_channels),
        )
        super().__init__(branch, projection(in_channels, out_channels, stride))


@register_block(
    "ODConvBasicBlock",
    family="dynamic",
    year=2022,
    paper="2209.07947",
    source="written from the paper",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = relu(bn(odconv3x3(relu(bn(odconv3x3_s(x))))) + shortcut(x))",
    aliases=("ODConv",),
    notes=(
        "ResNet's basic block with four kernels in each convolution, attention width a 16th of the "
        "input channels and at least 16. In training all four attentions are cooled from "
        "temperature 30 to 1 over the first tenth, as the authors do over ten of a hundred epochs. "
        "Not counted: "
        "mixing the kernels, 4 x 9 x in x out for each image and convolution. It normalises pooled "
        "features by batch, so training needs batches of two or more."
    ),
    knob="width_ratio",
)
def odconv_basic_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, width_ratio: float = 1
) -> nn.Module:
    """Return ResNet's basic block of omni-dimensional convolutions (Li et al., 2209.07947)."""
    return ODBasicBlock(in_channels, out_channels, stride, width_ratio=width_ratio)


@register_block(
    "CondConvMBConv",
    family="dynamic",
    year=2019,
    paper="1904.04971",
    source="timm.models._efficientnet_blocks.CondConvResidual",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = x + bn(C(se(silu(bn(dwk_s(silu(bn(C_6c(x))))))))), W = sum_n sigmoid(r(x))_n W_n",
    aliases=("CondConv",),
    notes=(
        "EfficientNet's block with four experts in all three convolutions: kernel 3/5/5, expansion "
        "6, squeeze-excite of a quarter of the input channels; x where the shape stays. Each "
        "expert is drawn as a convolution of the policy. BN with the authors' eps 1e-3 and "
        "momentum 0.01."
    ),
    knob="expansion",
)
def condconv_mbconv(
    in_channels: int, out_channels: int, stride: int, position: Position, *, expansion: float = 6
) -> nn.Module:
    """Return EfficientNet's block of conditional convolutions (Yang et al., arXiv 1904.04971)."""
    squeezed = squeezed_channels(in_channels, 0.25, _EXPANSION)
    # timm annotates this more narrowly than it uses it.
    squeeze_excite: Any = partial(SqueezeExcite, rd_channels=squeezed)
    block: nn.Module = CondConvResidual(
        in_channels,
        out_channels,
        _COND_KERNEL_SIZE[position],
        stride,
        exp_ratio=expansion,
        act_layer=nn.SiLU,
        se_layer=squeeze_excite,
        num_experts=_EXPERTS,
    )
    set_google_norms(block)
    # timm's class is no `nn.Conv2d`, so the policy would leave it as timm drew it.
    for layer in block.modules():
        if isinstance(layer, CondConv2d):
            fan_out = layer.out_channels * math.prod(layer.kernel_size) // layer.groups
            nn.init.normal_(layer.weight, 0.0, _he_deviation(fan_out))
    return block


def _he_deviation(fan_out: int) -> float:
    return math.sqrt(2.0 / fan_out)
