"""Large-kernel blocks written here: dilated merging, gates, strips and wavelets by hand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from blockzoo.blocks import get_block, to_deploy
from blockzoo.blocks.zoo.large_kernel import LargeKernelConv, LarKBlock
from blockzoo.blocks.zoo.large_kernel_attention import (
    Conv2FormerBlock,
    ConvModulation,
    Gate,
    PositionedFeedForward,
    VANBlock,
    VisualAttention,
)
from blockzoo.blocks.zoo.layers import ChannelsLast, ScaledResidual
from blockzoo.blocks.zoo.poly_kernel import GlobalSiLU, PKIBlock, PolyKernelMixer
from blockzoo.blocks.zoo.wavelet import HaarTransform, WTConv2d
from blockzoo.core.position import Position

_UNIREPLKNET_SMALL = ((5, 1), (7, 2), (3, 3), (3, 4), (3, 5))


@pytest.fixture(autouse=True)
def _seed() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def _fill(module: nn.Module, value: float) -> None:
    """Set all weights of the convolutions in `module` to `value`, their biases to zero."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.constant_(layer.weight, value)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _draw(module: nn.Module) -> None:
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)


def _identity_depthwise(layer: nn.Conv2d) -> None:
    nn.init.dirac_(layer.weight, groups=layer.groups)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)


def test_dilated_kernels_merge_with_zeros_between_their_weights() -> None:
    conv = LargeKernelConv(1, 5, ((3, 2),)).eval()
    nn.init.zeros_(conv.get_parameter("large.0.weight"))
    nn.init.constant_(conv.get_parameter("small.0.0.weight"), 3.0)
    conv.reparameterize()
    assert conv.merged is not None
    ones = [0, 2, 4]
    expected = torch.zeros(5, 5)
    expected[[[row] for row in ones], ones] = 3.0
    # BN of variance 1 divides by sqrt(1 + eps).
    torch.testing.assert_close(conv.merged.weight.detach()[0, 0], expected, rtol=1e-4, atol=0)


def test_unireplknet_merges_all_its_dilated_kernels() -> None:
    block = get_block("UniRepLKNetLarK").build(8, 16, 2, Position.EARLY)
    for name, parameter in block.named_parameters():
        if name.endswith("gamma"):
            nn.init.ones_(parameter)
        elif parameter.ndim == 1:
            nn.init.uniform_(parameter, 0.5, 1.5)
    for _ in range(3):
        block(torch.randn(4, 8, 16, 16) * 2 + 1)
    images = torch.randn(2, 8, 15, 17)
    with torch.no_grad():
        expected = block.eval()(images)
        deployed = to_deploy(block)
        actual = deployed(images)
    assert expected.std() > 0.1
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5 * expected.abs().max().item())
    (mix,) = [child for child in deployed.modules() if isinstance(child, LargeKernelConv)]
    assert {name for name, _ in mix.named_parameters()} == {"merged.weight", "merged.bias"}


def test_unireplknets_small_kernels() -> None:
    with torch.device("meta"):
        block = get_block("UniRepLKNetLarK").build(16, 16, 1, Position.LATE)
    (mix,) = [child for child in block.modules() if isinstance(child, LargeKernelConv)]
    convs = [child for child in mix.modules() if isinstance(child, nn.Conv2d)]
    shapes = [(conv.kernel_size[0], conv.dilation[0]) for conv in convs]
    assert shapes == [(13, 1), *_UNIREPLKNET_SMALL]
    # What each spans is inside the 13x13 kernel.
    assert [(size - 1) * dilation + 1 for size, dilation in shapes] == [13, 5, 13, 7, 9, 11]


def test_lark_block_squeezes_to_a_quarter_and_widens_four_times() -> None:
    with torch.device("meta"):
        block = LarKBlock(40, nn.Identity())
    convs = [child for child in block.modules() if isinstance(child, nn.Conv2d)]
    linears = [child for child in block.modules() if isinstance(child, nn.Linear)]
    assert [conv.out_channels for conv in convs] == [10, 40]
    assert [linear.out_features for linear in linears] == [160, 40]
    assert [linear.bias is not None for linear in linears] == [True, False]


def test_gate_multiplies() -> None:
    assert Gate(nn.Tanh())(torch.tensor([0.0, 2.0])).tolist() == pytest.approx(
        [0, 1.9281], abs=1e-4
    )


def test_scaled_residual_adds_a_share_of_its_branch() -> None:
    residual = ScaledResidual(nn.ReLU(), 2, 0.5)
    images = torch.tensor([[2.0, -2.0], [4.0, -4.0]]).view(1, 2, 1, 2)
    assert residual(images).flatten().tolist() == [3, -2, 6, -4]
    nn.init.zeros_(residual.gamma)
    assert torch.equal(residual(images), images)


