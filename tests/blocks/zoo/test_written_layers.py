"""What the layers of blocks written from papers do, on inputs whose outputs follow by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from blockzoo.blocks import get_block, to_deploy
from blockzoo.blocks.zoo.cross_stage import AreaAttention, RepConv
from blockzoo.blocks.zoo.decomposed_kernels import DecomposedKernelConv
from blockzoo.blocks.zoo.dual_mixer import InputDependentConv
from blockzoo.blocks.zoo.large_small import LSConv
from blockzoo.blocks.zoo.meta_mobile import SpreadWindows
from blockzoo.blocks.zoo.recursive import RecursiveConv
from blockzoo.blocks.zoo.spatial_selection import LargeSelectiveKernel
from blockzoo.blocks.zoo.vanilla import FadingActivation, VanillaConv
from blockzoo.core.position import Position


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def _moved(module: nn.Module, images: torch.Tensor, row: int, column: int) -> set[tuple[int, int]]:
    """Return the places of the output that a change of one place of the input moves."""
    other = images.clone()
    other[..., row, column] += 1
    with torch.no_grad():
        difference = (module(other) - module(images)).abs().amax((0, 1))
    return {(int(y), int(x)) for y, x in (difference > 1e-7).nonzero()}


def _used(module: nn.Module, images: torch.Tensor) -> nn.Module:
    """Return the module in eval mode, with running statistics that are not those of the start."""
    module(images * 2 + 1)
    return module.eval()


def test_ls_convolution_gives_a_kernel_to_every_channel_of_its_number_modulo_their_count() -> None:
    layer = LSConv(16)  # two kernels
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    bias = layer.perception.get_parameter("layers.4.bias").data.view(2, 9)
    bias[0, 4] = 1  # the middle
    bias[1, 5] = 1  # the right neighbour
    images = torch.randn(1, 16, 4, 5)
    output = layer(images)
    assert torch.equal(output[:, ::2], images[:, ::2])
    assert torch.equal(output[:, 1::2], F.pad(images, (0, 1))[:, 1::2, :, 1:])


def test_spread_windows_attend_to_one_of_every_so_many_rows_and_columns() -> None:
    images = torch.randn(1, 8, 14, 14)
    moved = _moved(SpreadWindows(8, 2), images, 3, 4)
    assert moved == {(y, x) for y in range(1, 14, 2) for x in range(0, 14, 2)}


def test_spread_windows_take_maps_that_are_no_whole_windows() -> None:
    assert SpreadWindows(4, 1)(torch.randn(2, 4, 5, 9)).shape == (2, 4, 5, 9)


@pytest.mark.parametrize(("areas", "rows"), [(4, range(2, 4)), (1, range(8))])
def test_area_attention_stays_in_its_strip(areas: int, rows: range) -> None:
    layer = AreaAttention(8, 2, areas).eval()
    nn.init.zeros_(layer.get_parameter("positions.0.weight"))
    moved = _moved(layer, torch.randn(1, 8, 8, 3), 3, 1)
    assert moved == {(y, x) for y in rows for x in range(3)}


def test_area_attention_takes_rows_that_its_areas_do_not_divide() -> None:
    assert AreaAttention(8, 1, 4)(torch.randn(2, 8, 5, 3)).shape == (2, 8, 5, 3)


@pytest.mark.parametrize(("fraction", "slope"), [(0, 0), (1 / 6, 0.5), (1 / 3, 1), (1, 1)])
def test_vanilla_activation_is_straight_after_a_third_of_training(
    fraction: float, slope: float
) -> None:
    activation = FadingActivation()
    activation.on_training_progress(fraction)
    output = activation(torch.tensor([-2.0, 3.0]))
    assert output.tolist() == pytest.approx([-2 * slope, 3])


def test_vanilla_convolutions_merge_only_when_what_stands_between_is_straight() -> None:
    images = torch.randn(4, 3, 5, 5)
    layer = _used(VanillaConv(3, 4), images)
    assert isinstance(layer, VanillaConv)
    layer.activation.on_training_progress(0.1)
    fading = to_deploy(layer)
    assert {name.split(".")[0] for name, _ in fading.named_parameters()} == {"first", "second"}
    layer.activation.on_training_progress(0.5)
    merged = to_deploy(layer)
    assert [name for name, _ in merged.named_parameters()] == ["merged.weight", "merged.bias"]
    torch.testing.assert_close(merged(images), layer(images), rtol=1e-4, atol=1e-5)


def test_vanilla_block_keeps_the_slope_that_it_was_saved_with() -> None:
    block = get_block("VanillaNetBlock").build(4, 4, 1, Position.MID)
    layer = block.get_submodule("0.activation")
    assert isinstance(layer, FadingActivation)
    layer.on_training_progress(1 / 6)
    fresh = get_block("VanillaNetBlock").build(4, 4, 1, Position.MID)
    fresh.load_state_dict(block.state_dict())
    assert fresh.get_buffer("0.activation.slope").item() == pytest.approx(0.5)


def test_stripes_merge_into_two_kernels() -> None:
    images = torch.randn(4, 3, 9, 7)
    layer = _used(DecomposedKernelConv(3, 9, 3), images)
    merged = to_deploy(layer)
    shapes = {name: tuple(p.shape[2:]) for name, p in merged.named_parameters() if p.dim() == 4}
    assert shapes == {"tall.weight": (9, 3), "wide.weight": (3, 9)}
    torch.testing.assert_close(merged(images), layer(images), rtol=1e-4, atol=1e-5)


def test_both_branches_of_gelans_convolution_merge() -> None:
    images = torch.randn(4, 6, 5, 5)
    layer = _used(RepConv(6), images)
    merged = to_deploy(layer)
    assert [name for name, _ in merged.named_parameters()] == ["large.weight", "large.bias"]
    torch.testing.assert_close(merged(images), layer(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("levels", [1, 3])
def test_recursive_convolution_adds_the_scales(levels: int) -> None:
    layer = RecursiveConv(2, levels)
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
        parameter.data[:, :, 2, 2] = 1
    # Up to the rounding of the interpolation's weights.
    torch.testing.assert_close(
        layer(torch.ones(1, 2, 9, 5)), torch.full((1, 2, 9, 5), levels + 1.0)
    )


@pytest.mark.parametrize(("near", "kernel"), [(20.0, 5), (-20.0, 23)])
def test_selected_kernel_sees_near_or_far(near: float, kernel: int) -> None:
    layer = LargeSelectiveKernel(4)
    nn.init.zeros_(layer.select.weight)
    assert layer.select.bias is not None
    layer.select.bias.data = torch.tensor([near, -near])
    moved = _moved(layer, torch.randn(1, 4, 31, 31), 15, 15)
    rows = {row for row, _ in moved}
    assert (min(rows), max(rows)) == (15 - kernel // 2, 15 + kernel // 2)


def test_kernels_that_are_alike_mix_to_themselves_for_every_image() -> None:
    layer = InputDependentConv(8).eval()
    layer.weight.data[1] = layer.weight.data[0]
    layer.bias.data[1] = layer.bias.data[0]
    images = torch.randn(3, 8, 9, 10)
    kernel, bias = layer.weight[0][:, None], layer.bias[0]
    expected = F.conv2d(images, kernel, bias, padding=3, groups=8)
    torch.testing.assert_close(layer(images), expected)


def test_kernels_that_differ_depend_on_the_image() -> None:
    layer = InputDependentConv(8).eval()
    first, second = torch.randn(2, 1, 8, 9, 9)
    alone, together = layer(first), layer(torch.cat([first, second]))
    torch.testing.assert_close(alone, together[:1])
    assert not torch.allclose(layer(first) + layer(second), layer(first + second))


@pytest.mark.parametrize(
    ("name", "channels", "said"),
    [
        ("LSConvBlock", 12, "a multiple of 8"),
        ("UniConvNetBlock", 12, "a multiple of 8"),
        ("SMTModulation", 6, "a multiple of 4"),
        ("RDNetBlock", 3, "4 or more"),
        ("TransXNetDMixer", 24, "a multiple of 16"),
        ("A2C2f", 130, "a multiple of their heads"),
    ],
)
def test_channels_that_do_not_fit_are_refused(name: str, channels: int, said: str) -> None:
    with pytest.raises(Exception, match=said):
        get_block(name).build(8, channels, 1, Position.LATE)
