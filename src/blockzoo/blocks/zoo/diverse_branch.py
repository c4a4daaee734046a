"""ResNet's basic block of diverse branch blocks (Ding et al., arXiv 2103.13425)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.layers import ResidualReLU, conv_bn, projection
from blockzoo.blocks.zoo.merging import at_centre, pointwise_then
from blockzoo.blocks.zoo.widths import inner_width
from blockzoo.core.position import Position

_KERNEL_SIZE = 3


class BorderedBatchNorm(nn.BatchNorm2d):
    """y = bn(x) with a border, one pixel wide, of what BN with its running statistics makes of 0.

    A 3x3 convolution without padding after it then sees at the border what it would see had the
    input of the 1x1 convolution before it been padded by zeros; only so can the three be merged.
    Maps (N, channels, H, W) to (N, channels, H + 2, W + 2).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to (N, channels, H + 2, W + 2)."""
        normalised = super().forward(x)
        assert self.running_mean is not None
        assert self.running_var is not None
        # As the authors do, learn nothing from the border.
        scale = self.weight.detach() * (self.running_var + self.eps).rsqrt()
        of_zero = (self.bias.detach() - self.running_mean * scale).view(-1, 1, 1)
        # One frame for every image and channel: it is spread over both when multiplied.
        border = F.pad(torch.zeros_like(normalised[:1, :1]), (1, 1, 1, 1), value=1.0)
        return F.pad(normalised, (1, 1, 1, 1)) + border * of_zero


class IdentityConv1x1(nn.Module):
    """y = (I + W) x, a 1x1 convolution of all channels; W starts at zero.

    Maps (N, channels, H, W) to the same shape.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        # Not a layer, so that the initialisation of convolutions leaves it at zero.
        self.deviation = nn.Parameter(torch.zeros(channels, channels, 1, 1))

    def weight(self) -> Tensor:
        """Return I + W, (channels, channels, 1, 1)."""
        identity = torch.eye(len(self.deviation), device=self.deviation.device)
        return self.deviation + identity[:, :, None, None]

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        return F.conv2d(x, self.weight())

    def as_conv(self) -> nn.Conv2d:
        """Return the convolution that does the same."""
        channels = len(self.deviation)
        conv = nn.Conv2d(channels, channels, 1, bias=False, device=self.deviation.device)
        conv.weight.data = self.weight().detach()
        return conv


class DiverseBranchBlock(nn.Module):
    """y = bn(C3(x)) + bn(C1(x)) + bn(avgpool3x3(bn(C1(x)))) + bn(C3(bn(I1(x)))), C_k convolutions.

    I1 is a 1x1 convolution that starts as the identity; inside, BN pads by what it makes of zero.
    In deploy form one 3x3 convolution with a bias. Maps (N, in_channels, H, W) to
    (N, out_channels, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.dense = conv_bn(in_channels, out_channels, _KERNEL_SIZE, stride=stride)
        self.pointwise = conv_bn(in_channels, out_channels, stride=stride)
        self.before_average = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 1, bias=False), BorderedBatchNorm(out_channels)
        )
        self.average = nn.Sequential(
            # No padding here: the border comes from the normalisation before it.
            nn.AvgPool2d(_KERNEL_SIZE, stride),
            nn.BatchNorm2d(out_channels),
        )
        self.before_dense = nn.Sequential(
            IdentityConv1x1(in_channels), BorderedBatchNorm(in_channels)
        )
        self.second_dense = nn.Sequential(
            # Without padding, as the average above.
            nn.Conv2d(in_channels, out_channels, _KERNEL_SIZE, stride, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.merged: nn.Conv2d | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H / stride, W / stride), rounded up."""
        if self.merged is not None:
            merged: Tensor = self.merged(x)
            return merged
        in_one: Tensor = self.dense(x) + self.pointwise(x)
        in_two: Tensor = self.average(self.before_average(x))
        in_two = in_two + self.second_dense(self.before_dense(x))
        return in_one + in_two

    def reparameterize(self) -> None:
        """Merge the four branches into the dense one; needs eval mode."""
        # A network may be deployed twice; its branches are gone by then.
        if self.merged is not None:
            return
        merged = fuse_conv_bn_eval(*self.dense)
        assert merged.bias is not None
        for weight, bias in (self._pointwise(), self._average(), self._second_dense()):
            merged.weight.data += weight
            merged.bias.data += bias
        self.merged = merged
        del self.dense, self.pointwise
        del self.before_average, self.average, self.before_dense, self.second_dense

    def _pointwise(self) -> tuple[Tensor, Tensor]:
        conv = fuse_conv_bn_eval(*self.pointwise)
        assert conv.bias is not None
        return at_centre(conv, _KERNEL_SIZE), conv.bias.detach()

    def _average(self) -> tuple[Tensor, Tensor]:
        before = fuse_conv_bn_eval(*self.before_average)
        channels, device = before.out_channels, before.weight.device
        average = nn.Conv2d(channels, channels, _KERNEL_SIZE, bias=False, device=device)
        # Averaging each channel alone is a dense convolution whose kernel is 1/9 on the diagonal.
        identity = torch.eye(channels, device=device)[:, :, None, None]
        average.weight.data = identity.expand_as(average.weight) / _KERNEL_SIZE**2
        _, norm = self.average
        assert isinstance(norm, nn.BatchNorm2d)
        # Torch fuses only what is in eval mode, which a new layer is not.
        return pointwise_then(before, fuse_conv_bn_eval(average.eval(), norm))

    def _second_dense(self) -> tuple[Tensor, Tensor]:
        identity, norm = self.before_dense
        assert isinstance(identity, IdentityConv1x1)
        assert isinstance(norm, nn.BatchNorm2d)
        before = fuse_conv_bn_eval(identity.as_conv().eval(), norm)
        return pointwise_then(before, fuse_conv_bn_eval(*self.second_dense))


class DBBBasicBlock(ResidualReLU):
    """y = relu(DBB(relu(DBB_s(x))) + shortcut(x)): ResNet's basic block, its convolutions diverse.

    Maps (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, *, width_ratio: float = 1
    ) -> None:
        width = inner_width(out_channels, width_ratio)
        branch = nn.Sequential(
            DiverseBranchBlock(in_channels, width, stride),
            nn.ReLU(),
            DiverseBranchBlock(width, out_channels, 1),
        )
        super().__init__(branch, projection(in_channels, out_channels, stride))


@register_block(
    "DBBBasicBlock",
    family="reparam",
    year=2021,
    paper="2103.13425",
    source="written from the paper",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = relu(D(relu(D_s(x))) + shortcut(x)), D = C3 + C1 + avgpool C1 + C3 C1, BN in each",
    reparameterisable=True,
    aliases=("DBB", "DiverseBranchBlock"),
    notes=(
        "ResNet's basic block with a diverse branch block for each 3x3 convolution; the 1x1 "
        "before the second 3x3 starts as the identity. Shortcut: a strided 1x1 convolution and "
        "BN where the shape changes."
    ),
    knob="width_ratio",
)
def dbb_basic_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, width_ratio: float = 1
) -> nn.Module:
    """Return ResNet's basic block of diverse branch blocks; the position changes nothing."""
    return DBBBasicBlock(in_channels, out_channels, stride, width_ratio=width_ratio)
