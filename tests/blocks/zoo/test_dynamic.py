"""Dynamic blocks: involution, mixed kernels, deformable convolution; by hand and by library."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from timm.layers.cond_conv2d import CondConv2d
from torch import Tensor, nn
from torchvision.ops import deform_conv2d

from blockzoo.blocks import get_block
from blockzoo.blocks.zoo.deformable import DCNv3
from blockzoo.blocks.zoo.dynamic_kernels import ODConv2d
from blockzoo.blocks.zoo.involution import Involution
from blockzoo.core.position import Position


def _last_conv(module: nn.Module) -> nn.Conv2d:
    return [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)][-1]


def _involution(channels: int, stride: int, kernels: Tensor) -> Involution:
    """Return an involution of 3x3 kernels (groups, 9) that are the same at every position."""
    module = Involution(channels, 3, stride).eval()
    span = _last_conv(module.kernels)
    nn.init.zeros_(span.weight)
    assert span.bias is not None
    span.bias.data.copy_(kernels.flatten())
    return module


@pytest.mark.parametrize("stride", [1, 2])
def test_involution_with_one_kernel_everywhere_is_a_depthwise_convolution(stride: int) -> None:
    kernels = torch.randn(2, 9)
    images = torch.randn(2, 32, 5, 7)
    weight = kernels.repeat_interleave(16, dim=0).view(32, 1, 3, 3)
    expected = F.conv2d(images, weight, stride=stride, padding=1, groups=32)
    output = _involution(32, stride, kernels)(images)
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)


def test_involution_makes_the_kernel_of_a_position_from_its_features() -> None:
    module = _involution(4, 1, torch.zeros(1, 9)).eval()
    span = _last_conv(module.kernels)
    nn.init.ones_(module.get_parameter("kernels.1.0.weight"))
    # Only the middle of the kernel: the features' sum, which is also what it weighs.
    span.weight.data[4] = 1.0
    images = torch.rand(1, 4, 3, 3)
    output = module(images)
    expected = images * images.sum(1, keepdim=True) / math.sqrt(1 + 1e-5)
    torch.testing.assert_close(output, expected)


@pytest.mark.parametrize(
    ("channels", "groups", "squeezed"), [(64, 4, 16), (16, 1, 4), (24, 3, 6), (8, 1, 2), (2, 1, 1)]
)
def test_involution_shares_a_kernel_among_sixteen_channels_or_fewer(
    channels: int, groups: int, squeezed: int
) -> None:
    module = Involution(channels, 7)
    assert module.groups == groups
    span = _last_conv(module.kernels)
    assert (span.in_channels, span.out_channels) == (squeezed, 49 * groups)


def _open_gates(conv: ODConv2d) -> None:
    """Make the gates independent of the input, and 1/2 each; the kernels' shares equal."""
    gates = conv.attention
    for gate in (gates.input_gate, gates.output_gate, gates.position_gate, gates.kernel_gate):
        if gate is not None:
            nn.init.zeros_(gate.weight)
            assert gate.bias is not None
            nn.init.zeros_(gate.bias)


@pytest.mark.parametrize("kernels", [1, 4])
@pytest.mark.parametrize("stride", [1, 2])
def test_odconv_with_half_open_gates_is_an_eighth_of_the_mean_kernel(
    kernels: int, stride: int
) -> None:
    conv = ODConv2d(6, 4, stride=stride, kernels=kernels).eval()
    _open_gates(conv)
    images = torch.randn(3, 6, 5, 7)
    mean = conv.weight.view(kernels, 4, 6, 3, 3).mean(0)
    expected = F.conv2d(images, mean, stride=stride, padding=1) / 8
    torch.testing.assert_close(conv(images), expected, rtol=1e-4, atol=1e-5)


def test_odconv_gates_work_on_their_own_dimension() -> None:
    conv = ODConv2d(2, 3, kernels=2).eval()
    _open_gates(conv)
    rows = {
        "input_gate": torch.randn(2),
        "output_gate": torch.randn(3),
        "position_gate": torch.randn(9),
        "kernel_gate": torch.randn(2),
    }
    for name, value in rows.items():
        conv.get_parameter(f"attention.{name}.bias").data.copy_(value)
    gates = {name: value.sigmoid() for name, value in rows.items()}
    first, second = conv.weight.chunk(2)
    share = rows["kernel_gate"].softmax(0)
    kernel = (share[0] * first + share[1] * second) * gates["position_gate"].view(3, 3)
    images = torch.randn(2, 2, 4, 4)
    expected = F.conv2d(images * gates["input_gate"].view(2, 1, 1), kernel, padding=1)
    expected = expected * gates["output_gate"].view(3, 1, 1)
    torch.testing.assert_close(conv(images), expected, rtol=1e-4, atol=1e-5)


def test_odconv_attends_to_each_image_alone() -> None:
    conv = ODConv2d(4, 4).eval()
    for gate in (conv.attention.position_gate, conv.attention.kernel_gate):
        assert gate is not None
        nn.init.normal_(gate.weight)
    images = torch.randn(3, 4, 5, 5) * torch.tensor([0.1, 1, 10]).view(3, 1, 1, 1)
    alone = torch.cat([conv(image[None]) for image in images])
    torch.testing.assert_close(conv(images), alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("channels", "squeezed"), [(8, 16), (256, 16), (512, 32)])
