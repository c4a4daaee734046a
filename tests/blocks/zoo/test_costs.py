"""Exact costs: every block of the zoo, the early version's scaffolds, MicroNet's block counts.

`data/zoo_costs.csv` has, at width 64 on 32x32 input, a stage of three blocks of each faithful block
at each position: parameters in deploy and in training form, and millions of multiply-accumulates
of the deploy form. `data/classic_costs.csv` has the thirty whole scaffolds of the early version.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from blockzoo.blocks import get_block, list_available_blocks, to_deploy
from blockzoo.core.position import Position
from blockzoo.scaffold.net import ScaffoldConfig, ScaffoldNet

_DATA = Path(__file__).parent
# (in_channels, out_channels, stride of the first block, input height and width) of each stage.
_STAGE = {
    Position.EARLY: (64, 64, 1, 32),
    Position.MID: (64, 128, 2, 32),
    Position.LATE: (128, 256, 2, 16),
}


def _rows(name: str) -> list[dict[str, str]]:
    with (_DATA / name).open(newline="") as file:
        return list(csv.DictReader(file))


def _id(row: dict[str, str]) -> str:
    return f"{row['block']}-{row['position']}"


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _macs(module: nn.Module, *shape: int) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(torch.empty(shape, device="meta"))
    flops: int = counter.get_total_flops()
    return flops // 2


@pytest.mark.parametrize("position", Position)
@pytest.mark.parametrize("row", _rows("zoo_costs.csv"), ids=lambda row: row["block"])
def test_stage_of_faithful_block_costs_what_its_row_says(
    row: dict[str, str], position: Position
) -> None:
    spec = get_block(row["block"])
    in_channels, out_channels, stride, size = _STAGE[position]
    with torch.device("meta"):
        first = spec.build(in_channels, out_channels, stride, position)
        rest = [spec.build(out_channels, out_channels, 1, position) for _ in range(2)]
    stage = nn.Sequential(first, *rest)
    deployed = to_deploy(stage)
    macs = _macs(deployed, 1, in_channels, size, size)
    assert _parameters(stage) == int(row[f"params_train_{position}"])
    assert _parameters(deployed) == int(row[f"params_{position}"])
    assert round(macs / 1e6, 2) == float(row[f"mmacs_{position}"])


def test_every_faithful_block_has_its_row() -> None:
    rows = [row["block"] for row in _rows("zoo_costs.csv")]
    registered = {name for name in list_available_blocks() if not name.startswith("classic/")}
    assert len(rows) == len(set(rows))
    assert set(rows) == registered - {"Identity"}


@pytest.mark.parametrize("row", _rows("classic_costs.csv"), ids=_id)
def test_classic_scaffold_costs_what_the_early_version_reported(row: dict[str, str]) -> None:
    config = ScaffoldConfig(
        context="classic/ResNetBasicBlock",
        stem_bias=True,
        depth=int(row["num_blocks"]),
        width=int(row["base_channels"]),
        classes=int(row["out_dim"]),
    )
    with torch.device("meta"):
        net = ScaffoldNet(f"classic/{row['block']}", row["position"], config)
    deployed = to_deploy(net)
    assert _parameters(net) == int(row["params_train"])
    assert _parameters(deployed) == int(row["params_deploy"])
    assert _macs(deployed, 1, 3, 32, 32) == int(row["macs_deploy"])


def test_classic_table_is_whole() -> None:
    assert len(_rows("classic_costs.csv")) == 10 * 3


@pytest.mark.parametrize(
    ("in_channels", "out_channels", "stride", "position", "parameters"),
    [
        (64, 64, 1, Position.EARLY, 203_120),
        (64, 128, 2, Position.MID, 115_776),
        (128, 128, 1, Position.MID, 409_200),
        (128, 256, 2, Position.LATE, 428_160),
        (256, 256, 1, Position.LATE, 1_580_256),
    ],
)
def test_dymicro_block_has_micronets_parameters(
    in_channels: int, out_channels: int, stride: int, position: Position, parameters: int
) -> None:
    with torch.device("meta"):
        block = get_block("DYMicroBlock").build(in_channels, out_channels, stride, position)
    assert _parameters(block) == parameters


@pytest.mark.parametrize("position", Position)
def test_identity_costs_nothing(position: Position) -> None:
    block = get_block("Identity").build(16, 32, 2, position)
    assert _parameters(block) == 0
    assert _macs(block, 1, 16, 9, 9) == 0
