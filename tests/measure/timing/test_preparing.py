"""Networks prepared in a process of their own: what ends or hangs it costs one of them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from blockzoo.core.run_way import RunWay
from blockzoo.measure.machine import devices
from blockzoo.measure.timing import preparing
from blockzoo.measure.timing.events import Event, State
from blockzoo.measure.timing.preparing import Network, prepare_all
from blockzoo.measure.timing.session import measure_networks
from blockzoo.measure.timing.settings import LatencySettings

PLAIN, GATED = RunWay(), RunWay(precision="bf16")
EXAMPLE = torch.ones(1, 3)


class Gated(nn.Module):
    """A layer that is fine in fp32; what it does in bf16 is for its gate to find out."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype == torch.bfloat16:
            self.misbehave()
        answer: Tensor = self.linear(x)
        return answer

    def misbehave(self) -> None:
        pass


class Killed(Gated):
    def misbehave(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Hangs(Gated):
    def misbehave(self) -> None:
        time.sleep(60)


class Raises(Gated):
    def misbehave(self) -> None:
        raise ValueError("not in bf16")


def unprepared(name: str, model: nn.Module, options: RunWay = GATED) -> Network:
    return Network(name=name, model=model, example=EXAMPLE, way=options)


def test_each_that_fails_is_named_and_the_others_are_prepared(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(preparing, "LONGEST_S", 8.0)
    models = {"a": Gated(), "killed": Killed(), "raises": Raises(), "hangs": Hangs(), "b": Gated()}
    events: list[Event] = []
    found = prepare_all(
        [unprepared(name, model) for name, model in models.items()],
        str(tmp_path),
        listener=events.append,
    )
    assert {name: failed.reason for name, failed in found.failures.items()} == {
        "killed": "the measuring process died by SIGKILL while preparing killed",
        "raises": "ValueError: not in bf16",
        "hangs": "the measuring process was stopped after hanging for 8 s while preparing hangs",
    }
    assert "in misbehave" in (found.failures["raises"].traceback or "")
    assert sorted(found.payloads) == ["a", "b"]
    assert events == [
        State(name="a", stage="preparing"),
        State(name="a", stage="waiting"),
        State(name="killed", stage="preparing"),
        State(name="raises", stage="preparing"),
        found.failures["raises"],
        State(name="hangs", stage="preparing"),
        State(name="b", stage="preparing"),
        State(name="b", stage="waiting"),
    ]


def test_what_runs_as_it_is_is_prepared_in_this_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(preparing, "run_process", None)
    found = prepare_all([unprepared("a", Gated(), PLAIN)], str(tmp_path))
    assert (list(found.payloads), found.failures) == (["a"], {})
    here = prepare_all([unprepared("a", Gated())], str(tmp_path), here=True)
    assert (list(here.payloads), here.failures) == (["a"], {})


@pytest.mark.usefixtures("forked_workers")
def test_a_model_that_cannot_travel_fails_alone(tmp_path: Path) -> None:
    bound = Gated()
    with (tmp_path / "open").open("w") as file:
        bound.file = file  # type: ignore[assignment]
        found = prepare_all([unprepared("bound", bound), unprepared("a", Gated())], str(tmp_path))
    assert list(found.payloads) == ["a"]
    assert list(found.failures) == ["bound"]


class NeedsTheDevice(Gated):
    """Raises in a process that has lost the device."""

    def misbehave(self) -> None:
        if not devices.works("cpu"):
            raise RuntimeError("CUDA error: device-side assert triggered")


class Loses(Gated):
    """Makes its process believe that the device is gone, as a kernel on CUDA that asserts does."""

    def misbehave(self) -> None:
        devices.works = lambda device: False
        raise RuntimeError("CUDA error: device-side assert triggered")


@pytest.mark.usefixtures("forked_workers")
def test_a_gate_that_takes_its_device_with_it_costs_no_other(tmp_path: Path) -> None:
    models = {"a": NeedsTheDevice(), "loses": Loses(), "b": NeedsTheDevice()}
    found = prepare_all(
        [unprepared(name, model) for name, model in models.items()],
        str(tmp_path),
    )
    assert sorted(found.payloads) == ["a", "b"]
    assert (
        found.failures["loses"].reason == "RuntimeError: CUDA error: device-side assert triggered"
    )


@pytest.mark.usefixtures("forked_workers")
def test_a_gate_that_kills_costs_its_network_alone() -> None:
    networks = [
        Network(name="killed", model=Killed(), example=EXAMPLE, way=GATED, baseline="plain"),
        Network(name="plain", model=Killed(), example=EXAMPLE, baseline="plain"),
        Network(name="gated", model=Gated(), example=EXAMPLE, way=GATED, baseline="plain"),
    ]
    settings = LatencySettings(
        processes=1, min_rounds=4, rounds_max=4, min_seconds=0.0, warmup_max_s=0.01
    )
    results = measure_networks(networks, settings)
    assert "SIGKILL while preparing killed" in (results["killed"].failure or "")
    assert [results[name].process_counts for name in ("plain", "gated")] == [(4,), (4,)]
    assert results["gated"].ratio is not None
