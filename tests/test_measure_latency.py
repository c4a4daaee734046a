"""What samples say (by hand), and that modules are timed as the settings say."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from blockzoo.errors import DeviceError, InputError
from blockzoo.measure.latency import LatencySettings, measure_latency, summarize
from blockzoo.measure.sampling import CellSamples

FEW: dict[str, Any] = {
    "min_rounds": 4,
    "rounds_max": 4,
    "min_seconds": 0.0,
    "warmup_max_s": 0.01,
    "min_sample_ms": 0.01,
}


def cell(*milliseconds: float, **fields: Any) -> CellSamples:
    return CellSamples(
        samples_ns=tuple(ms * 1e6 for ms in milliseconds),
        rounds=tuple(range(len(milliseconds))),
        **{"converged": True, **fields},
    )


class Probe(nn.Module):
    """Remembers how it was called; copies of it share the memory."""

    def __init__(self, seen: list[tuple[object, ...]]) -> None:
        super().__init__()
        self.seen = seen
        self.weight = nn.Parameter(torch.ones(1, 3, 1, 1))

    def __deepcopy__(self, memo: dict[int, object]) -> Probe:
        twin = Probe(self.seen)
        twin.train(self.training)
        return twin

    def forward(self, x: Tensor) -> Tensor:
        is_last = x.is_contiguous(memory_format=torch.channels_last)
        modes = (self.training, torch.is_inference_mode_enabled())
        self.seen.append((x.dtype, self.weight.dtype, is_last, torch.get_num_threads(), *modes))
        return x * self.weight


class Broken(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("no kernel for this")


def test_statistics_of_five_samples() -> None:
    result = summarize([cell(10, 30, 20, 50, 40)], batch_size=8)
    assert result.samples_ms == (10, 30, 20, 50, 40)
    assert result.median_ms == 30
    assert result.iqr_ms == 20
    assert result.std_ms == pytest.approx(250**0.5)
    assert result.throughput_images_per_s == pytest.approx(8 / 0.030)
    assert (result.p90_ms, result.p99_ms) == (None, None)
    assert result.interval_ms is not None
    assert 10 <= result.interval_ms[0] < 30 < result.interval_ms[1] <= 50
    assert (result.ratio, result.ratio_interval, result.verdict) == (None, None, None)


@pytest.mark.parametrize(
    ("count", "has_p90", "has_p99"),
    [(43, False, False), (44, True, False), (458, True, False), (459, True, True)],
)
def test_percentiles_need_enough_samples(count: int, has_p90: bool, has_p99: bool) -> None:
    result = summarize([cell(*range(1, count + 1))])
    assert (result.p90_ms is not None, result.p99_ms is not None) == (has_p90, has_p99)
    if has_p99:
        assert result.p90_ms == pytest.approx(1 + 0.90 * 458)
        assert result.p99_ms == pytest.approx(1 + 0.99 * 458)


def test_one_sample_has_no_deviation() -> None:
    result = summarize([cell(10)])
    assert (result.median_ms, result.std_ms, result.interval_ms) == (10, None, (10, 10))


def test_ratio_is_paired_by_round() -> None:
    """The baseline varies by ten; the ratio within a round does not."""
    baseline = [10.0 * (i + 1) for i in range(20)]
    other = [0.8 * ms for ms in baseline]
    result = summarize([cell(*other)], [cell(*baseline)])
    assert result.ratio == pytest.approx(0.8)
    assert result.ratio_interval == pytest.approx((0.8, 0.8))
    assert result.verdict == "faster"


def test_the_baseline_is_marked() -> None:
    samples = cell(10, 11, 12)
    result = summarize([samples], [samples], is_baseline=True)
    assert (result.ratio, result.ratio_interval, result.verdict) == (1.0, (1.0, 1.0), "baseline")


def test_processes_are_paired_each_with_its_own() -> None:
    slow, fast = cell(*[20.0] * 6), cell(*[10.0] * 6)
    result = summarize([slow, fast], [slow, fast])
    assert result.ratio == 1.0
    assert result.verdict == "same"
    assert result.median_ms == 15
    assert result.interval_ms is not None
    assert result.interval_ms[0] < 10 < 20 < result.interval_ms[1]
    assert result.process_counts == (6, 6)


def test_a_failed_cell_says_why_and_nothing_more() -> None:
    failed = cell(10, 11, failure="RuntimeError: gone", traceback="Traceback ...")
    result = summarize([cell(10, 11), failed], [cell(10, 11)] * 2)
    assert result.failure == "RuntimeError: gone"
    assert result.traceback == "Traceback ..."
    assert result.samples_ms == (10, 11, 10, 11)
    assert (result.median_ms, result.ratio, result.verdict) == (None, None, None)


def test_a_failed_baseline_is_flagged() -> None:
    result = summarize([cell(10, 10, 10)], [cell(10, failure="RuntimeError: gone")])
    assert result.flags == ("no baseline",)
    assert (result.median_ms, result.ratio, result.verdict) == (10, None, None)


@pytest.mark.parametrize(
    ("samples", "flags"),
    [
        (cell(*[10.0] * 9), ()),
        (cell(*[8.0, 10.0, 12.0] * 3), ("noisy", "wide")),
        (cell(*[10.0] * 3, *[10.2] * 3, *[10.6] * 3), ("drift", "wide")),
        (cell(*[10.6] * 3, *[10.2] * 3, *[10.0] * 3), ("drift", "wide")),
        (cell(*[10.0] * 3, *[10.2] * 3, *[10.4] * 3), ("wide",)),
        (cell(*[10.0] * 3, *[10.05] * 3, *[10.1] * 3), ()),
        (cell(*[0.9] * 9), ("under 1 ms",)),
        (cell(*[10.0] * 9, converged=False), ("budget",)),
        (cell(10.0, 10.0), ("too short",)),
    ],
)
def test_flags(samples: CellSamples, flags: tuple[str, ...]) -> None:
    assert summarize([samples]).flags == flags


def test_modules_are_measured_together() -> None:
    models = {"a": nn.Linear(4, 4), "b": nn.Sequential(nn.Linear(4, 4), nn.ReLU())}
    told: list[float] = []
    results = measure_latency(
        models,
        torch.randn(1, 4),
        settings=LatencySettings(**FEW),
        baseline="a",
        progress=lambda fraction, _: told.append(fraction),
    )
    assert list(results) == ["a", "b"]
    assert all(len(result.samples_ms) == 4 for result in results.values())
    assert all(ms > 0 for result in results.values() for ms in result.samples_ms)
    assert results["a"].verdict == "baseline"
    paired = np.array(results["b"].samples_ms) / np.array(results["a"].samples_ms)
    assert results["b"].ratio == pytest.approx(np.median(paired))
    assert told[-1] == 1.0


def test_each_may_have_its_own_baseline_or_none() -> None:
    models = {name: nn.Identity() for name in "abcd"}
    results = measure_latency(
        models,
        torch.randn(1, 4),
        settings=LatencySettings(**FEW),
        baseline={"a": "a", "b": "a", "c": "c"},
    )
    assert [results[name].verdict for name in "ac"] == ["baseline", "baseline"]
    assert results["b"].ratio is not None
    assert results["d"].ratio is None


@pytest.mark.parametrize(
    ("precision", "channels_last", "threads"),
    list(itertools.product(("fp32", "bf16"), (False, True), (1, 2))),
)
def test_settings_reach_the_module(precision: Any, channels_last: bool, threads: int) -> None:
    seen: list[tuple[object, ...]] = []
    before = torch.get_num_threads()
    settings = LatencySettings(
        **FEW, precision=precision, channels_last=channels_last, threads=threads
    )
    probe = Probe(seen).train()
    measure_latency({"probe": probe}, torch.randn(1, 3, 5, 5), settings=settings)
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    assert set(seen) == {(dtype, dtype, channels_last, threads, False, True)}
    assert torch.get_num_threads() == before
    assert probe.training
    assert probe.weight.dtype == torch.float32


def test_modules_are_left_as_they_were() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).train()
    before = copy.deepcopy(model.state_dict())
    measure_latency({"m": model}, torch.randn(1, 3, 4, 4), settings=LatencySettings(**FEW))
    assert model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_a_module_that_raises_does_not_stop_the_others() -> None:
    results = measure_latency(
        {"broken": Broken(), "good": nn.Identity()},
        torch.randn(1, 4),
        settings=LatencySettings(**FEW),
        baseline="broken",
    )
    assert results["broken"].failure == "RuntimeError: no kernel for this"
    assert results["good"].median_ms is not None
    assert "no baseline" in results["good"].flags


def test_the_example_must_have_the_batch_size() -> None:
    with pytest.raises(InputError, match="example holds 2 images, settings 1"):
        measure_latency({"a": nn.Identity()}, torch.randn(2, 4))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_absent_is_refused() -> None:
    with pytest.raises(DeviceError, match="cuda"):
        measure_latency(
            {"a": nn.Identity()}, torch.randn(1, 4), settings=LatencySettings(device="cuda")
        )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0; it must be 1 or more"),
        ({"threads": 0}, "threads is 0"),
        ({"precision": "fp8"}, "precision is 'fp8'; allowed: fp32, bf16, fp16, int8"),
        ({"parity_tolerance": -1.0}, "parity_tolerance is -1.0; it must be 0 or more"),
        ({"min_rounds": 0}, "min_rounds is 0"),
    ],
)
def test_settings_that_cannot_work_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        LatencySettings(**values)


@pytest.mark.gpu
def test_device_events_time_what_the_device_does() -> None:
    layer = nn.Conv2d(64, 64, 3, padding=1)
    models = {"one": layer, "four": nn.Sequential(*[copy.deepcopy(layer) for _ in range(4)])}
    results = measure_latency(
        models,
        torch.randn(64, 64, 64, 64),
        settings=LatencySettings(device="cuda", batch_size=64, rounds_max=50),
        baseline="one",
    )
    assert results["four"].verdict == "slower"
