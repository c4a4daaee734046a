"""The initialisation policy: deviations by fan-out per group, and what it leaves alone."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from blockzoo.blocks import get_block, initialise
from blockzoo.blocks.initialisation import StartValues, start_values
from blockzoo.core.position import Position


@pytest.fixture(autouse=True)
def _seed() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize(
    ("conv", "fan_out"),
    [
        (nn.Conv2d(64, 128, 3), 128 * 9),
        (nn.Conv2d(256, 64, 1), 64),
        (nn.Conv2d(512, 512, 5, groups=512), 25),
        (nn.Conv2d(128, 256, 3, groups=8), 32 * 9),
        (nn.Conv2d(512, 512, (5, 1), groups=512), 5),
        (nn.Conv1d(64, 128, 3), 128 * 3),
    ],
    ids=["dense", "pointwise", "depthwise", "grouped", "one-sided", "over-sequences"],
)
def test_convolutions_are_drawn_by_fan_out_per_group(
    conv: nn.Conv1d | nn.Conv2d, fan_out: int
) -> None:
    """Of the kernel alone where it is depthwise (huggingface/pytorch-image-models #84,
    pytorch/pytorch #23854)."""
    initialise(conv)
    assert conv.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.05)
    assert abs(conv.weight.mean().item()) < 0.1 * math.sqrt(2 / fan_out)
    assert conv.bias is not None
    assert not conv.bias.any()


def test_linear_layers_are_drawn_narrow_and_cut_at_two_deviations() -> None:
    linear = nn.Linear(256, 256)
    initialise(linear)
    # A normal distribution cut at two deviations has 0.8796 of its deviation left.
    assert linear.weight.std().item() == pytest.approx(0.02 * 0.8796, rel=0.03)
    assert linear.weight.abs().max().item() <= 0.04
    assert not linear.bias.any()


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(8), nn.GroupNorm(2, 8), nn.LayerNorm(8)])
def test_normalisation_starts_as_the_identity(norm: nn.Module) -> None:
    nn.init.zeros_(norm.get_parameter("weight"))
    nn.init.ones_(norm.get_parameter("bias"))
    initialise(nn.Sequential(norm))
    assert torch.equal(norm.get_parameter("weight"), torch.ones(8))
    assert torch.equal(norm.get_parameter("bias"), torch.zeros(8))


def test_normalisation_without_parameters_is_left_alone() -> None:
    norm = nn.BatchNorm2d(8, affine=False)
    initialise(norm)
    assert norm.weight is None


@pytest.mark.parametrize("name", ["TinyViTMBConv", "SHViTBlock", "EfficientViTCGA"])
def test_no_branch_starts_silent_because_its_library_zeroes_the_last_norm(name: str) -> None:
    block = get_block(name).build(16, 16, 1, Position.MID)
    norms = [layer for layer in block.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert norms
    assert all(torch.equal(norm.weight, torch.ones_like(norm.weight)) for norm in norms)


def test_everything_else_keeps_what_its_constructor_gave() -> None:
    scales = [
        parameter
        for name, parameter in get_block("RepMixer").build(8, 8, 1, Position.MID).named_parameters()
        if name.endswith("gamma")
    ]
    assert len(scales) == 2
    assert all(torch.allclose(scale, torch.tensor(1e-5)) for scale in scales)


def test_classic_blocks_keep_their_librarys_initialisation() -> None:
    faithful = get_block("MBConvLNBlock").build(64, 64, 1, Position.MID)
    classic = get_block("classic/MBConvLNBlock").build(64, 64, 1, Position.MID)
    weights = [block.get_parameter("conv2_kxk.weight") for block in (faithful, classic)]
    # Depthwise 3x3: the policy has sqrt(2 / 9); torch's default is uniform up to 1 / 3.
    assert weights[0].std().item() == pytest.approx(math.sqrt(2 / 9), rel=0.05)
    assert weights[1].std().item() == pytest.approx(1 / 3 / math.sqrt(3), rel=0.05)
    assert weights[1].abs().max().item() <= 1 / 3


_SOBEL = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]])


def _edges(channels: int) -> nn.Conv2d:
    """A fixed kernel in a convolution (JunjH/Revisiting_Single_Depth_Estimation sobel.py)."""
    layer = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
    layer.weight = nn.Parameter(_SOBEL.expand(channels, 1, 3, 3).clone(), requires_grad=False)
    return layer


def test_what_is_frozen_keeps_its_values_and_what_trains_is_drawn() -> None:
    edges, mixed = _edges(4), nn.Conv2d(4, 8, 1)
    block = nn.Sequential(edges, mixed)
    before = mixed.weight.detach().clone()
    initialise(block)
    assert torch.equal(edges.weight, _SOBEL.expand(4, 1, 3, 3))
    assert edges.bias is not None
    assert not edges.bias.any()
    assert not torch.equal(mixed.weight, before)
    assert start_values(block) == StartValues(
        drawn=("0.bias", "1.weight", "1.bias"), kept=(), frozen=("0.weight",)
    )


