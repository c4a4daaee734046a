"""CAS-ViT: attention as a sum of gated queries and keys (Zhang et al., arXiv 2408.03703)."""

from __future__ import annotations

from torch import Tensor, nn

from blockzoo.blocks.registry import register_block
from blockzoo.blocks.zoo.large_kernel_attention import Gate
from blockzoo.blocks.zoo.layers import after_shape_change, depthwise_conv
from blockzoo.blocks.zoo.widths import inner_width
from blockzoo.core.position import Position


def _spatial_and_channel_gates(channels: int) -> nn.Sequential:
    """Return g(x) = u * sigmoid(P(mean(u))), u = x * sigmoid(P_1(relu(bn(dw3x3(x)))))."""
    spatial = nn.Sequential(
        depthwise_conv(channels, 3),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, 1, 1, bias=False),
        nn.Sigmoid(),
    )
    channel = nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, channels, 1, bias=False), nn.Sigmoid()
    )
    return nn.Sequential(Gate(spatial), Gate(channel))


class AdditiveTokenMixer(nn.Module):
    """y = dw3x3(dw3x3(g(q) + g(k)) * v), [q, k, v] = P(x): similarity without a product.

    The gates g are those above, of q and of k each its own. Maps (N, channels, H, W) to the same
    shape.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.query = _spatial_and_channel_gates(channels)
        self.key = _spatial_and_channel_gates(channels)
        self.context = depthwise_conv(channels, 3)
        self.leave = depthwise_conv(channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        query, key, value = self.enter(x).chunk(3, dim=1)
        y: Tensor = self.leave(self.context(self.query(query) + self.key(key)) * value)
        return y


class AdditiveBlock(nn.Module):
    """v = x + local(x), u = v + mixer(bn(v)), y = u + mlp(bn(u)), mlp = P(gelu(P_ec)).

    local = P(gelu(dw3x3(bn(P)))), P a 1x1 convolution. Maps (N, channels, H, W) to the same shape.
    """

    def __init__(self, channels: int, mlp_ratio: float) -> None:
        super().__init__()
        hidden = inner_width(channels, mlp_ratio)
        self.local = nn.Sequential(
            nn.Conv2d(channels, channels, 1),
            nn.BatchNorm2d(channels),
            depthwise_conv(channels, 3),
            nn.GELU(),
            nn.Conv2d(channels, channels, 1),
        )
        self.mixer = nn.Sequential(nn.BatchNorm2d(channels), AdditiveTokenMixer(channels))
        self.mlp = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.Conv2d(channels, hidden, 1),
            nn.GELU(),
            nn.Conv2d(hidden, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        for branch in (self.local, self.mixer, self.mlp):
            x = x + branch(x)
        return x


@register_block(
    "CASViTBlock",
    family="hybrid",
    year=2024,
    paper="2408.03703",
    source="written from the paper",
    licence="Apache-2.0",
    evidence="official code",
    formula="y = u + mlp_4(bn(u)), u = v + dw3(dw3(g(q) + g(k)) w), v = x + P(gelu(dw3(bn(P(x)))))",
    aliases=("CASViT", "AdditiveTokenMixer"),
    notes=(
        "Convolutional additive attention: [q, k, w] = P(bn(v)), g a spatial and a channel gate. "
        "Before a block that strides: a 3x3 convolution and BN; before one that only changes "
        "channels: a 1x1 convolution and BN."
    ),
    knob="mlp_ratio",
)
def casvit_block(
    in_channels: int, out_channels: int, stride: int, position: Position, *, mlp_ratio: float = 4
) -> nn.Module:
    """Return CAS-ViT's block (Zhang et al., arXiv 2408.03703); the position changes nothing."""
    block = AdditiveBlock(out_channels, mlp_ratio)
    return after_shape_change(block, in_channels, out_channels, stride, _embedding)


def _embedding(in_channels: int, out_channels: int) -> nn.Module:
    conv = nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels))
