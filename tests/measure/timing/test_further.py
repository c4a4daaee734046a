"""Size of exported files, process memory and energy, by backend; counters are made up."""

from __future__ import annotations

import io
import logging
import os
import pickle
import signal
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from blockzoo.core.run_way import RunWay
from blockzoo.measure.costs.memory import inference_memory
from blockzoo.measure.timing import energy, further
from blockzoo.measure.timing.backends import get_backend
from blockzoo.measure.timing.events import Event, State
from blockzoo.measure.timing.further import Further, run_memory
from blockzoo.measure.timing.latency import LatencyResult
from blockzoo.measure.timing.preparing import Network
from blockzoo.measure.timing.session import measure_networks
from blockzoo.measure.timing.settings import LatencySettings
from blockzoo.measure.timing.worker import PackedNetwork
from tests.measure.timing.test_energy import IDLE_W, World

pytest.importorskip("onnxruntime")
pytest.importorskip("openvino")

HERE = LatencySettings(
    processes=0, min_rounds=3, rounds_max=3, min_seconds=0.0, warmup_max_s=0.01, min_sample_ms=0.01
)
INT8 = RunWay(backend="onnxruntime", precision="int8")
_WEIGHTS = 4 * 1024 * 4096
"""Bytes of one of the two layers below."""
_SLACK = 6_000_000


def wide() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Linear(1024, 4096, bias=False), nn.ReLU(), nn.Linear(4096, 1024, bias=False)
    return nn.Sequential(*layers).eval()


def packed(model: nn.Module, example: Tensor, way: RunWay) -> PackedNetwork:
    payload = get_backend(way.backend).prepare(model, example, way)
    return PackedNetwork(name="net", payload=payload, example=example, way=way)


def test_exported_files_hold_the_weights_and_in_int8_a_quarter() -> None:
    net, example = wide(), torch.randn(1, 1024)

    def size(backend: str, precision: str = "fp32") -> int | None:
        way = RunWay(backend=backend, precision=precision)
        return get_backend(backend).exported_bytes(packed(net, example, way).payload)

    small = 100_000  # structure, scales of channels
    for backend in ("export", "onnxruntime", "openvino"):
        assert 2 * _WEIGHTS <= (size(backend) or 0) <= 2 * _WEIGHTS + small
    assert _WEIGHTS / 2 <= (size("onnxruntime", "int8") or 0) <= _WEIGHTS / 2 + small
    assert size("eager") is None


def test_the_size_of_openvinos_pair_is_of_both_files_and_not_of_what_holds_them() -> None:
    payload = pickle.dumps((b"x" * 10, b"w" * 32))
    assert get_backend("openvino").exported_bytes(payload) == 42
    assert get_backend("onnxruntime").exported_bytes(b"x" * 7) == 7
    assert get_backend("compile").exported_bytes(b"x" * 7) is None


@pytest.mark.parametrize("backend", ["eager", "onnxruntime"])
def test_a_process_holds_the_weights_and_at_its_peak_the_activations(backend: str) -> None:
    example = torch.randn(512, 1024)
    rise = run_memory(packed(wide(), example, RunWay(backend=backend, batch_size=512)))
    # Input, hidden layer and its ReLU are there together, or the last two with the output; what a
    # runtime does in place it may save.
    hidden, ends = 512 * 4096 * 4, 512 * 1024 * 4
    least, most = 2 * _WEIGHTS + hidden + ends, 2 * _WEIGHTS + 2 * hidden + 2 * ends
    assert least - _SLACK <= rise <= most + _SLACK
    if backend == "eager":
        by_shapes = inference_memory(wide(), (1024,), 512).peak_bytes
        assert abs(rise - by_shapes) < _SLACK


def test_int8_holds_less_than_fp32() -> None:
    net, example = wide(), torch.randn(1, 1024)
    fp32, int8 = (
        run_memory(packed(net, example, way)) for way in (RunWay(backend="onnxruntime"), INT8)
    )
    assert fp32 >= 2 * _WEIGHTS - _SLACK
    assert int8 <= _WEIGHTS / 2 + _SLACK


