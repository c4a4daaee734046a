"""Networks in one process or several: each by its own way, and faults cost one, not others."""

from __future__ import annotations

import copy
import itertools
import os
import platform
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from torch import Tensor, nn

from blockzoo.core.errors import InputError
from blockzoo.core.run_way import RunWay
from blockzoo.measure.machine import devices, hardware
from blockzoo.measure.machine.throttling import ThrottleWatch
from blockzoo.measure.timing.backends import get_backend
from blockzoo.measure.timing.events import Event, Failed, State
from blockzoo.measure.timing.preparing import Network
from blockzoo.measure.timing.session import measure_networks
from blockzoo.measure.timing.settings import LatencySettings

SETTINGS = LatencySettings(
    processes=2, min_rounds=8, rounds_max=8, min_seconds=0.0, warmup_max_s=0.01, min_sample_ms=0.01
)
HERE = replace(SETTINGS, processes=0)
EXAMPLE = torch.randn(1, 3, 8, 8)
SEEN: dict[str, list[tuple[object, ...]]] = {}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Probe(nn.Module):
    """Notes under its name how it was called; so do copies of it, in the same process."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.weight = nn.Parameter(torch.ones(1, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        is_last = x.is_contiguous(memory_format=torch.channels_last)
        modes = (self.training, torch.is_inference_mode_enabled())
        seen = (x.dtype, self.weight.dtype, is_last, len(x), torch.get_num_threads(), *modes)
        SEEN.setdefault(self.name, []).append(seen)
        return x * self.weight


class Killed(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        os.kill(os.getpid(), signal.SIGKILL)
        return x


class Hangs(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        time.sleep(60)
        return x


class Raises(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("no kernel")


class NotesPageFaults(nn.Module):
    """Allocates and frees 24 MiB per call, and writes down the page faults that this took."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def forward(self, x: Tensor) -> Tensor:
        import resource

        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        blocks = [torch.ones(3 << 20, dtype=torch.float32) for _ in range(2)]
        taken = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        self.path.write_text(str(taken))
        return x + blocks[0][0]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_freed_memory_is_kept_unless_asked_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = 2 * (12 << 20) // os.sysconf("SC_PAGE_SIZE")

    def faults(*, keep: bool) -> int:
        model = NotesPageFaults(tmp_path / "faults")
        settings = replace(SETTINGS, processes=1, keep_freed_memory=keep)
        measure_networks([Network(name="model", model=model, example=EXAMPLE)], settings)
        return int(model.path.read_text())

    assert faults(keep=True) < pages / 10
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "131072")  # glibc maps each block anew
    assert faults(keep=False) >= pages
    monkeypatch.setenv("MALLOC_MMAP_MAX_", "65536")
    assert faults(keep=True) >= pages, "the user's own settings count"


def test_modules_are_measured_together() -> None:
    models = {"a": nn.Conv2d(3, 4, 3), "b": nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())}
    networks = [Network(name=n, model=m, example=EXAMPLE, baseline="a") for n, m in models.items()]
    told: list[float] = []
    results = measure_networks(networks, HERE, progress=lambda fraction, _: told.append(fraction))
    assert list(results) == ["a", "b"]
    assert all(len(result.samples_ms) == 8 for result in results.values())
    assert all(ms > 0 for result in results.values() for ms in result.samples_ms)
    assert results["a"].verdict == "baseline"
    paired = np.array(results["b"].samples_ms) / np.array(results["a"].samples_ms)
    assert results["b"].ratio == pytest.approx(np.exp(np.median(np.log(paired))))
    assert told == [0.0, 1.0]


def test_each_may_have_its_own_baseline_or_none() -> None:
    baselines = {"a": "a", "b": "a", "c": "c", "d": None}
    results = measure_networks(
        [
            Network(name=name, model=nn.Identity(), example=EXAMPLE, baseline=baseline)
            for name, baseline in baselines.items()
        ],
        HERE,
    )
    assert [results[name].verdict for name in "ac"] == ["baseline", "baseline"]
    assert results["b"].ratio is not None
    assert results["d"].ratio is None


