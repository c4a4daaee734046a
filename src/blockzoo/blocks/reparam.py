"""Blocks that train with several branches and run with one: structural re-parameterisation."""

from __future__ import annotations

from timm.models.byobnet import MobileOneBlock
from timm.models.fastvit import PatchEmbed, RepMixerBlock
from timm.models.ghostnet import GhostBottleneckV3
from torch import nn

from blockzoo.blocks.layers import after_downsampling, conv_bn
from blockzoo.blocks.registry import register_block
from blockzoo.position import Position

# (expansion, depthwise kernel, squeeze-excite ratio), after GhostNet's stages of like resolution.
_GHOST_STAGE = {
    Position.EARLY: (3, 3, 0.0),
    Position.MID: (3, 5, 0.25),
    Position.LATE: (6, 5, 0.25),
}


@register_block(
    "MobileOneBlock",
    family="reparam",
    year=2022,
    paper="2206.04040",
    source="timm.models.byobnet.MobileOneBlock, twice",
    licence="Apache-2.0",
    formula="y = relu(P(relu(D(x)))), D = 4 dw3x3_s + dw1x1_s + id, P = 4 conv1x1 + id, BN in each",
    reparameterisable=True,
    notes="MobileOne-S0: four branches of each convolution in training, one in deploy form.",
)
def mobileone_block(
    in_channels: int, out_channels: int, stride: int, position: Position
) -> nn.Module:
    """Return MobileOne's depthwise and pointwise pair (Vasu et al., arXiv 2206.04040)."""
    depthwise = MobileOneBlock(
        in_channels, in_channels, 3, stride, group_size=1, num_conv_branches=4
    )
    pointwise = MobileOneBlock(in_channels, out_channels, 1, num_conv_branches=4)
    return nn.Sequential(depthwise, pointwise)


@register_block(
    "GhostBottleneckV3",
    family="reparam",
    year=2024,
    paper="2404.11202",
    source="timm.models.ghostnet.GhostBottleneckV3",
    licence="Apache-2.0",
    formula="y = G(se(dw_s(G(x) * sigmoid(up(dfc(pool(x))))))) + shortcut(x), G = [p, dw(p)]",
    reparameterisable=True,
    notes=(
        "Expansion 3/3/6, depthwise kernel 3/5/5, squeeze-excite 0.25 mid and late. "
        "Its gate pools by 2, so the input must be 2x2 or larger."
    ),
)
def ghost_bottleneck_v3(
    in_channels: int, out_channels: int, stride: int, position: Position
) -> nn.Module:
    """Return GhostNetV3's bottleneck (Liu et al., arXiv 2404.11202).

    Raises `ValueError` for an odd number of output channels: a ghost module makes them in halves.
    """
    if out_channels % 2:
        raise ValueError("the output channels must be even")
    expansion, kernel_size, se_ratio = _GHOST_STAGE[position]
    block: nn.Module = GhostBottleneckV3(
        in_channels,
        in_channels * expansion,
        out_channels,
        kernel_size,
        stride,
        se_ratio=se_ratio,
        mode="shortcut",
    )
    return block


@register_block(
    "RepMixer",
    family="reparam",
    year=2023,
    paper="2303.14189",
    source="timm.models.fastvit.RepMixerBlock",
    licence="Apache-2.0",
    formula="z = x + g1(rep(x) - bn(x)), y = z + g2(conv1x1(gelu(conv1x1_3c(bn(dw7x7(z))))))",
    reparameterisable=True,
    notes=(
        "FastViT-T12: MLP ratio 3, layer scales g1 = g2 = 1e-5 at the start. Before a block that "
        "strides: FastViT's 7x7 patch embedding, which needs out a multiple of in; before one that "
        "only changes channels: a 1x1 convolution and BN."
    ),
)
def repmixer(in_channels: int, out_channels: int, stride: int, position: Position) -> nn.Module:
    """Return FastViT's RepMixer block (Vasu et al., arXiv 2303.14189)."""
    block = RepMixerBlock(out_channels, kernel_size=3, mlp_ratio=3)
    return after_downsampling(_patch_embedding(in_channels, out_channels, stride), block)


def _patch_embedding(in_channels: int, out_channels: int, stride: int) -> nn.Module | None:
    if stride == 1:
        return None if in_channels == out_channels else conv_bn(in_channels, out_channels)
    if out_channels % in_channels:
        raise ValueError("the output channels must be a multiple of the input channels")
    embedding: nn.Module = PatchEmbed(7, stride, in_channels, out_channels)
    return embedding
