"""Norms are folded exactly where nothing else reads what they read, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrizations import weight_norm

from blockzoo.blocks import get_block, list_available_blocks, to_deploy, to_folded
from blockzoo.core.position import Position
from blockzoo.measure.timing.parity import check_parity, with_nontrivial_state
from blockzoo.scaffold.net import ScaffoldConfig, ScaffoldNet

IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
OTHERS = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def norms(net: nn.Module) -> int:
    return sum(isinstance(module, _BatchNorm) for module in net.modules())


def folded(net: nn.Module, images: Tensor = IMAGES) -> tuple[int, nn.Module]:
    """Return how many norms are left, once the outputs on other images were found the same."""
    awake = with_nontrivial_state(net.eval())
    form = to_folded(awake, images)
    check_parity(awake, form, OTHERS if images is IMAGES else images, tolerance=1e-5)
    return norms(form), form


class Two(nn.Module):
    """A convolution and a norm, put together by `how`."""

    def __init__(self, how: Any, conv: nn.Module | None = None) -> None:
        super().__init__()
        self.conv = conv or nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(8)
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 3, H, W) to what `how` makes of it."""
        y: Tensor = self.how(self, x)
        return y


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.Conv2d(3, 9, 3, stride=2, groups=3, bias=True),
        nn.ConvTranspose2d(3, 8, 2, stride=2),
    ],
)
def test_a_norm_after_a_convolution_is_folded(layer: Any) -> None:
    net = nn.Sequential(layer, nn.BatchNorm2d(layer.out_channels), nn.ReLU())
    assert folded(net)[0] == 0


def test_a_norm_after_a_linear_layer_is_folded_and_one_over_tokens_is_not() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.norm = nn.Linear(16, 16), nn.BatchNorm1d(16)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.norm(self.linear(x))
            return y

    flat = torch.randn(5, 16)
    assert folded(Tokens(), flat)[0] == 0
    # (N, 16, 16): the norm is over the tokens, the linear layer over the features.
    assert folded(Tokens(), torch.randn(5, 16, 16))[0] == 1


def test_the_activation_of_a_norm_stays() -> None:
    left, form = folded(nn.Sequential(nn.Conv2d(3, 8, 1), BatchNormAct2d(8)))
    assert left == 0
    assert form(OTHERS).min() == 0  # its ReLU


def test_a_layer_used_twice_with_one_norm_is_folded_once() -> None:
    conv = nn.Conv2d(3, 3, 3, padding=1)
    norm = nn.BatchNorm2d(3)
    assert folded(nn.Sequential(conv, norm, nn.ReLU(), conv, norm))[0] == 0


@pytest.mark.parametrize(
    ("why", "how"),
    [
        ("its input is added elsewhere", lambda m, x: m.norm(y := m.conv(x)) + y),
        ("its input is changed in place", lambda m, x: m.norm(m.conv(x).relu_())),
        ("its input is changed on the way", lambda m, x: m.norm(m.conv(x) * 2)),
        ("its input is read through a view", lambda m, x: m.norm(y := m.conv(x)) * y[:, :1]),
        ("the weights are read elsewhere", lambda m, x: m.norm(m.conv(x)) * m.conv.weight.mean()),
        ("the scale is read elsewhere", lambda m, x: m.norm(m.conv(x)) * m.norm.weight.mean()),
        ("it is functional", lambda m, x: m.norm(F.conv2d(x, m.conv.weight))),
        ("the convolution serves two", lambda m, x: m.norm(m.conv(x)) + m.conv(x.flip(0))),
        (
            "the norm serves two",
            lambda m, x: m.norm(m.conv(x)) + m.norm(x.repeat(1, 3, 1, 1)[:, :8]),
        ),
        ("the norm is before it", lambda m, x: m.conv(m.norm(x.repeat(1, 3, 1, 1)[:, :8])[:, :3])),
    ],
)
def test_a_norm_stays_where(why: str, how: Any) -> None:
    assert folded(Two(how))[0] == 1, why


def test_what_returns_the_convolutions_output_too_keeps_its_norm() -> None:
    net = Two(lambda m, x: (m.norm(y := m.conv(x)), y)).eval()
    expected, actual = net(OTHERS), to_folded(net, IMAGES)(OTHERS)
    for ours, theirs in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert norms(to_folded(net, IMAGES)) == 1