def test_options_reach_each_of_many_networks_in_turn() -> None:
    """Precision, layout, threads and batch change from sample to sample and are not mixed up."""
    SEEN.clear()
    before = torch.get_num_threads()
    choices = list(itertools.product(DTYPES, (False, True), (1, 2), (1, 4)))
    probes = {str(choice): Probe(str(choice)).train() for choice in choices}
    networks = [
        Network(
            name=str(choice),
            model=probes[str(choice)],
            example=torch.randn(batch_size, 3, 5, 5),
            way=RunWay(precision=precision, channels_last=channels_last, threads=threads),
        )
        for choice in choices
        for precision, channels_last, threads, batch_size in [choice]
    ]
    results = measure_networks(networks, HERE)
    for precision, channels_last, threads, batch_size in choices:
        name, dtype = str((precision, channels_last, threads, batch_size)), DTYPES[precision]
        timed = SEEN[name][-8 * 2 :]  # 8 rounds, each of a call to prepare and at least one timed
        assert set(timed) == {(dtype, dtype, channels_last, batch_size, threads, False, True)}
        assert results[name].failure is None
        median_ms = results[name].median_ms
        assert median_ms is not None
        assert results[name].throughput_images_per_s == pytest.approx(batch_size / median_ms * 1e3)
    assert torch.get_num_threads() == before
    assert all(probe.training for probe in probes.values())
    assert {probe.weight.dtype for probe in probes.values()} == {torch.float32}


def test_modules_are_left_as_they_were() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).train()
    before = copy.deepcopy(model.state_dict())
    measure_networks([Network(name="m", model=model, example=EXAMPLE)], HERE)
    assert model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_a_baseline_that_raises_costs_the_others_their_ratio_alone() -> None:
    models = {"broken": Raises(), "good": nn.Identity()}
    results = measure_networks(
        [Network(name=n, model=m, example=EXAMPLE, baseline="broken") for n, m in models.items()],
        HERE,
    )
    assert results["broken"].failure == "RuntimeError: no kernel"
    assert results["good"].median_ms is not None
    assert "no baseline" in results["good"].flags


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_absent_costs_its_networks_alone() -> None:
    cuda = RunWay(device="cuda")
    results = measure_networks(
        [
            Network(name="gpu", model=nn.Identity(), example=EXAMPLE, way=cuda),
            Network(name="cpu", model=nn.Identity(), example=EXAMPLE),
        ],
        HERE,
    )
    assert results["gpu"].failure == "device 'cuda' is not available; there is: cpu"
    assert results["cpu"].median_ms is not None


def test_a_runtime_that_is_broken_costs_its_networks_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(backend: object, device: str) -> str | None:
        raise ImportError("libruntime.so.1 cannot be opened")

    monkeypatch.setattr(type(get_backend("openvino")), "unavailable", broken)
    results = measure_networks(
        [
            Network(
                name="broken",
                model=nn.Identity(),
                example=EXAMPLE,
                way=RunWay(backend="openvino"),
            ),
            Network(name="good", model=nn.Identity(), example=EXAMPLE),
        ],
        HERE,
    )
    assert results["broken"].failure == "ImportError: libruntime.so.1 cannot be opened"
    assert results["good"].median_ms is not None