def test_odconv_attention_width(channels: int, squeezed: int) -> None:
    with torch.device("meta"):
        assert ODConv2d(channels, 8).attention.input_gate.in_channels == squeezed


def test_kernels_to_mix_are_drawn_by_fan_out() -> None:
    torch.manual_seed(0)
    conv = ODConv2d(32, 64)
    assert conv.weight.std().item() == pytest.approx(math.sqrt(2 / (64 * 9)), rel=0.02)
    block = get_block("CondConvMBConv").build(16, 32, 1, Position.MID)
    expand, depthwise, project = (
        layer for layer in block.modules() if isinstance(layer, CondConv2d)
    )
    for layer, fan_out in ((expand, 96), (depthwise, 25), (project, 32)):
        assert layer.weight.shape[0] == 4
        assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.04)


def _parts(module: DCNv3) -> tuple[Tensor, Tensor, Tensor]:
    """Return values, displacements and masks for a random input, as `_gather` takes them."""
    generator = torch.Generator().manual_seed(0)
    sizes = (module.groups * 4, module.groups * 18, module.groups * 9)
    values, displacement, mask = (torch.randn(2, 5, 6, size, generator=generator) for size in sizes)
    return values, displacement * 2, mask


def test_dcnv3_gathers_as_torchvisions_deformable_convolution_does() -> None:
    module = DCNv3(12, 3)
    values, displacement, mask = _parts(module)
    shares = mask.view(2, 5, 6, 3, 9).softmax(-1).flatten(-2)
    expected = deform_conv2d(
        values.permute(0, 3, 1, 2),
        displacement.permute(0, 3, 1, 2),
        torch.ones(12, 1, 3, 3),
        padding=1,
        mask=shares.permute(0, 3, 1, 2),
    )
    output = module._gather(values, displacement, mask).permute(0, 3, 1, 2)
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)


def test_dcnv3_without_displacement_or_mask_is_a_mean_of_three_by_three() -> None:
    module = DCNv3(8, 2)
    for layer in (module.displacement, module.mask):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    for layer in (module.enter, module.leave):
        nn.init.eye_(layer.weight)
        nn.init.zeros_(layer.bias)
    x = torch.randn(2, 4, 5, 8)
    expected = F.avg_pool2d(x.permute(0, 3, 1, 2), 3, 1, padding=1).permute(0, 2, 3, 1)
    torch.testing.assert_close(module(x), expected, rtol=1e-4, atol=1e-5)


def test_dcnv3_moves_a_point_down_then_right() -> None:
    module = DCNv3(1, 1)
    values = torch.arange(12.0).view(1, 3, 4, 1)
    displacement = torch.zeros(1, 3, 4, 18)
    displacement[..., 8] = 1.0  # the middle point, y
    displacement[..., 9] = 0.5  # the middle point, x
    mask = torch.full((1, 3, 4, 9), -1e9)
    mask[..., 4] = 0.0
    output = module._gather(values, displacement, mask)
    # At (0, 0): row 1, between columns 0 and 1, so (4 + 5) / 2; at (2, 3): outside, so 0.
    assert output[0, 0, 0, 0].item() == pytest.approx(4.5)
    assert output[0, 2, 3, 0].item() == 0


def test_dcnv3_samples_in_single_precision_under_autocast() -> None:
    block = get_block("InternImageDCNv3").build(16, 16, 1, Position.MID)
    images = torch.randn(2, 16, 6, 6, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        output = block(images)
    output.float().sum().backward()
    assert images.grad is not None
    assert torch.isfinite(images.grad).all()
    torch.testing.assert_close(output.float(), block(images), rtol=0.05, atol=0.05)


def test_dcnv3_runs_in_bfloat16_altogether() -> None:
    module = DCNv3(16, 1).bfloat16()
    assert module(torch.randn(1, 3, 4, 16).bfloat16()).dtype == torch.bfloat16


def test_odconv_cools_over_the_first_tenth_of_a_training() -> None:
    attention = ODConv2d(4, 4).attention
    assert attention.temperature.item() == 1.0
    cooled = []
    for fraction in (0.0, 0.05, 0.1, 0.5):
        attention.on_training_progress(fraction)
        cooled.append(attention.temperature.item())
    assert cooled == pytest.approx([30.0, 15.5, 1.0, 1.0])
    assert "temperature" in attention.state_dict()


def test_the_temperature_divides_the_logits_of_all_four_attentions() -> None:
    attention = ODConv2d(2, 3, kernels=2).eval().attention
    gates = (attention.input_gate, attention.output_gate, attention.position_gate)
    assert attention.kernel_gate is not None
    for gate in (*gates, attention.kernel_gate):
        nn.init.zeros_(gate.weight)
        assert gate.bias is not None
        nn.init.constant_(gate.bias, 3.0)
    assert attention.kernel_gate.bias is not None
    attention.kernel_gate.bias.data[1] = 0.0
    attention.temperature.fill_(3.0)
    inputs, outputs, positions, shares = attention(torch.zeros(1, 2, 1, 1))
    half_open = 1 / (1 + math.exp(-1))  # 3 / 3
    for gate, channels in zip((inputs, outputs, positions), (2, 3, 9), strict=True):
        torch.testing.assert_close(gate, torch.full((1, channels, 1, 1), half_open))
    # Of 3 / 3 and 0 / 3 the softmax is the same number.
    expected = torch.tensor([half_open, 1 - half_open]).view(1, 2, 1, 1)
    torch.testing.assert_close(shares, expected)