class Standardised(nn.Conv2d):
    """A convolution that uses its weights otherwise."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve with weights of mean zero."""
        return F.conv2d(x, self.weight - self.weight.mean(), padding=1)


@pytest.mark.parametrize(
    "conv",
    [
        Standardised(3, 8, 3, padding=1, bias=False),
        weight_norm(nn.Conv2d(3, 8, 3, padding=1)),
        nn.ConvTranspose2d(3, 9, 2, stride=2, groups=3),
    ],
)
def test_a_norm_after_another_kind_of_layer_stays(conv: Any) -> None:
    channels = conv.out_channels
    assert folded(nn.Sequential(conv, nn.BatchNorm2d(channels)))[0] == 1


def test_a_norm_without_running_statistics_stays() -> None:
    norm = nn.BatchNorm2d(8, track_running_stats=False)
    assert norms(to_folded(nn.Sequential(nn.Conv2d(3, 8, 1), norm), IMAGES)) == 1


def test_a_hook_keeps_the_norm() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8))
    net.get_submodule("0").register_forward_hook(lambda module, inputs, output: output * 2)
    assert folded(net)[0] == 1


def test_the_network_itself_stays_as_it_was() -> None:
    net = with_nontrivial_state(nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8)).eval())
    before = {name: value.clone() for name, value in net.state_dict().items()}
    to_folded(net, IMAGES)
    assert norms(net) == 1
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not net.get_submodule("0")._forward_hooks
    assert not net.get_submodule("0")._forward_pre_hooks


@pytest.mark.parametrize("trainable", ["conv", "norm", "neither"])
def test_what_is_folded_is_trainable_where_a_part_of_it_was(trainable: str) -> None:
    conv, norm = nn.Conv2d(3, 8, 1, bias=False), nn.BatchNorm2d(8)
    conv.requires_grad_(trainable == "conv")
    norm.requires_grad_(trainable == "norm")
    form = to_folded(nn.Sequential(conv, norm), IMAGES)
    assert [p.requires_grad for p in form.parameters()] == [trainable != "neither"] * 2


def test_the_precision_is_the_modules_own() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8)).double()
    assert {p.dtype for p in to_folded(net, IMAGES).parameters()} == {torch.float64}


SMALL = ScaffoldConfig(width=16, depth=1, input_shape=(3, 16, 16))
# Norms in the stage under test before which there is no plain layer that they alone read.
STAY = {
    "CASViTBlock": 2,
    "CondConvMBConv": 3,  # weights mixed for each image
    "ConvMixerLayer": 3,  # after an activation
    "DenseNetBC": 4,
    "InceptionNeXtBlock": 2,  # before, or after branches put side by side
    "LSConvBlock": 1,  # after kernels of each pixel
    "LSKBlock": 2,
    "MBConvCoAtNet": 1,
    "MBConvMaxViT": 1,
    "MixConvMixNet": 1,
    "MobileNetV4MQA": 1,
    "MogaNetBlock": 2,
    "ODConvBasicBlock": 2,
    "PKIBlock": 2,
    "PreActBasicBlock": 1,
    "RedNetInvolution": 1,
    "ReparamLargeKernelConv": 2,
    "RepNeXtBlock": 2,
    "StripBlock": 2,
    "SwiftFormerEAA": 1,
    "TransXNetDMixer": 5,  # after activations, and a convolution that chooses its stride
    "UniRepLKNetLarK": 1,  # behind a permutation
    "VANBlock": 2,
}


@pytest.mark.parametrize("block", list_available_blocks())
def test_every_block_of_the_zoo(block: str) -> None:
    images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    net = with_nontrivial_state(ScaffoldNet(block, "mid", SMALL).eval(), example=images)
    form = to_folded(net, images)
    check_parity(net, form, OTHERS, tolerance=1e-4)
    assert norms(form.get_submodule("stage_mid")) == STAY.get(block, 0)
    # Stem and context are always folded.
    assert norms(form) == STAY.get(block, 0)
    assert norms(to_folded(form, images)) == norms(form)


def test_folding_takes_parameters_away() -> None:
    stage = get_block("ResNetBasicBlock").build(16, 32, 2, Position.MID)
    # Two norms of the branch and one of the shortcut become biases.
    counts = [
        sum(p.numel() for p in form.parameters())
        for form in (to_deploy(stage), to_folded(stage, torch.zeros(1, 16, 8, 8)))
    ]
    assert counts[0] - counts[1] == 3 * 32