@pytest.mark.parametrize(("rise", "told"), [(1, True), (0, False)])
def test_networks_sampled_on_a_hot_processor_are_flagged(
    rise: int, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = itertools.count(step=rise)
    monkeypatch.setattr(hardware, "thermal_events", lambda: next(events))
    networks = [
        Network(name=n, model=m, example=EXAMPLE) for n, m in (("a", Sleeps()), ("b", Raises()))
    ]
    results = measure_networks(networks, HERE)
    assert ("throttled" in results["a"].flags) is told
    assert results["b"].failure == "RuntimeError: no kernel"


def test_a_network_that_takes_its_device_with_it_costs_the_others_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A made-up loss of the CPU, seen by the process that had it; the next one has it again."""
    answers = iter([True, False])
    monkeypatch.setattr(devices, "works", lambda device: next(answers, True))
    models = {"a": Sleeps(), "lost": Raises(), "b": Sleeps()}
    networks = [Network(name=n, model=m, example=EXAMPLE, baseline="a") for n, m in models.items()]
    results = measure_networks(networks, HERE)
    assert results["lost"].failure == "RuntimeError: no kernel"
    assert [results[name].failure for name in "ab"] == [None, None]
    assert [results[name].process_counts for name in "ab"] == [(8,), (8,)]


def test_where_a_device_never_worked_its_networks_fail_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(devices, "works", lambda device: False)
    networks = [
        Network(name="broken", model=Raises(), example=EXAMPLE),
        Network(name="good", model=Sleeps(), example=EXAMPLE),
    ]
    results = measure_networks(networks, HERE)
    assert results["broken"].failure == "RuntimeError: no kernel"
    assert results["good"].process_counts == (8,)


class ReadsBeyond(nn.Module):
    """Makes a kernel on CUDA assert, after which the process can compute nothing there."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten()[torch.full((1,), x.numel() + 1, device=x.device)]


@pytest.mark.gpu
def test_a_kernel_that_asserts_costs_its_network_alone() -> None:
    models = {"a": nn.Conv2d(3, 4, 3), "asserts": ReadsBeyond(), "b": nn.Conv2d(3, 4, 3)}
    cuda = RunWay(device="cuda")
    networks = [Network(name=n, model=m, example=EXAMPLE, way=cuda) for n, m in models.items()]
    results = measure_networks(networks, SETTINGS)
    assert "CUDA error" in (results["asserts"].failure or "")
    assert [results[name].failure for name in "ab"] == [None, None]
    assert [results[name].process_counts for name in "ab"] == [(8, 8), (8, 8)]


def test_samples_at_a_low_clock_are_dropped_counted_and_flagged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = itertools.count()
    monkeypatch.setattr(ThrottleWatch, "at_speed", lambda watch, device: next(asked) >= 3)
    result = measure_networks([Network(name="a", model=Sleeps(), example=EXAMPLE)], HERE)["a"]
    assert (result.dropped_samples, len(result.samples_ms)) == (3, 5)
    assert "low clock" in result.flags


def test_a_clock_that_is_always_low_fails_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ThrottleWatch, "at_speed", lambda watch, device: False)
    result = measure_networks([Network(name="a", model=Sleeps(), example=EXAMPLE)], HERE)["a"]
    assert result.failure == (
        "no sample was taken: the GPU's clock was below 75% of its default in all 8"
    )


@pytest.mark.gpu
def test_device_events_time_what_the_device_does() -> None:
    layer = nn.Conv2d(64, 64, 3, padding=1)
    models = {"one": layer, "four": nn.Sequential(*[copy.deepcopy(layer) for _ in range(4)])}
    images, cuda = torch.randn(64, 64, 64, 64), RunWay(device="cuda")
    results = measure_networks(
        [
            Network(name=name, model=model, example=images, way=cuda, baseline="one")
            for name, model in models.items()
        ],
        LatencySettings(processes=0, rounds_max=50),
    )
    assert results["four"].verdict == "slower"


@pytest.mark.usefixtures("forked_workers")
def test_faults_cost_one_network() -> None:
    models = {
        "good": nn.Conv2d(3, 4, 3),
        "killed": Killed(),
        "hangs": Hangs(),
        "raises": Raises(),
        "same": nn.Conv2d(3, 4, 3),
    }
    networks = [
        Network(name=n, model=m, example=EXAMPLE, baseline="good") for n, m in models.items()
    ]
    results = measure_networks(networks, SETTINGS, hang_s=6.0)
    failures = {name: result.failure for name, result in results.items()}
    assert failures["killed"] == ("the measuring process died by SIGKILL while checking killed")
    assert "stopped after hanging for 6 s while checking hangs" in (failures["hangs"] or "")
    assert failures["raises"] == "RuntimeError: no kernel"
    assert results["good"].process_counts == (8, 8)
    assert results["same"].ratio is not None
    assert 0 < (results["good"].overhead_fraction or 0) < 1


class Sleeps(nn.Module):
    """Takes 3 ms, so that its calls are: 1 to look, 5 to warm up in 10 ms, then 2 a round."""

    def forward(self, x: Tensor) -> Tensor:
        time.sleep(0.003)
        return x


