"""ConvNeXt and the convolutional blocks that follow its order: filter, normalise, widen, narrow."""

from __future__ import annotations

from functools import partial

from timm.models import edgenext, iformer
from timm.models.convnext import ConvNeXtBlock
from timm.models.swiftformer import ConvEncoder, Embedding
from torch import Tensor, nn

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.layers import after_shape_change, convnext_downsampling, patch_conv
from blockzoo.blocks.zoo.widths import inner_width, leaving_one, set_inner_width
from blockzoo.core.position import Position

# ConvMixer-1536/20's; the smaller 768/32 has 7.
_CONVMIXER_KERNEL = 9
# EdgeNeXt has 3, 5, 7, 9 in its four stages; the positions here follow the first three.
_EDGENEXT_KERNEL = {Position.EARLY: 3, Position.MID: 5, Position.LATE: 7}


@register_block(
    "ConvNeXtBlock",
    family="modern",
    year=2022,
    paper="2201.03545",
    source="timm.models.convnext.ConvNeXtBlock",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = x + g * fc(gelu(fc_4c(ln(dw7x7(x)))))",
    aliases=("ConvNeXt",),
    notes=(
        "Layer scale g = 1e-6 at the start. Before a block that strides: layer normalisation and "
        "a 2x2 convolution with stride 2; before one that only changes channels: a 1x1 "
        "convolution and BN."
    ),
    knob="mlp_ratio",
)
def convnext_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, mlp_ratio: float = 4
) -> nn.Module:
    """Return ConvNeXt's block (Liu et al., arXiv 2201.03545); the position changes nothing."""
    block = ConvNeXtBlock(
        out_channels, mlp_ratio=leaving_one(mlp_ratio, out_channels), ls_init_value=1e-6
    )
    return after_shape_change(block, in_channels, out_channels, stride, convnext_downsampling)


@register_block(
    "ConvNeXtV2Block",
    family="modern",
    year=2023,
    paper="2301.00808",
    source="timm.models.convnext.ConvNeXtBlock",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = x + fc(grn(gelu(fc_4c(ln(dw7x7(x)))))), grn(u) = u + g * u |u_c| / mean |u_c| + b",
    aliases=("ConvNeXtV2",),
    notes=(
        "Global response normalisation, g = b = 0 at the start, in place of the layer scale. "
        "Before a block that strides: layer normalisation and a 2x2 convolution with stride 2; "
        "before one that only changes channels: a 1x1 convolution and BN."
    ),
    knob="mlp_ratio",
)
def convnext_v2_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, mlp_ratio: float = 4
) -> nn.Module:
    """Return ConvNeXt V2's block (Woo et al., arXiv 2301.00808); the position changes nothing."""
    # Without a layer scale: the response normalisation took its place in the second version.
    block = ConvNeXtBlock(
        out_channels,
        mlp_ratio=leaving_one(mlp_ratio, out_channels),
        use_grn=True,
        ls_init_value=None,
    )
    return after_shape_change(block, in_channels, out_channels, stride, convnext_downsampling)


