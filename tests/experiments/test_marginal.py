"""What a block adds, from made-up samples and end to end on small networks."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

import blockzoo.cli  # noqa: F401 - adds the commands
from blockzoo.cli.app import app
from blockzoo.core.errors import BlockError, InputError
from blockzoo.core.position import Position
from blockzoo.core.run_way import RunWay
from blockzoo.experiments import marginal as room
from blockzoo.measure.machine.devices import resolve_device
from blockzoo.measure.timing.latency import LatencyResult
from blockzoo.measure.timing.preparing import Network
from blockzoo.measure.timing.settings import LatencySettings
from blockzoo.scaffold.net import ScaffoldConfig
from tests import record_samples

SMALL = ScaffoldConfig(width=8, depth=1)
FAST = LatencySettings(
    processes=0,
    min_rounds=4,
    rounds_max=4,
    min_seconds=0.0,
    warmup_calls=1,
    warmup_max_s=0.01,
    budget_s=5.0,
)


def test_a_marginal_is_the_difference_within_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    of_round = {"rounds": (0, 1, 2), "process_counts": (3,)}
    identity = record_samples.latency(
        "i", "Identity", ("mid",), samples_ms=(4.0, 14.0, 4.0), median_ms=4.0, **of_round
    )
    block = record_samples.latency(
        "b", "B", ("mid",), samples_ms=(7.0, 17.0, 7.0), median_ms=7.0, **of_round
    )
    failed = record_samples.latency("f", "F", ("mid",), status="failed", reason="no kernel")
    monkeypatch.setattr(room, "benchmark_blocks", lambda *_, **__: [identity, block, failed])
    first, second = room.marginal_latencies(["B", "F"], ["mid"])
    assert (first.block, first.position) == ("B", Position.MID)
    assert (first.marginal_ms, first.interval_ms) == (3.0, (3.0, 3.0))
    assert (first.network_ms, first.identity_ms) == (7.0, 4.0)
    assert (second.reason, second.marginal_ms) == ("no kernel", None)


def test_marginals_predict_a_network_that_is_their_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    # Base 2 ms; the stages add 1, 2 and 3 ms; the whole takes 10 ms instead of 8.
    times = {"base": 2.0, "early": 3.0, "mid": 4.0, "late": 5.0, "all": 10.0}

    def measured(networks: list[Network], *_: object, **__: object) -> dict[str, LatencyResult]:
        return {
            network.name: LatencyResult(
                samples_ms=(times[network.name.split()[-1]],) * 3,
                rounds=(0, 1, 2),
                process_counts=(3,),
                median_ms=times[network.name.split()[-1]],
            )
            for network in networks
        }

    monkeypatch.setattr(room, "measure_networks", measured)
    (found,) = room.check_additivity(["ConvBNAct"], config=SMALL)
    assert (found.predicted_ms, found.measured_ms) == (8.0, 10.0)
    assert found.error == pytest.approx(-0.2)
    assert found.error_interval == pytest.approx((-0.2, -0.2))


def test_sums_are_measured_as_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[RunWay] = []

    def measured(networks: list[Network], *_: object, **__: object) -> dict[str, LatencyResult]:
        seen.extend(network.way for network in networks)
        return {network.name: LatencyResult(failure="not here") for network in networks}

    monkeypatch.setattr(room, "measure_networks", measured)
    settings = LatencySettings(way=RunWay(device="auto", threads=2, precision="bf16", cache="cold"))
    with pytest.raises(BlockError, match="not here"):
        room.check_additivity(["ConvBNAct"], config=SMALL, settings=settings)
    device = str(resolve_device("auto"))
    asked = RunWay(device=device, threads=2, precision="bf16", cache="cold")
    assert seen == [asked] * 5


def test_real_networks_have_marginals_and_sums() -> None:
    (found,) = room.marginal_latencies(["ConvBNAct"], ["late"], config=SMALL, settings=FAST)
    assert found.reason is None
    assert found.marginal_ms is not None
    assert found.network_ms is not None
    assert found.identity_ms is not None
    (added,) = room.check_additivity(["ConvBNAct"], config=SMALL, settings=FAST)
    assert added.measured_ms > 0
    low, high = added.error_interval  # no more: how far off it is, is a matter of the load
    assert low <= high


def test_no_blocks_are_refused() -> None:
    with pytest.raises(InputError, match="no block given"):
        room.marginal_latencies([])


def test_the_command_prints_and_writes(tmp_path: Path) -> None:
    output = tmp_path / "marginal.csv"
    arguments = ["ConvBNAct", "-p", "mid", "--protocol", "quick", "--budget", "0.2"]
    result = CliRunner().invoke(
        app, ["marginal", *arguments, "--processes", "0", "--output", str(output)]
    )
    assert result.exit_code == 0, result.output
    assert "ConvBNAct" in result.stdout
    assert output.read_text().splitlines()[0].startswith("block,position,marginal_ms")