class Killed(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        os.kill(os.getpid(), signal.SIGKILL)
        return x


@pytest.mark.usefixtures("forked_workers")
def test_memory_that_cannot_be_had_leaves_the_latency_and_says_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    timed = LatencyResult(median_ms=1.0)
    killed = packed(Killed(), torch.ones(1, 3), RunWay())
    with caplog.at_level(logging.WARNING):
        assert further.measured_further(timed, killed, Further(memory=True)) == timed
    assert caplog.messages == [
        "memory of batch 1, fp32, eager, 1 thread(s), cpu was not measured: the measuring process "
        "died by SIGKILL"
    ]


def test_on_cuda_and_unasked_no_process_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(further, "Worker", None)
    timed, network = LatencyResult(median_ms=1.0), packed(nn.ReLU(), torch.ones(1, 3), RunWay())
    on_cuda = replace(network, way=RunWay(device="cuda:0"))
    assert further.measured_further(timed, network, Further()) == timed
    assert further.measured_further(timed, on_cuda, Further(memory=True)) == timed
    monkeypatch.setattr(further, "find_counter", lambda device: None)
    assert further.measured_further(timed, network, Further(energy=True)) == timed


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """20 W idle, 50 W while any backend's timed call runs, which takes 0.25 s of its clock."""
    world = World()
    clock = SimpleNamespace(perf_counter=lambda: world.now_s, sleep=world.sleep)
    monkeypatch.setattr(energy, "time", clock)
    for module in (energy, further):
        monkeypatch.setattr(module, "find_counter", lambda device: world)
    original = get_backend

    def counted(name: str) -> Any:
        def load(*given: Any) -> Any:
            loaded = original(name).load(*given)
            inner: Callable[[], object] = loaded.call

            def call() -> None:
                inner()
                world.call()

            loaded.call = call
            return loaded

        return SimpleNamespace(load=load, prepare=original(name).prepare)

    monkeypatch.setattr(energy, "get_backend", counted)
    return world


JOULES = (50.0 - IDLE_W) * 0.25 / 2
"""For an image of two a call."""


def test_every_backend_has_energy_by_the_counter(world: World) -> None:
    net, example = nn.Conv2d(3, 4, 3).eval(), torch.randn(2, 3, 8, 8)
    ways = [
        *RunWay().crossed(backends=["eager", "onnxruntime", "openvino"]),
        INT8,
        RunWay(cache="cold"),
    ]
    networks = [
        Network(name=f"{number}", model=net, example=example, way=way)
        for number, way in enumerate(ways)
    ]
    heard: list[Event] = []
    results = measure_networks(networks, HERE, further=Further(energy=True), listener=heard.append)
    assert [result.failure for result in results.values()] == [None] * 5
    *hot, cold = results.values()
    assert [each.energy_j_per_image for each in hot] == [pytest.approx(JOULES)] * 4
    assert [each.energy_counter for each in hot] == ["made up"] * 4
    assert [each.energy_repetitions_j for each in hot] == [pytest.approx((JOULES,) * 3)] * 4
    # Emptying the caches would be most of it.
    assert (cold.energy_j_per_image, cold.energy_counter) == (None, None)
    stages = [event.name for event in heard if isinstance(event, State) and event.stage == "energy"]
    assert stages == ["0", "1", "2", "3"]
    sizes = [result.exported_bytes for result in results.values()]
    assert [size is None for size in sizes] == [True, False, False, False, True]
    assert all(result.process_memory_bytes is None for result in results.values())


def test_with_processes_energy_has_one_of_its_own_which_reuses_memory_as_the_timing_did(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    environments: list[dict[str, str]] = []

    def inline(function: Any, network: PackedNetwork, environment: dict[str, str]) -> Any:
        environments.append(environment)
        return function(network)

    monkeypatch.setattr(further, "_in_fresh_process", inline)
    network = packed(nn.ReLU(), torch.ones(2, 3), RunWay(backend="onnxruntime", batch_size=2))
    result = further.measured_further(LatencyResult(), network, Further(energy=True))
    assert result.energy_j_per_image == pytest.approx(JOULES)
    assert environments == [{"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40)}]


def test_a_saved_program_is_as_large_as_its_file() -> None:
    payload = packed(nn.Linear(3, 3), torch.ones(1, 3), RunWay(backend="export")).payload
    assert get_backend("export").exported_bytes(payload) == len(payload)
    assert torch.export.load(io.BytesIO(payload)) is not None
