"""VanillaNet: no shortcut, and activations that training turns into the identity (2305.12972)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.layers import depthwise_conv
from blockzoo.blocks.zoo.merging import pointwise_then
from blockzoo.core.position import Position

# The authors' act_num of 3: what lies up to three pixels away takes part.
_SERIES_KERNEL_SIZE = 7
_NORM_EPS = 1e-6
# The authors straighten the activation over 100 of 300 epochs.
_STRAIGHTENING = 1 / 3


class FadingActivation(nn.Module):
    """y = x where x > 0, else slope * x; the slope rises to 1 over the first third of training.

    As built it is 1, the end of the schedule, so that what stands around it can be merged.
    """

    slope: Tensor

    def __init__(self) -> None:
        super().__init__()
        # A buffer that is saved, so that a loaded training goes on at its slope.
        self.register_buffer("slope", torch.ones(()))

    def on_training_progress(self, fraction: float) -> None:
        """Straighten the activation: told by the trainer how much of the training is done."""
        self.slope.fill_(min(1.0, fraction / _STRAIGHTENING))

    def forward(self, x: Tensor) -> Tensor:
        """Map a tensor to one of the same shape."""
        return torch.where(x > 0, x, self.slope * x)


class VanillaConv(nn.Module):
    """y = P(fading(P(x))), P = bn(conv1x1) with a bias; in deploy form one 1x1 convolution.

    Maps (N, in_channels, H, W) to (N, out_channels, H, W).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.first = _biased_conv_bn(in_channels, in_channels)
        self.activation = FadingActivation()
        self.second = _biased_conv_bn(in_channels, out_channels)
        self.merged: nn.Conv2d | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H, W)."""
        if self.merged is not None:
            merged: Tensor = self.merged(x)
            return merged
        y: Tensor = self.second(self.activation(self.first(x)))
        return y

    def reparameterize(self) -> None:
        """Merge both convolutions; needs eval mode and an activation that is straight."""
        if self.merged is not None or not self._is_straight():
            return
        first, second = fuse_conv_bn_eval(*self.first), fuse_conv_bn_eval(*self.second)
        merged = nn.Conv2d(first.in_channels, second.out_channels, 1)
        weight, bias = pointwise_then(first, second)
        merged.weight.data, merged.bias.data = weight, bias  # type: ignore[union-attr]
        self.merged = merged
        del self.first, self.activation, self.second

    def _is_straight(self) -> bool:
        slope = self.activation.slope
        # Without data it is as built.
        return slope.is_meta or bool(slope == 1)


def _biased_conv_bn(in_channels: int, out_channels: int) -> nn.Sequential:
    norm = nn.BatchNorm2d(out_channels, eps=_NORM_EPS)
    # The authors keep the bias that the BN takes out again.
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), norm)


class SeriesActivation(nn.Module):
    """y = bn(dw7x7(relu(x))): activations of a pixel and of its neighbours, summed with weights.

    In deploy form the BN is in the convolution. Maps (N, channels, H, W) to the same shape.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        conv = depthwise_conv(channels, _SERIES_KERNEL_SIZE, bias=False)
        self.series: nn.Module = nn.Sequential(conv, nn.BatchNorm2d(channels, eps=_NORM_EPS))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        y: Tensor = self.series(F.relu(x))
        return y

    def reparameterize(self) -> None:
        """Merge the BN into the convolution; needs eval mode."""
        if isinstance(self.series, nn.Sequential):
            self.series = fuse_conv_bn_eval(*self.series)


@register_block(
    "VanillaNetBlock",
    family="reparam",
    year=2023,
    paper="2305.12972",
    source="written from the paper",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = bn(dw7x7(relu(maxpool_s(P(a(P(x))))))), a -> x in training, P = bn conv1x1",
    reparameterisable=True,
    aliases=("VanillaNet",),
    notes=(
        "No shortcut. a = x where x > 0, else slope * x, whose slope rises linearly from 0 to 1 "
        "over the first third of training (100 of the authors' 300 epochs); as built it is 1. "
        "Then the two 1x1 convolutions are one in deploy form; a network taken from the first "
        "third keeps them. BN with eps 1e-6. The max pool keeps the last row of odd sizes."
    ),
)
def vanillanet_block(
    in_channels: int, out_channels: int, stride: int, position: Position
) -> nn.Module:
    """Return VanillaNet's block (Chen et al., arXiv 2305.12972); the position changes nothing."""
    layers: list[nn.Module] = [VanillaConv(in_channels, out_channels)]
    if stride == 2:
        layers.append(nn.MaxPool2d(2, ceil_mode=True))
    return nn.Sequential(*layers, SeriesActivation(out_channels))
