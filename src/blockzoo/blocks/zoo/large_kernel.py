"""Blocks with very large depthwise kernels that train beside small ones: RepLKNet, UniRepLKNet."""

from __future__ import annotations

from timm.layers.grn import GlobalResponseNorm
from timm.layers.norm import LayerNorm2d
from timm.layers.squeeze_excite import SqueezeExcite
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.layers import ChannelsLast, ScaledResidual, after_shape_change, conv_bn
from blockzoo.blocks.zoo.merging import at_centre
from blockzoo.blocks.zoo.widths import inner_width
from blockzoo.core.position import Position

# RepLKNet-31 has 31, 29, 27, 13 in its four stages; the last three match the positions here.
_KERNEL_SIZE = {Position.EARLY: 29, Position.MID: 27, Position.LATE: 13}
# (kernel, dilation) of the small convolutions beside the large one.
_REPLKNET_SMALL = ((5, 1),)
# UniRepLKNet's for its 13x13 convolution.
_UNIREPLKNET_KERNEL_SIZE = 13
_UNIREPLKNET_SMALL = ((5, 1), (7, 2), (3, 3), (3, 4), (3, 5))


class LargeKernelConv(nn.Module):
    """y = bn(dwKxK(x)) + sum of bn(dwkxk(x)); in deploy form one KxK convolution with a bias.

    `small` has (kernel size, dilation) of the small convolutions; what they span is odd and not
    above the large kernel. Maps (N, channels, H, W) to the same shape.
    """

    def __init__(self, channels: int, kernel_size: int, small: tuple[tuple[int, int], ...]) -> None:
        super().__init__()
        self.large = conv_bn(channels, channels, kernel_size, groups=channels)
        self.small = nn.ModuleList(
            conv_bn(channels, channels, size, dilation=dilation, groups=channels)
            for size, dilation in small
        )
        self.merged: nn.Conv2d | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        if self.merged is not None:
            merged: Tensor = self.merged(x)
            return merged
        y: Tensor = self.large(x)
        for small in self.small:
            y = y + small(x)
        return y

    def reparameterize(self) -> None:
        """Merge the small kernels into the centre of the large one; needs eval mode."""
        # A network may be deployed twice; its branches are gone by then.
        if self.merged is not None:
            return
        merged = fuse_conv_bn_eval(*self.large)
        assert merged.bias is not None
        for layers in self.small:
            assert isinstance(layers, nn.Sequential)
            small = fuse_conv_bn_eval(*layers)
            assert small.bias is not None
            # Parallel convolutions of one input add up, weight by weight.
            merged.weight.data += at_centre(small, merged.kernel_size[0])
            merged.bias.data += small.bias.data
        self.merged = merged
        # So that parameters and state of the deploy form are those of one convolution.
        del self.large, self.small