def test_frozen_linear_layers_and_norms_keep_their_values() -> None:
    """A norm with constant statistics and scales (torchvision FrozenBatchNorm2d; facebookresearch/
    detectron2 detectron2/layers/batch_norm.py)."""
    block = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm2d(3))
    for parameter in block.parameters():
        nn.init.constant_(parameter.requires_grad_(False), 0.5)
    initialise(block)
    assert all(torch.equal(each, torch.full_like(each, 0.5)) for each in block.parameters())


def test_what_is_marked_to_be_left_alone_keeps_its_values() -> None:
    """The bias of a state space's time steps (state-spaces/mamba mamba_ssm/modules/mamba_simple.py,
    huggingface/transformers #45591), which would all be alike."""
    steps = nn.Linear(2, 4)
    nn.init.constant_(steps.bias, -4.6)
    steps.bias._no_reinit = True  # type: ignore[attr-defined]
    other = nn.Linear(2, 4)
    other.bias._no_reinit = False  # type: ignore[attr-defined]
    block = nn.Sequential(steps, other)
    initialise(block)
    assert torch.equal(steps.bias, torch.full((4,), -4.6))
    assert not other.bias.any()
    assert start_values(block) == StartValues(
        drawn=("0.weight", "1.weight", "1.bias"), kept=("0.bias",), frozen=()
    )


class _Gated(nn.Module):
    """Parameters of its own, and a layer that its constructor has start at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.full((4,), 0.1))
        self.mix = nn.Linear(4, 4)
        nn.init.zeros_(self.mix.weight)


def test_own_parameters_are_kept_and_zeroed_layers_drawn_which_is_said() -> None:
    """Of the first another library lost the values (huggingface/transformers #42418); that the
    second start at random took a question to find out (yz93/LAVT-RIS #25)."""
    block = _Gated()
    initialise(block)
    assert torch.equal(block.gate, torch.full((4,), 0.1))
    assert block.mix.weight.std() > 0
    assert start_values(block) == StartValues(
        drawn=("mix.weight", "mix.bias"), kept=("gate",), frozen=()
    )


class _Blur(nn.Conv2d):
    """A kernel that is a buffer (adobe/antialiased-cnns antialiased_cnns/blurpool.py)."""

    def __init__(self) -> None:
        super().__init__(4, 4, 3, groups=4, bias=False)
        kernel = torch.full_like(self.weight, 1 / 9)
        del self.weight
        self.register_buffer("weight", kernel)


class _Factors(nn.Conv2d):
    """A weight of two factors, and none of its own (microsoft/LoRA loralib/layers.py)."""

    def __init__(self) -> None:
        super().__init__(4, 4, 3)
        self.weight = None  # type: ignore[assignment]
        self.low = nn.Parameter(torch.full((4, 2), 0.25))


class _Bank(nn.Conv2d):
    """A bank of kernels, mixed by image (CondConv, arXiv 1904.04971)."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__(32, 64, 3, groups=2, bias=False)
        self.weight = nn.Parameter(torch.full(shape, 7.0))


def test_weights_that_are_no_parameters_of_their_layer_are_left_alone() -> None:
    blur, factors = _Blur(), _Factors()
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(3, 3))
    block = nn.Sequential(blur, factors, normed)
    before = {name: each.detach().clone() for name, each in normed.named_parameters()}
    initialise(block)
    assert torch.equal(blur.weight, torch.full((4, 1, 3, 3), 1 / 9))
    assert torch.equal(factors.low, torch.full((4, 2), 0.25))
    after = dict(normed.named_parameters())
    assert all(torch.equal(after[name], before[name]) for name in before if name != "bias")
    assert start_values(block).drawn == ("1.bias", "2.bias")
    assert start_values(block).kept[0] == "1.low"


def test_a_bank_is_drawn_kernel_by_kernel_and_other_shapes_are_left_alone() -> None:
    bank, flat = _Bank((4, 64, 16, 3, 3)), _Bank((4, 64 * 16 * 9))
    initialise(nn.Sequential(bank, flat))
    # Two groups: the fan-out of a kernel is 32 channels of 3 x 3.
    assert bank.weight.std().item() == pytest.approx(math.sqrt(2 / (32 * 9)), rel=0.05)
    assert torch.equal(flat.weight, torch.full((4, 64 * 16 * 9), 7.0))


def test_a_bank_of_biases_whose_memory_was_never_filled_is_zero() -> None:
    """Which was reported of kaijieshi7/Dynamic-convolution-Pytorch (#8)."""
    bank = _Bank((4, 64, 16, 3, 3))
    bank.bias = nn.Parameter(torch.full((4, 64), math.nan))
    initialise(bank)
    assert torch.equal(bank.bias, torch.zeros(4, 64))
