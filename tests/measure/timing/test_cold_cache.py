"""Caches that are emptied before each timed call."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from blockzoo.core.errors import InputError
from blockzoo.core.run_way import RunWay
from blockzoo.measure.timing import clocks
from blockzoo.measure.timing.clocks import Call, Evictor, cache_bytes, cold_timer, wall_clock_timer
from blockzoo.measure.timing.preparing import Network
from blockzoo.measure.timing.session import measure_networks
from blockzoo.measure.timing.settings import LatencySettings

CPU, COLD = torch.device("cpu"), RunWay(cache="cold")
ROUNDS = LatencySettings(
    processes=0, min_rounds=4, rounds_max=4, min_seconds=0.0, warmup_max_s=0.01, min_sample_ms=0.0
)


def test_the_time_is_that_of_the_calls_alone() -> None:
    now_ns, seen = 0, ""

    def passing(name: str, took_ns: int) -> Call:
        def call() -> None:
            nonlocal now_ns, seen
            now_ns, seen = now_ns + took_ns, seen + name

        return call

    timer = cold_timer(wall_clock_timer(lambda: now_ns), passing("e", 1000))
    assert timer(passing("c", 7), 3) == 21
    assert seen == "ececec"


def test_twice_the_last_cache_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocks, "last_level_cache_bytes", lambda: 3000)
    assert cache_bytes(CPU) == 3000
    evict = Evictor(CPU)
    evict()
    assert evict.buffer.tolist() == [1] * 6000


def test_a_cache_that_is_not_told_is_taken_for_64_mib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocks, "last_level_cache_bytes", lambda: None)
    assert cache_bytes(CPU) == 64 * 2**20


def test_cold_networks_share_what_empties_the_caches_and_hot_ones_have_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Counting] = []

    class Counting:
        def __init__(self, device: torch.device) -> None:
            assert device == CPU
            self.calls = 0
            made.append(self)

        def __call__(self) -> None:
            self.calls += 1

    monkeypatch.setattr(clocks, "Evictor", Counting)
    networks = [
        Network(name="hot", model=nn.Identity(), example=torch.ones(1, 3)),
        Network(name="cold", model=nn.Identity(), example=torch.ones(1, 3), way=COLD),
        Network(name="too", model=nn.Identity(), example=torch.ones(1, 3), way=COLD),
    ]
    measure_networks(networks[:1], ROUNDS)
    assert not made
    results = measure_networks(networks, ROUNDS)
    assert [len(results[name].samples_ms) for name in ("hot", "cold", "too")] == [4, 4, 4]
    (evictor,) = made
    assert evictor.calls >= 2 * (10 + 4)  # ten calls to warm up, then one a round


def test_fresh_processes_time_cold_calls() -> None:
    network = Network(
        name="cold", model=nn.Conv2d(3, 4, 3), example=torch.ones(1, 3, 8, 8), way=COLD
    )
    settings = replace(ROUNDS, processes=1, min_rounds=3, rounds_max=3)
    result = measure_networks([network], settings)["cold"]
    assert (result.failure, len(result.samples_ms)) == (None, 3)


def test_other_caches_are_refused() -> None:
    with pytest.raises(InputError, match="cache is 'warm'; allowed: hot, cold"):
        RunWay(cache="warm")


@pytest.mark.gpu
def test_a_gpu_tells_its_cache_and_times_cold_calls() -> None:
    device = torch.device("cuda")
    assert cache_bytes(device) >= 2**20
    assert Evictor(device).buffer.numel() == 2 * cache_bytes(device)
    cold = RunWay(device="cuda", cache="cold")
    network = Network(
        name="cold", model=nn.Conv2d(3, 4, 3), example=torch.ones(1, 3, 8, 8), way=cold
    )
    result = measure_networks([network], ROUNDS)["cold"]
    assert (result.failure, len(result.samples_ms)) == (None, 4)
