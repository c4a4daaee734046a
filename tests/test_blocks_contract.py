"""What every registered block must do, at every position, whatever is inside it."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from blockzoo.blocks import fingerprint, get_block, list_available_blocks, to_deploy
from blockzoo.errors import BlockError, InputError
from blockzoo.position import Position

_CASES = [(name, position) for name in list_available_blocks() for position in Position]
_every_block_and_position = pytest.mark.parametrize(("name", "position"), _CASES)
# The one block that has branches at some positions only.
_NOTHING_TO_MERGE = {
    ("PPLCNetV2RepDepthSep", Position.EARLY),
    ("PPLCNetV2RepDepthSep", Position.MID),
}
# Its layer norms span one channel, so these see zeros until a bias has moved.
_SILENT_AT_THE_START = {
    "CSATv2Block": ("pos_embed.proj.weight", "qkv.weight", "fc1.weight", "fc2.weight"),
}
# HGNetV2's affine bias: the BN after the next convolution takes it out, and its gradient with it.
_ABSORBED = "lab.bias"
_CHANNELS = 16
_HEIGHT, _WIDTH = 7, 6


@pytest.fixture(autouse=True)
def _seed() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def _build(name: str, position: Position, stride: int = 1) -> nn.Module:
    return get_block(name).build(_CHANNELS, _CHANNELS * stride, stride, position)


def _input(batch: int = 3) -> Tensor:
    return torch.randn(batch, _CHANNELS, _HEIGHT, _WIDTH)


def _raise_gates(block: nn.Module) -> None:
    """Set layer scales, which start near zero, to about one, so that no branch is hidden."""
    for name, parameter in block.named_parameters():
        if name.endswith(("gamma", "scale", "skipinit_gain")):
            nn.init.uniform_(parameter, 0.5, 1.5)


def _train(block: nn.Module, steps: int = 3) -> None:
    """Take some steps, so that weights and BN statistics are neither initial nor trivial."""
    optimizer = torch.optim.SGD(block.parameters(), lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        output = block(_input(4) * 2 + 1)
        (output - torch.randn_like(output)).square().mean().backward()
        optimizer.step()


def _trained(name: str, position: Position, stride: int) -> nn.Module:
    block = _build(name, position, stride)
    _raise_gates(block)
    if any(True for _ in block.parameters()):
        _train(block)
    return block.eval()


@_every_block_and_position
@pytest.mark.parametrize(
    ("in_channels", "out_channels", "stride"),
    [(8, 8, 1), (8, 16, 1), (8, 8, 2), (8, 16, 2)],
)
def test_output_has_the_promised_shape(
    name: str, position: Position, in_channels: int, out_channels: int, stride: int
) -> None:
    block = get_block(name).build(in_channels, out_channels, stride, position).eval()
    for height, width in ((8, 8), (9, 11), (2, 3)):
        with torch.no_grad():
            output = block(torch.randn(2, in_channels, height, width))
        expected = (2, out_channels, math.ceil(height / stride), math.ceil(width / stride))
        assert output.shape == expected


@_every_block_and_position
def test_output_is_finite_and_input_is_left_alone(name: str, position: Position) -> None:
    block = _build(name, position, stride=2)
    images = _input()
    before = images.clone()
    in_training = block(images)
    in_eval = block.eval()(images)
    assert torch.isfinite(in_training).all()
    assert torch.isfinite(in_eval).all()
    assert torch.equal(images, before)


@_every_block_and_position
def test_gradients_reach_every_parameter_and_the_input(name: str, position: Position) -> None:
    block = _build(name, position, stride=2)
    _raise_gates(block)
    images = _input().requires_grad_()
    output = block(images)
    (output * torch.randn_like(output)).sum().backward()
    unreached = [
        key
        for key, parameter in block.named_parameters()
        if parameter.requires_grad
        and (parameter.grad is None or not (parameter.grad.any() or key.endswith(_ABSORBED)))
    ]
    assert [key for key in unreached if not key.endswith(_SILENT_AT_THE_START.get(name, ()))] == []
    assert images.grad is not None
    assert images.grad.any()


@_every_block_and_position
@pytest.mark.parametrize("stride", [1, 2])
def test_deploy_form_equals_training_form(name: str, position: Position, stride: int) -> None:
    block = _trained(name, position, stride)
    images = _input()
    with torch.no_grad():
        expected = block(images)
        deployed = to_deploy(block)(images)
    assert expected.std() > 1e-3
    torch.testing.assert_close(deployed, expected, rtol=0, atol=1e-5 * expected.abs().max().item())


@_every_block_and_position
def test_deploy_form_is_smaller_exactly_where_the_block_says_so(
    name: str, position: Position
) -> None:
    block = _build(name, position)
    tensors = {form: len(form.state_dict()) for form in (block, to_deploy(block))}
    training, deploy = tensors.values()
    has_branches = get_block(name).reparameterisable and (name, position) not in _NOTHING_TO_MERGE
    assert (deploy < training) == has_branches


@_every_block_and_position
def test_to_deploy_leaves_the_original_as_it_was(name: str, position: Position) -> None:
    block = _build(name, position)
    before = copy.deepcopy(block.state_dict())
    to_deploy(block)
    assert block.training
    assert block.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[key]) for key, value in block.state_dict().items())


@_every_block_and_position
def test_state_dict_carries_everything(name: str, position: Position) -> None:
    first, second = _trained(name, position, 1), _build(name, position).eval()
    second.load_state_dict(first.state_dict())
    images = _input()
    with torch.no_grad():
        assert torch.equal(first(images), second(images))


@_every_block_and_position
def test_images_of_a_batch_do_not_mix_in_eval(name: str, position: Position) -> None:
    block = _trained(name, position, 1)
    images = _input()
    with torch.no_grad():
        together = block(images)
        alone = torch.cat([block(image[None]) for image in images])
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-5)


@_every_block_and_position
def test_channels_last_gives_the_same_output(name: str, position: Position) -> None:
    block = _trained(name, position, 2)
    images = _input()
    with torch.no_grad():
        expected = block(images)
        block = block.to(memory_format=torch.channels_last)
        output = block(images.to(memory_format=torch.channels_last))
    torch.testing.assert_close(
        output, expected, rtol=0, atol=1e-5 * expected.abs().max().item(), check_stride=False
    )


@_every_block_and_position
def test_block_learns_under_bf16_autocast(name: str, position: Position) -> None:
    block = _build(name, position, stride=2)
    images = _input().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = block(images)
    output.float().square().mean().backward()
    assert torch.isfinite(output).all()
    assert images.grad is not None
    assert torch.isfinite(images.grad).all()


@_every_block_and_position
def test_same_generator_state_gives_the_same_block(name: str, position: Position) -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(7)
        states.append(_build(name, position))
    first, second = (block.state_dict() for block in states)
    assert fingerprint(states[0]) == fingerprint(states[1])
    assert all(torch.equal(value, second[key]) for key, value in first.items())


@pytest.mark.parametrize("name", list_available_blocks())
def test_strides_and_channels_that_no_block_has_are_refused(name: str) -> None:
    spec = get_block(name)
    with pytest.raises(InputError, match="stride is 3; it must be 1 or 2"):
        spec.build(16, 16, 3, Position.EARLY)
    with pytest.raises(InputError, match="in_channels is 0; it must be 1 or more"):
        spec.build(0, 16, 1, Position.EARLY)


@pytest.mark.parametrize(
    ("name", "in_channels", "out_channels", "stride", "reason"),
    [
        ("ResNetBottleneck", 10, 10, 1, "out=10.*output channels must be a multiple of 4"),
        ("classic/ResNetBottleneck", 30, 30, 1, "output channels must be a multiple of 4"),
        ("GhostBottleneckV3", 15, 15, 1, "output channels must be even"),
        ("classic/GhostBottleneckV3", 15, 16, 1, "input and output channels must be even"),
        ("DYMicroBlock", 15, 30, 2, "input and output channels must be even"),
        ("RepMixer", 10, 15, 2, "must be a multiple of the input channels"),
        ("classic/RepMixer", 10, 15, 1, "must be a multiple of the input channels"),
        ("classic/ReparamLargeKernelConv", 10, 15, 1, "must be a multiple of the input"),
        ("ResNeXtBottleneck", 12, 12, 1, "output channels must be a multiple of 8"),
        ("CSPDark", 15, 15, 1, "output channels must be even"),
        ("CSPNeXt", 15, 15, 1, "output channels must be even"),
        ("HGNetV2Block", 2, 1, 1, "output channels must be 2 or more"),
        ("MBConvEfficientNet", 2, 8, 1, "input channels must be 4 or more"),
        ("MBConvMaxViT", 8, 2, 1, "output channels must be 4 or more"),
        ("FasterNetPConv", 2, 2, 1, "output channels must be 4 or more"),
        ("CPUBoneGrFusedMBConv", 15, 16, 1, "input channels must be even"),
        ("ShuffleNetV1Unit", 10, 10, 1, "output channels must be a multiple of 4"),
        ("ShuffleNetV2Unit", 15, 15, 1, "output channels must be even"),
        ("GhostBottleneckV1", 15, 15, 1, "output channels must be even"),
        ("GhostBottleneckV2", 15, 15, 1, "output channels must be even"),
        ("LowFormerBlock", 1, 1, 1, "output channels must be 2 or more"),
        ("CPUBoneBlock", 15, 16, 1, "input and output channels must be even"),
        ("EdgeNeXtSDTA", 10, 10, 1, "output channels must be a multiple of 4"),
        ("EfficientViTCGA", 10, 10, 1, "output channels must be a multiple of 4"),
        ("MobileNetV4MQA", 10, 10, 1, "output channels must be a multiple of 4"),
        ("MobileViTv2Block", 15, 15, 1, "output channels must be even"),
        ("NFNetBlock", 15, 15, 1, "output channels must be even, and 4 or more"),
        ("Identity", 16, 8, 1, "never drops any"),
    ],
)
def test_channels_that_a_block_cannot_divide_are_refused_by_name(
    name: str, in_channels: int, out_channels: int, stride: int, reason: str
) -> None:
    with pytest.raises(BlockError, match=f"block {name} cannot be built with .*{reason}"):
        get_block(name).build(in_channels, out_channels, stride, Position.EARLY)