class RepLKBlock(nn.Module):
    """y = x + bn(conv1x1(relu(largeK(relu(bn(conv1x1(bn(x)))))))): mixes space."""

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.enter = conv_bn(channels, channels, activation=nn.ReLU())
        self.mix = LargeKernelConv(channels, kernel_size, _REPLKNET_SMALL)
        self.act = nn.ReLU()
        self.leave = conv_bn(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        y: Tensor = x + self.leave(self.act(self.mix(self.enter(self.norm(x)))))
        return y


class ConvFFN(nn.Module):
    """y = x + bn(conv1x1(gelu(bn(conv1x1_4c(bn(x)))))): mixes channels."""

    def __init__(self, channels: int, mlp_ratio: float = 4) -> None:
        super().__init__()
        hidden = inner_width(channels, mlp_ratio)
        self.norm = nn.BatchNorm2d(channels)
        self.widen = conv_bn(channels, hidden, activation=nn.GELU())
        self.narrow = conv_bn(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        y: Tensor = x + self.narrow(self.widen(self.norm(x)))
        return y


@register_block(
    "ReparamLargeKernelConv",
    family="large-kernel",
    year=2022,
    paper="2203.06717",
    source="written from the paper",
    licence="Apache-2.0",
    evidence="official code",
    formula="z = x + P(relu(dwK(u) + dw5(u))), u = relu(P(bn(x))), y = z + P(gelu(P_4c(bn(z))))",
    reparameterisable=True,
    aliases=("RepLKNet", "RepLKBlock"),
    notes=(
        "A RepLK block and its ConvFFN; kernel 29/27/13. Before a block that strides: 1x1 "
        "convolution, BN, ReLU, strided depthwise 3x3, BN, ReLU; before one that only changes "
        "channels: a 1x1 convolution and BN."
    ),
    knob="mlp_ratio",
)
def reparam_large_kernel_conv(
    in_channels: int, out_channels: int, stride: int, position: Position, *, mlp_ratio: float = 4
) -> nn.Module:
    """Return RepLKNet's large-kernel and feed-forward blocks (Ding et al., arXiv 2203.06717)."""
    pair = nn.Sequential(
        RepLKBlock(out_channels, _KERNEL_SIZE[position]),
        ConvFFN(out_channels, mlp_ratio),
    )
    return after_shape_change(pair, in_channels, out_channels, stride, _replknet_transition)


def _replknet_transition(in_channels: int, out_channels: int) -> nn.Module:
    narrow = conv_bn(in_channels, out_channels, activation=nn.ReLU())
    stride = conv_bn(
        out_channels, out_channels, 3, stride=2, groups=out_channels, activation=nn.ReLU()
    )
    return nn.Sequential(narrow, stride)


class LarKBlock(ScaledResidual):
    """y = x + gamma * bn(P(grn(gelu(P_4c(se(bn(spatial(x)))))))), gamma 1e-6 at the start.

    `spatial` is a depthwise convolution that keeps the shape. P is a linear map of the channels,
    the second one without bias. Maps (N, channels, H, W) to the same shape.
    """

    def __init__(self, channels: int, spatial: nn.Module, mlp_ratio: float = 4) -> None:
        hidden = inner_width(channels, mlp_ratio)
        mix = nn.Sequential(
            spatial,
            nn.BatchNorm2d(channels),
            SqueezeExcite(channels, rd_channels=max(channels // 4, 1)),
        )
        feed_forward = nn.Sequential(
            nn.Linear(channels, hidden),
            nn.GELU(),
            GlobalResponseNorm(hidden),
            # The BN that follows would take a bias out again.
            nn.Linear(hidden, channels, bias=False),
        )
        # The linear layers and the response normalisation of timm want the channels last.
        branch = nn.Sequential(mix, ChannelsLast(feed_forward), nn.BatchNorm2d(channels))
        super().__init__(branch, channels, 1e-6)


@register_block(
    "UniRepLKNetLarK",
    family="large-kernel",
    year=2023,
    paper="2311.15599",
    source="written from the paper",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = x + g bn(P(grn(gelu(P_4c(se(bn(dw13(x) + sum dilated dw(x)))))))), BN in each dw",
    reparameterisable=True,
    aliases=("UniRepLKNet", "LarK"),
    notes=(
        "Kernel 13 with dilated kernels 5, 7, 3, 3, 3 beside it; layer scale g = 1e-6 at the "
        "start. The deploy form merges the dilated kernels; the normalisation after them, the "
        "layer scale and the last BN stay, though they could be merged too. Before a block that "
        "strides: a 3x3 convolution and layer normalisation; before one that only changes "
        "channels: a 1x1 convolution and BN."
    ),
    knob="mlp_ratio",
)
def unireplknet_lark(
    in_channels: int, out_channels: int, stride: int, position: Position, *, mlp_ratio: float = 4
) -> nn.Module:
    """Return UniRepLKNet's large-kernel block (Ding et al., arXiv 2311.15599)."""
    spatial = LargeKernelConv(out_channels, _UNIREPLKNET_KERNEL_SIZE, _UNIREPLKNET_SMALL)
    block = LarKBlock(out_channels, spatial, mlp_ratio)
    return after_shape_change(block, in_channels, out_channels, stride, _unireplknet_downsampling)


def _unireplknet_downsampling(in_channels: int, out_channels: int) -> nn.Module:
    conv = nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1)
    return nn.Sequential(conv, LayerNorm2d(out_channels))
