"""Blocks as public repositories have them go through every command."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

from blockzoo.blocks import get_block
from blockzoo.contract.check import check_blocks
from blockzoo.contract.findings import Verdict
from blockzoo.core.position import POSITIONS
from blockzoo.core.processes import Limits

from .public import dense_prediction, detection, mixing, weights

FOLDER = Path(__file__).parent / "public"
NAMES = [
    f"{FOLDER / module.__name__.rpartition('.')[2]}.py:{name}"
    for module in (detection, dense_prediction, mixing, weights)
    for name, value in vars(module).items()
    if getattr(value, "__module__", "") == module.__name__
    and not name.startswith("_")
    and name not in ("conv", "CSPLayer")
    and (inspect.isfunction(value) or issubclass(value, nn.Module))
]
TINY = ["-p", "mid", "--width", "16", "--depth", "1"]
# In fp32: torchvision's deformable convolution has no kernel for bf16, which "auto" may choose.
TRAINED = ["--protocol", "quick", "--epochs", "1", "--dataset", "digits", "--precision", "fp32"]
COMMANDS = {
    "profile": [],
    "train": TRAINED,
    "benchmark": ["--quick", "--budget", "0.2"],
    "sweep": [*TRAINED, "--seeds", "1", "--latency-budget", "0.2", "--no-plots"],
}


def _blockzoo(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "blockzoo", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=1800)


# The fusion of levels has a method of a merge's name, which is said.
@pytest.mark.filterwarnings("ignore:.*takes arguments:UserWarning")
def test_there_are_thirty_and_all_have_the_shapes_of_the_scaffold() -> None:
    assert len(NAMES) >= 30
    for name in NAMES:
        for position, stride in zip(POSITIONS, (1, 2, 2), strict=True):
            block = get_block(name).build(16, 16 * stride, stride, position)
            assert block(torch.randn(2, 16, 9, 8)).shape[1:] == (16 * stride, *_after(9, 8, stride))


def _after(height: int, width: int, stride: int) -> tuple[int, int]:
    return -(-height // stride), -(-width // stride)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("command", COMMANDS)
def test_all_go_through(command: str, tmp_path: Path) -> None:
    arguments = [*NAMES, *TINY, *COMMANDS[command], "--results", "all"]
    done = _blockzoo(tmp_path, command, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = pd.read_csv(tmp_path / "all" / "results.csv")
    assert rows.status.eq("ok").all()
    assert len(set(rows.block)) >= len(NAMES)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_all_keep_the_contract_but_in_what_is_said_of_them() -> None:
    reports = check_blocks(NAMES, exports=False, limits=Limits(time_s=120.0), jobs=2)
    broken = {
        report.block.rpartition(":")[2]: [f.line for f in report.findings if f.verdict in _BAD]
        for report in reports
    }
    assert len(broken) == len(NAMES)
    assert {name: lines for name, lines in broken.items() if lines} == _BREAKS


_BAD = (Verdict.FAILS, Verdict.UNDECIDED)
_BREAKS = {"Deformed": ["bf16"]}  # torchvision has no kernel for it on the CPU
"""What does not fit, by the line of the contract."""
