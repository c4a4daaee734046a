"""A measuring process warms a GPU up, and does not outlive who wants its answer."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from blockzoo.core.processes import child_environment
from blockzoo.core.run_way import RunWay
from blockzoo.measure.timing.settings import SamplingPlan
from blockzoo.measure.timing.worker import ChildTask, PackedNetwork, plan_for

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
from blockzoo.measure.timing.session import measure_networks
from blockzoo.measure.timing.preparing import Network
from blockzoo.measure.timing.settings import LatencySettings
network = Network(name="busy", model=busy, example=torch.ones(1, 3))
measure_networks([network], LatencySettings(processes=1))
"""
_MEMORY = """
from blockzoo.measure.costs.process_memory import measured_inference_memory
measured_inference_memory(busy, (3,))
"""


@pytest.mark.parametrize(
    ("measuring", "work"),
    [(_CELLS, "pass"), (_CELLS, "torch.ones(64, 64) @ torch.ones(64, 64)"), (_MEMORY, "pass")],
    ids=["networks-python", "networks-torch", "memory"],
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
        guardian, child = psutil.Process(parent.pid).children(recursive=True)
        parent.send_signal(signal.SIGKILL)
        parent.wait(_END_S)
        gone, alive = psutil.wait_procs([guardian, child], timeout=_END_S)
        assert {each.pid for each in gone} == {guardian.pid, child.pid}
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


@pytest.mark.parametrize(
    ("devices", "least_and_most_s", "expected"),
    [
        (("cpu", "cpu"), (0.0, 0.5), (0.0, 0.5)),
        (("cpu", "cuda:0"), (0.0, 0.5), (1.0, 1.0)),
        (("cuda",), (0.2, 5.0), (1.0, 5.0)),
        (("cuda",), (2.0, 5.0), (2.0, 5.0)),
    ],
)
def test_a_gpu_is_warmed_up_for_a_second_at_least(
    devices: tuple[str, ...], least_and_most_s: tuple[float, float], expected: tuple[float, float]
) -> None:
    networks = tuple(
        PackedNetwork(
            name=str(index), payload=b"", example=torch.ones(1), way=RunWay(device=device)
        )
        for index, device in enumerate(devices)
    )
    plan = SamplingPlan(warmup_min_s=least_and_most_s[0], warmup_max_s=least_and_most_s[1], seed=5)
    task = ChildTask(networks=networks, plan=plan, baselines={}, mark_path="")
    plan = plan_for(task)
    assert (plan.warmup_min_s, plan.warmup_max_s) == expected
    assert plan.seed == 5