class DiesLater(Sleeps):
    """Kills its process in the fourth round."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        if self.calls == 1 + 5 + 3 * 2 + 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(x)


@pytest.mark.usefixtures("forked_workers")
def test_a_network_that_kills_its_process_while_sampled_is_named_and_the_others_are_measured() -> (
    None
):
    models = {"good": Sleeps(), "dies": DiesLater(), "same": Sleeps()}
    networks = [
        Network(name=n, model=m, example=EXAMPLE, baseline="good") for n, m in models.items()
    ]
    results = measure_networks(networks, SETTINGS)
    assert results["dies"].failure == "the measuring process died by SIGKILL while sampling dies"
    assert results["dies"].median_ms is None
    for name in ("good", "same"):
        assert results[name].failure is None
        assert results[name].process_counts[-2:] == (8, 8)
        assert "process lost" not in results[name].flags
    assert results["same"].verdict is not None


def test_a_process_that_somebody_kills_once_is_replaced_and_flagged() -> None:
    killed: list[int] = []

    def kill_the_first(event: Event) -> None:
        if isinstance(event, State) and event.stage == "sampling" and not killed:
            # Other tests may have left workers of the compiler behind.
            children = psutil.Process().children()
            (guardian,) = (c for c in children if "core.processes" in " ".join(c.cmdline()))
            (process,) = guardian.children()
            killed.append(process.pid)
            process.kill()

    networks = [Network(name=name, model=Sleeps(), example=EXAMPLE) for name in "ab"]
    results = measure_networks(networks, SETTINGS, listener=kill_the_first)
    assert len(killed) == 1
    assert [result.failure for result in results.values()] == [None, None]
    assert all(result.process_counts[-2:] == (8, 8) for result in results.values())
    assert sum("process lost" in result.flags for result in results.values()) == 1


class OutOfMemory(nn.Module):
    def __init__(self, error: type[Exception]) -> None:
        super().__init__()
        self.error = error

    def forward(self, x: Tensor) -> Tensor:
        raise self.error("no room")


class TooLarge(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.empty(2**60)


@pytest.mark.usefixtures("forked_workers")
def test_out_of_memory_costs_one_network() -> None:
    models = {
        "python": OutOfMemory(MemoryError),
        "torch": OutOfMemory(torch.OutOfMemoryError),
        "system": TooLarge(),
        "good": Sleeps(),
    }
    networks = [Network(name=name, model=model, example=EXAMPLE) for name, model in models.items()]
    results = measure_networks(networks, replace(SETTINGS, processes=1))
    assert results["python"].failure == "MemoryError: no room"
    assert results["torch"].failure == "OutOfMemoryError: no room"
    assert "RuntimeError" in (results["system"].failure or "")
    assert "allocate" in (results["system"].failure or "")
    assert results["good"].process_counts == (8,)


class Forks(nn.Module):
    """Cannot be exported: which way it takes depends on values."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 1 if x.sum() > 0 else x


class GoneOnArrival(Sleeps):
    """Cannot be made in another process, as if what it needs had vanished in between."""

    def __init__(self) -> None:
        super().__init__()
        self.home = os.getpid()

    def __setstate__(self, state: dict[str, Any]) -> None:
        if state["home"] != os.getpid():
            raise FileNotFoundError("the weights are gone")
        super().__setstate__(state)  # type: ignore[no-untyped-call]


@pytest.mark.usefixtures("forked_workers")
def test_what_cannot_be_prepared_or_loaded_costs_one_network() -> None:
    models = {
        "unexportable": (Forks(), RunWay(backend="export")),
        "no GPU": (Sleeps(), RunWay(backend="cudagraphs")),
        "int8": (Sleeps(), RunWay(backend="openvino", precision="int8")),
        "gone": (GoneOnArrival(), RunWay()),
        "good": (Sleeps(), RunWay()),
    }
    events: list[Event] = []
    results = measure_networks(
        [
            Network(name=name, model=model, example=EXAMPLE, way=options)
            for name, (model, options) in models.items()
        ],
        replace(SETTINGS, processes=1),
        listener=events.append,
    )
    failures = {name: result.failure for name, result in results.items()}
    assert "torch.export cannot export it" in (failures["unexportable"] or "")
    assert "CUDA" in (failures["no GPU"] or "")
    assert "int8 is for onnxruntime" in (failures["int8"] or "")
    assert failures["gone"] == ("ModelError: the network cannot be unpickled: the weights are gone")
    assert all(len(str(failure).splitlines()) == 1 for failure in failures.values())
    assert failures["good"] is None
    assert results["good"].process_counts == (8,)
    failed = {event.name for event in events if isinstance(event, Failed)}
    assert failed == set(models) - {"good"}