def test_channels_last_hands_over_and_takes_back() -> None:
    linear = nn.Linear(2, 3, bias=False)
    images = torch.randn(2, 2, 4, 5)
    expected = F.conv2d(images, linear.weight[:, :, None, None])
    torch.testing.assert_close(ChannelsLast(linear)(images), expected)


def test_van_attention_sees_a_square_of_23() -> None:
    # 5 + 6 * 3: a one in the middle reaches 11 pixels in every direction, and no further.
    attention = VisualAttention(1)
    _fill(attention, 1.0)
    seen = torch.zeros(1, 1, 25, 25)
    gate = attention.layers[2]
    assert isinstance(gate, Gate)
    seen[0, 0, 12, 12] = 1
    reached = gate.weights(seen)[0, 0]
    assert reached.any(0).nonzero().flatten().tolist() == list(range(1, 24))


def test_van_attention_by_hand() -> None:
    # One pixel: every depthwise kernel keeps its middle. P(u) = w u, with u = gelu(w x).
    attention = VisualAttention(1)
    _fill(attention, 2.0)
    inner = F.gelu(torch.tensor(2.0 * 3)).item()
    expected = 3 + 2 * inner * (8 * inner)
    assert attention(torch.full((1, 1, 1, 1), 3.0)).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "scale"),
    [("VANBlock", 1e-2), ("Conv2FormerBlock", 1e-6), ("PKIBlock", 1.0), ("UniRepLKNetLarK", 1e-6)],
)
def test_layer_scales_start_as_in_the_papers(name: str, scale: float) -> None:
    block = get_block(name).build(8, 8, 1, Position.EARLY)
    gammas = [value for key, value in block.named_parameters() if key.endswith("gamma")]
    assert gammas
    assert all(torch.equal(gamma, torch.full_like(gamma, scale)) for gamma in gammas)


@pytest.mark.parametrize("block", [VANBlock(4, 2), Conv2FormerBlock(4, 7), PKIBlock(4, 11)])
def test_both_halves_add_their_input(block: nn.Sequential) -> None:
    images = torch.randn(2, 4, 5, 5)
    _draw(block)
    for half in block:
        assert isinstance(half, ScaledResidual)
        assert not torch.equal(half(images), images)
        nn.init.zeros_(half.gamma)
    assert torch.equal(block(images), images)


@pytest.mark.parametrize(
    ("position", "hidden"), [(Position.EARLY, 128), (Position.MID, 128), (Position.LATE, 64)]
)
def test_van_expansion_by_position(position: Position, hidden: int) -> None:
    with torch.device("meta"):
        block = get_block("VANBlock").build(16, 16, 1, position)
    assert block.get_submodule("1.branch.1").out_channels == hidden


def test_convolutional_modulation_by_hand() -> None:
    modulation = ConvModulation(1, 7)
    _fill(modulation, 2.0)
    weights = 2 * F.gelu(torch.tensor(2.0 * 3)).item()
    expected = 2 * (weights * (2 * 3))
    assert modulation(torch.full((1, 1, 1, 1), 3.0)).item() == pytest.approx(expected, rel=1e-5)


def test_positioned_feed_forward_by_hand() -> None:
    feed_forward = PositionedFeedForward(1)
    _fill(feed_forward, 1.0)
    wide = F.gelu(torch.tensor(2.0))
    expected = 4 * (wide + F.gelu(wide)).item()
    assert feed_forward(torch.full((1, 1, 1, 1), 2.0)).item() == pytest.approx(expected, rel=1e-5)


def test_global_silu_weights_whole_channels() -> None:
    images = torch.tensor([[1.0, 3.0], [0.0, 0.0]]).view(1, 2, 1, 2)
    share = torch.tensor(2.0).sigmoid().item()
    assert GlobalSiLU()(images).flatten().tolist() == pytest.approx([share, 3 * share, 0, 0])


def test_poly_kernel_mixer_adds_all_kernels_to_the_first() -> None:
    mixer = PolyKernelMixer(2, (3, 5, 7), 11).eval()
    images = torch.randn(1, 2, 6, 6)
    _identity_depthwise(mixer.first)
    for conv in mixer.others:
        assert isinstance(conv, nn.Conv2d)
        _identity_depthwise(conv)
    # With kernels that copy, the three together are three times what came in; without any
    # attention the sum of mixed and attended features is 1 + sigmoid(0) = 1.5 times the mixed.
    for layer in (mixer.attention[1], mixer.attention[4]):
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)
    expected = mixer.leave(1.5 * mixer.mix(3 * mixer.enter(images)))
    torch.testing.assert_close(mixer(images), expected)