class ConvMixerLayer(nn.Module):
    """y = bn(gelu(conv1x1(z))), z = x + bn(gelu(dwKxK(x))); both convolutions have a bias.

    Maps (N, channels, H, W) to the same shape. `kernel_size` is odd.
    """

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.spatial = nn.Sequential(
            # With a bias, unlike `conv_bn`: GELU before the BN keeps the BN from taking it out.
            nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels),
            nn.GELU(),
            nn.BatchNorm2d(channels),
        )
        self.channel = nn.Sequential(
            nn.Conv2d(channels, channels, 1), nn.GELU(), nn.BatchNorm2d(channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        # Only the spatial part has a shortcut in the paper.
        y: Tensor = self.channel(x + self.spatial(x))
        return y


@register_block(
    "ConvMixerLayer",
    family="modern",
    year=2022,
    paper="2201.09792",
    source="written from the paper",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = bn(gelu(conv1x1(x + bn(gelu(dw9x9(x))))))",
    aliases=("ConvMixer",),
    notes=(
        "Before a layer that strides: the patch embedding of the paper (whose network strides "
        "nowhere else), a 2x2 convolution with stride 2, GELU, BN; before one that only changes "
        "channels: a 1x1 convolution and BN."
    ),
)
def convmixer_layer(
    in_channels: int, out_channels: int, stride: int, position: Position
) -> nn.Module:
    """Return ConvMixer's layer (Trockman and Kolter, arXiv 2201.09792)."""
    layer = ConvMixerLayer(out_channels, _CONVMIXER_KERNEL)
    return after_shape_change(layer, in_channels, out_channels, stride, _patch_embedding)


def _patch_embedding(in_channels: int, out_channels: int) -> nn.Module:
    conv = patch_conv(in_channels, out_channels)
    # GELU before BN, in the order of the layer itself.
    return nn.Sequential(*conv, nn.GELU(), nn.BatchNorm2d(out_channels))


@register_block(
    "EdgeNeXtConvEncoder",
    family="modern",
    year=2022,
    paper="2206.10589",
    source="timm.models.edgenext.ConvBlock",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = x + g * fc(gelu(fc_4c(ln(dwK(x))))), K = 3/5/7",
    notes=(
        "Layer scale g = 1e-6 at the start. Before a block that strides: layer normalisation and "
        "a 2x2 convolution with stride 2; before one that only changes channels: a 1x1 "
        "convolution and BN."
    ),
    knob="mlp_ratio",
)
def edgenext_conv_encoder(
    in_channels: int, out_channels: int, stride: int, position: Position, *, mlp_ratio: float = 4
) -> nn.Module:
    """Return EdgeNeXt's convolution encoder (Maaz et al., arXiv 2206.10589)."""
    block = edgenext.ConvBlock(
        out_channels,
        kernel_size=_EDGENEXT_KERNEL[position],
        expand_ratio=leaving_one(mlp_ratio, out_channels),
    )
    return after_shape_change(block, in_channels, out_channels, stride, convnext_downsampling)


@register_block(
    "SwiftFormerConvEncoder",
    family="modern",
    year=2023,
    paper="2303.15446",
    source="timm.models.swiftformer.ConvEncoder",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = x + g * conv1x1(gelu(conv1x1_4c(bn(dw3x3(x)))))",
    notes=(
        "Layer scale g = 1 at the start. Before a block that strides: a strided 3x3 convolution "
        "and BN; before one that only changes channels: a 1x1 convolution and BN."
    ),
    knob="mlp_ratio",
)
def swiftformer_conv_encoder(
    in_channels: int, out_channels: int, stride: int, position: Position, *, mlp_ratio: float = 4
) -> nn.Module:
    """Return SwiftFormer's convolution encoder (Shaker et al., arXiv 2303.15446)."""
    block = ConvEncoder(
        out_channels, hidden_dim=inner_width(out_channels, mlp_ratio), kernel_size=3
    )
    return after_shape_change(block, in_channels, out_channels, stride, swiftformer_downsampling)


def swiftformer_downsampling(in_channels: int, out_channels: int) -> nn.Module:
    """Return SwiftFormer's strided 3x3 convolution (with bias) and BN."""
    embedding: nn.Module = Embedding(in_channels, out_channels, 3, 2, 1)
    return embedding


@register_block(
    "IFormerConvBlock",
    family="modern",
    year=2025,
    paper="2501.15369",
    source="timm.models.iformer.ConvBlock",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = x + P(gelu(P_4c(bn(dw7x7(x))))), P = bn conv1x1",
    reparameterisable=True,
    aliases=("iFormer",),
    notes=(
        "BN is merged into the convolutions in deploy form. No layer scale, which of the iFormers "
        "H alone has; at 64, 128, 256 channels they are L2. Before a block that strides: a "
        "strided 3x3 convolution and BN; before one that only changes channels: a 1x1 "
        "convolution and BN."
    ),
    knob="mlp_ratio",
)
def iformer_conv_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, mlp_ratio: float = 4
) -> nn.Module:
    """Return iFormer's convolution block (Zheng, arXiv 2501.15369)."""
    block = iformer.ConvBlock(out_channels, kernel_size=7, ratio=4, layer_scale_init_value=0)
    set_inner_width(
        block,
        inner_width(out_channels, mlp_ratio),
        enter=["mixer.module.1.c"],
        inside=["mixer.module.1.bn"],
        leave=["mixer.module.3.c"],
    )
    downsampling = partial(iformer.ConvNorm, kernel_size=3, stride=2, padding=1)
    return after_shape_change(block, in_channels, out_channels, stride, downsampling)