@pytest.mark.usefixtures("forked_workers")
def test_a_budget_too_small_for_a_round_gives_three_and_says_so() -> None:
    networks = [Network(name=name, model=Sleeps(), example=EXAMPLE) for name in "ab"]
    results = measure_networks(
        networks, replace(SETTINGS, processes=1, budget_s=1e-6, rounds_max=100)
    )
    for result in results.values():
        assert result.process_counts == (3,)
        assert result.failure is None
        assert "budget" in result.flags
        assert result.median_ms is not None
        assert result.median_ms > 3


class Recorder(nn.Module):
    """Writes to a file what it is run with, from whatever process; copies may be exported."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.mix = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        with self.path.open("a") as file:
            layout = x.is_contiguous(memory_format=torch.channels_last)
            file.write(f"{x.dtype} {layout} {len(x)} {torch.get_num_threads()}\n")
        mixed: Tensor = self.mix(x)
        return mixed


def test_backends_batches_and_threads_mix_in_one_process(tmp_path: Path) -> None:
    """Options of eager networks hold in every call, whatever other backends did in between."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("openvino")
    networks, told = [], {}
    for threads, batch_size, channels_last in ((1, 2, False), (2, 1, True)):
        name = f"eager {threads}"
        told[name] = f"torch.float32 {channels_last} {batch_size} {threads}"
        options = RunWay(threads=threads, channels_last=channels_last)
        model, example = Recorder(tmp_path / name), torch.randn(batch_size, 3, 8, 8)
        networks.append(Network(name=name, model=model, example=example, way=options))
        for backend in ("export", "onnxruntime", "openvino"):
            options = RunWay(backend=backend, threads=threads)
            name = f"{backend} {threads}"
            networks.append(Network(name=name, model=model.mix, example=example, way=options))
    results = measure_networks(networks, replace(SETTINGS, processes=1))
    assert {name: result.failure for name, result in results.items()} == dict.fromkeys(results)
    assert all(result.process_counts == (8,) for result in results.values())
    for name, line in told.items():
        lines = (tmp_path / name).read_text().splitlines()
        assert set(lines) == {line}
        assert len(lines) >= 5 + 8 * 2
    assert len(results) == 8


def test_a_baseline_must_be_a_network() -> None:
    with pytest.raises(InputError, match="'z' is not measured"):
        measure_networks(
            [Network(name="a", model=Raises(), example=EXAMPLE, baseline="z")], SETTINGS
        )


class Stepwise(nn.Module):
    """Answers otherwise from its twentieth call on."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 3, H, W) to the same shape."""
        self.calls += 1
        time.sleep(0.001)
        return x * (1.0 if self.calls < 20 else 1.1)


class Remembers(nn.Module):
    """Keeps its answer to a tensor, and gives it again without looking at what is in it."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[int, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 3, H, W) to the same shape."""
        if x.data_ptr() not in self.answers:
            time.sleep(0.001)
            self.answers[x.data_ptr()] = x * 2
        return self.answers[x.data_ptr()]


@pytest.mark.usefixtures("forked_workers")
@pytest.mark.parametrize("settings", [HERE, SETTINGS], ids=["here", "processes"])
def test_a_network_whose_output_changes_is_failed_after_the_clock(
    settings: LatencySettings,
) -> None:
    models = {"good": Sleeps(), "stepwise": Stepwise(), "remembers": Remembers()}
    networks = [
        Network(name=n, model=m, example=EXAMPLE, baseline="good") for n, m in models.items()
    ]
    plan = replace(settings, min_rounds=20, rounds_max=20 * max(settings.processes, 1))
    results = measure_networks(networks, plan)
    for name in ("stepwise", "remembers"):
        failure = results[name].failure or ""
        assert failure.startswith("ParityError: its output changed while it was timed")
    assert results["good"].failure is None


class ReturnsSeveral(nn.Module):
    """Returns two tensors, and something that is none, by name."""

    def forward(self, x: Tensor) -> dict[str, object]:
        """Map (N, ...) to that."""
        return {"sum": x.sum(), "same": x, "note": "done"}


class ReturnsNan(nn.Module):
    """Is not finite for most inputs."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, ...) to the same shape."""
        return x.sqrt()


@pytest.mark.parametrize("model", [ReturnsSeveral(), ReturnsNan()])
def test_what_a_network_returns_need_not_be_one_finite_tensor(model: nn.Module) -> None:
    network = Network(name="it", model=model, example=EXAMPLE, baseline="it")
    assert measure_networks([network], HERE)["it"].failure is None