def test_context_anchor_attention_sees_a_cross_of_strips_and_their_square() -> None:
    mixer = PolyKernelMixer(1, (3,), 11)
    _fill(mixer.attention, 1.0)
    seen = torch.zeros(1, 1, 41, 41)
    seen[0, 0, 20, 20] = 1
    reached = mixer.attention(seen)[0, 0] > 0.5
    # The average of 7 and the strips of 11: 3 + 5 pixels in every direction.
    assert reached.any(0).nonzero().flatten().tolist() == list(range(12, 29))
    assert reached.any(1).nonzero().flatten().tolist() == list(range(12, 29))


def test_haar_transform_by_hand() -> None:
    patch = torch.tensor([[1.0, 2.0], [3.0, 5.0]]).view(1, 1, 2, 2)
    # Half of: the sum 11, top - bottom 3 - 8, left - right 4 - 7, the diagonals 6 - 5.
    assert HaarTransform(1)(patch).flatten().tolist() == pytest.approx([5.5, -2.5, -1.5, 0.5])


def test_haar_transform_keeps_the_four_numbers_of_a_channel_together() -> None:
    images = torch.stack([torch.ones(2, 2), 2 * torch.ones(2, 2)])[None]
    assert HaarTransform(2)(images).flatten().tolist() == pytest.approx([2, 0, 0, 0, 4, 0, 0, 0])


@given(
    channels=st.integers(1, 3),
    height=st.integers(1, 4),
    width=st.integers(1, 4),
    seed=st.integers(0),
)
def test_haar_transform_is_orthonormal(channels: int, height: int, width: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed % 2**63)
    haar = HaarTransform(channels)
    images = torch.randn(2, channels, 2 * height, 2 * width, generator=generator)
    bands = haar(images)
    assert bands.shape == (2, 4 * channels, height, width)
    torch.testing.assert_close(haar.inverse(bands), images)
    torch.testing.assert_close(bands.norm(), images.norm())


def _silent_base(channels: int, levels: int) -> WTConv2d:
    """Return a wavelet convolution whose convolutions of the bands copy, scaled by one."""
    conv = WTConv2d(channels, 5, levels)
    nn.init.zeros_(conv.base_scale)
    for layer, scale in zip(conv.convs, conv.scales, strict=True):
        assert isinstance(layer, nn.Conv2d)
        nn.init.dirac_(layer.weight, groups=layer.groups)
        nn.init.ones_(scale)
    return conv


@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 5), (1, 3)])
def test_one_level_of_copied_wavelets_is_the_input(height: int, width: int) -> None:
    images = torch.randn(2, 3, height, width)
    torch.testing.assert_close(_silent_base(3, 1)(images), images)


def test_every_further_level_adds_the_average_of_its_patches() -> None:
    # Level 2 copies what level 1 has as sums, and is added to them: the result has the mean of
    # every 2x2 patch once more; level 3 the mean of every 4x4 patch.
    images = torch.randn(2, 3, 8, 8)

    def patch_means(size: int) -> Tensor:
        return F.interpolate(F.avg_pool2d(images, size), scale_factor=size)

    torch.testing.assert_close(_silent_base(3, 2)(images), images + patch_means(2))
    expected = images + patch_means(2) + patch_means(4)
    torch.testing.assert_close(_silent_base(3, 3)(images), expected)


def test_wavelet_convolution_adds_its_scaled_base() -> None:
    conv = WTConv2d(2, 5, 2)
    for scale in conv.scales:
        assert torch.equal(scale, torch.full((8, 1, 1), 0.1))
        nn.init.zeros_(scale)
    nn.init.constant_(conv.base_scale, 3.0)
    images = torch.randn(1, 2, 6, 6)
    torch.testing.assert_close(conv(images), 3 * conv.base(images))


def test_haar_filters_are_neither_parameters_nor_state() -> None:
    assert list(HaarTransform(3).parameters()) == []
    assert HaarTransform(3).state_dict() == {}


@pytest.mark.parametrize(
    ("position", "levels"), [(Position.EARLY, 4), (Position.MID, 3), (Position.LATE, 2)]
)
def test_wavelet_levels_by_position(position: Position, levels: int) -> None:
    with torch.device("meta"):
        block = get_block("WTConvNeXtBlock").build(8, 8, 1, position)
    (conv,) = [child for child in block.modules() if isinstance(child, WTConv2d)]
    assert len(conv.convs) == len(conv.scales) == levels
