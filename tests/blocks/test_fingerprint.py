"""The fingerprint: changes with structure and hyperparameters, not with weights or mode."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockzoo.blocks import fingerprint, get_block, list_available_blocks, to_deploy
from blockzoo.core.position import Position


class _Configured(nn.Module):
    def __init__(self, **attributes: object) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1)
        vars(self).update(attributes)


def test_weights_and_mode_do_not_count() -> None:
    net = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    before = fingerprint(net)
    nn.init.zeros_(net.get_parameter("0.weight"))
    net(torch.randn(2, 4, 5, 5))
    assert fingerprint(net.eval()) == before
    assert len(before) == 16


@pytest.mark.parametrize(
    "other",
    [
        nn.Conv2d(4, 4, 3, stride=2),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.Conv2d(4, 4, 3, bias=False),
        nn.Conv2d(4, 4, 3, groups=2),
        nn.Conv2d(4, 4, 3, padding_mode="reflect"),
        nn.Conv2d(4, 4, 3, dtype=torch.float64),
        nn.ConvTranspose2d(4, 4, 3),
        nn.Conv2d(4, 4, 3).requires_grad_(False),
        nn.Sequential(nn.Conv2d(4, 4, 3)),
    ],
    ids=str,
)
def test_structure_and_hyperparameters_count(other: nn.Module) -> None:
    assert fingerprint(other) != fingerprint(nn.Conv2d(4, 4, 3))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (nn.BatchNorm2d(4), nn.BatchNorm2d(4, eps=1e-3)),
        (nn.BatchNorm2d(4), nn.BatchNorm2d(4, momentum=0.2)),
        (nn.ReLU(), nn.GELU()),
        (nn.GELU(), nn.GELU(approximate="tanh")),
        (_Configured(activation=F.relu), _Configured(activation=F.gelu)),
        (_Configured(sizes=[3, 5]), _Configured(sizes=[3, 7])),
        (_Configured(steps=(F.relu, torch.sin)), _Configured(steps=(F.relu, torch.cos))),
        (_Configured(gate=None), _Configured(gate=0)),
    ],
    ids=str,
)
def test_what_has_no_weights_counts_too(one: nn.Module, other: nn.Module) -> None:
    assert fingerprint(one) != fingerprint(other)


def test_addresses_of_functions_do_not_count() -> None:
    def build() -> nn.Module:
        def activation(x: Tensor) -> Tensor:
            return x.relu()

        return _Configured(activation=activation)

    assert fingerprint(build()) == fingerprint(build())


def test_blocks_of_the_zoo_differ_from_each_other() -> None:
    # Only their initial weights tell the two MBConv-LN blocks apart.
    names = [name for name in list_available_blocks() if name != "classic/MBConvLNBlock"]
    with torch.device("meta"):
        blocks = {name: get_block(name).build(16, 32, 2, Position.MID) for name in names}
    prints = {name: fingerprint(block) for name, block in blocks.items()}
    equal = [(a, b) for a, b in itertools.combinations(names, 2) if prints[a] == prints[b]]
    assert equal == []


def test_device_does_not_count() -> None:
    spec = get_block("DYMicroBlock")
    with torch.device("meta"):
        without_data = spec.build(16, 16, 1, Position.MID)
    assert fingerprint(without_data) == fingerprint(spec.build(16, 16, 1, Position.MID))


def test_deploy_form_has_a_fingerprint_of_its_own() -> None:
    block = get_block("MobileOneBlock").build(8, 8, 1, Position.MID)
    assert fingerprint(to_deploy(block)) != fingerprint(block)
