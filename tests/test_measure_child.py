"""A measuring process does not outlive the process that wants its answer."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from blockzoo.measure.driver import child_environment

_START_S = 120
_END_S = 20

_MODULE = """
import sys
from pathlib import Path
import torch
from torch import nn

class Busy(nn.Module):
    def forward(self, x):
        Path(self.path).write_text("at work")
        while True:
            {work}

busy = Busy()
busy.path = sys.argv[1]
"""
_CELLS = """
from blockzoo.measure.cells import Cell, measure_cells
from blockzoo.measure.latency import LatencySettings
cell = Cell(name="busy", model=busy, example=torch.ones(1, 3))
measure_cells([cell], LatencySettings(processes=1))
"""
_MEMORY = """
from blockzoo.measure.process_memory import measured_inference_memory
measured_inference_memory(busy, (3,))
"""


@pytest.mark.parametrize(
    ("measuring", "work"),
    [(_CELLS, "pass"), (_CELLS, "torch.ones(64, 64) @ torch.ones(64, 64)"), (_MEMORY, "pass")],
    ids=["cells-python", "cells-torch", "memory"],
)
def test_a_process_at_work_ends_when_its_parent_is_killed(
    measuring: str, work: str, tmp_path: Path
) -> None:
    sign = tmp_path / "sign"
    script = tmp_path / "script.py"
    script.write_text(_MODULE.format(work=work) + measuring)
    parent = subprocess.Popen([sys.executable, str(script), str(sign)], env=child_environment())
    try:
        _wait_until_there(sign, parent)
        (child,) = psutil.Process(parent.pid).children(recursive=True)
        parent.send_signal(signal.SIGKILL)
        parent.wait(_END_S)
        gone, alive = psutil.wait_procs([child], timeout=_END_S)
        assert [each.pid for each in gone] == [child.pid]
        assert not alive
    finally:
        parent.kill()
        parent.wait()


def _wait_until_there(sign: Path, parent: subprocess.Popen[bytes]) -> None:
    for _ in range(_START_S * 10):
        if sign.exists():
            return
        assert parent.poll() is None
        time.sleep(0.1)
    raise AssertionError("the measuring process did not start")
