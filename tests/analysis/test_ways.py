"""Ratios between ways of running one network, from made-up samples and from a real session."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from blockzoo.analysis.ways import WayRatio, references_of, way_ratios
from blockzoo.core.run_way import RunWay
from blockzoo.experiments.benchmark import benchmark_blocks
from blockzoo.measure.timing.settings import LatencySettings
from blockzoo.results.records import LatencyRecord
from blockzoo.scaffold.net import ScaffoldConfig
from blockzoo.stats.paired_rounds import mean_ratio, ratios_by_process
from tests import record_samples

DRIFTING_MS = (4.0, 8.0, 6.0)
"""One value a round: the machine slows down and recovers, for whatever runs in that round."""


def timed(backend: str, factor: float, **changes: Any) -> LatencyRecord:
    """Three processes of three rounds, of `factor` times the drifting milliseconds."""
    name = f"{backend} {abs(hash(str(changes)))}"
    given: dict[str, Any] = {
        "samples_ms": tuple(factor * ms for ms in DRIFTING_MS) * 3,
        "rounds": (0, 1, 2) * 3,
        "process_counts": (3, 3, 3),
        "calls_per_sample": (1, 1, 1),
        "median_ms": 6.0 * factor,
        "session": "s",
        "flags": (),
        **changes,
    }
    return record_samples.latency(name, backend=backend, **given)


EAGER = timed("eager", 2.0)
ONNX = timed("onnxruntime", 1.5)
INT8 = timed("onnxruntime", 0.6, precision="int8")


def found(*records: LatencyRecord) -> dict[tuple[str, str], WayRatio]:
    names = ["backend", "precision"]
    return {
        (each.way.label(names), each.reference.label(names)): each for each in way_ratios(records)
    }


def test_int8_is_against_fp32_of_its_backend_and_all_against_eager() -> None:
    ratios = found(EAGER, ONNX, INT8)
    assert {pair: round(each.ratio or 0, 12) for pair, each in ratios.items()} == {
        ("fp32, onnxruntime", "fp32, eager"): 0.75,
        ("int8, onnxruntime", "fp32, onnxruntime"): 0.4,
        ("int8, onnxruntime", "fp32, eager"): 0.3,
    }
    # What is common to a round cancels: rounds differ by a factor of two, ratios not at all.
    assert all(each.interval == pytest.approx((each.ratio,) * 2) for each in ratios.values())
    assert {each.verdict for each in ratios.values()} == {"faster"}


@pytest.mark.parametrize(("factor", "verdict"), [(1.5, "same"), (1.6, "slower"), (1.4, "faster")])
def test_the_verdict_is_that_between_blocks(factor: float, verdict: str) -> None:
    (ratio,) = way_ratios([ONNX, timed("openvino", factor)])
    assert (ratio.verdict, ratio.verdict_reason) == (verdict, "")


def test_an_interval_is_over_processes() -> None:
    """Ratios of 0.9, 1.0 and 1.1 in three processes: t(2) = 4.303 on their logarithms."""
    uneven = [f * 1.5 * ms for f in (0.9, 1.0, 1.1) for ms in DRIFTING_MS]
    (ratio,) = way_ratios([ONNX, timed("openvino", 1.5, samples_ms=tuple(uneven))])
    logs = [math.log(f) for f in (0.9, 1.0, 1.1)]
    mean = sum(logs) / 3
    reach = 4.302653 * math.sqrt(sum((x - mean) ** 2 for x in logs) / 2 / 3)
    assert ratio.ratio == pytest.approx(math.exp(mean))
    assert ratio.interval == pytest.approx(
        (math.exp(mean - reach), math.exp(mean + reach)), rel=1e-5
    )
    assert ratio.verdict == "undecided"


@pytest.mark.parametrize(
    "other",
    [
        timed("onnxruntime", 1.5, session="another"),
        timed("onnxruntime", 1.5, block="B"),
        timed("onnxruntime", 1.5, positions=("late",)),
        timed("onnxruntime", 1.5, batch_size=2),
        timed("onnxruntime", 1.5, device="cuda:0"),
        timed("onnxruntime", 1.5, status="failed", median_ms=None),
        timed("eager", 1.5, session=""),
    ],
    ids=["session", "block", "position", "batch", "device", "failed", "not kept"],
)
def test_only_one_network_within_one_session_is_compared(other: LatencyRecord) -> None:
    assert way_ratios([EAGER, other]) == []


def test_without_calls_per_sample_a_near_ratio_has_no_verdict_and_says_why() -> None:
    older = {"calls_per_sample": ()}
    (near,) = way_ratios([timed("eager", 2.0, **older), timed("openvino", 1.5)])
    assert (near.ratio, near.verdict) == (0.75, "undecided")
    assert near.verdict_reason == "of how many calls its samples are means was not kept"
    (far,) = way_ratios([timed("eager", 2.0, **older), timed("openvino", 0.5)])
    assert far.verdict == "faster"
    (unlike,) = way_ratios([EAGER, timed("openvino", 1.5, calls_per_sample=(2, 2, 2))])
    assert unlike.verdict_reason.startswith("its samples are means of more or fewer calls")


def test_one_process_gives_no_verdict() -> None:
    def alone(backend: str, factor: float) -> LatencyRecord:
        samples = tuple(factor * ms for ms in DRIFTING_MS)
        one: dict[str, Any] = {"process_counts": (3,), "rounds": (0, 1, 2)}
        return timed(backend, factor, samples_ms=samples, calls_per_sample=(1,), **one)

    (ratio,) = way_ratios([alone("eager", 1.0), alone("openvino", 0.5)])
    assert (ratio.ratio, ratio.verdict) == (0.5, "undecided")
    assert ratio.verdict_reason.startswith("1 process")


def test_processes_that_were_lost_leave_the_reason() -> None:
    short = timed("openvino", 0.5, process_counts=(3, 3), rounds=(0, 1, 2) * 2)
    (ratio,) = way_ratios([EAGER, short.model_copy(update={"samples_ms": (1.0,) * 6})])
    assert (ratio.ratio, ratio.interval, ratio.verdict) == (None, None, None)
    assert ratio.verdict_reason == "networks were sampled in different numbers of processes"


def test_without_eager_the_first_backend_is_the_reference() -> None:
    ways = [RunWay(backend="openvino"), RunWay(backend="onnxruntime")]
    assert references_of(ways[0], ways) == []
    assert references_of(ways[1], ways) == [ways[0]]


def test_a_reference_is_the_same_for_every_block_of_a_session() -> None:
    failed = timed("eager", 1.0, block="B", status="failed", median_ms=None, reason="no")
    others = [timed(name, 1.0, block="B") for name in ("onnxruntime", "openvino")]
    # Against each other they would be B's, while those of A are against eager.
    assert way_ratios([failed, *others]) == []


def test_caches_threads_and_forms_are_ways_too() -> None:
    ways = RunWay().crossed(threads=[2, 1], caches=["hot", "cold"])
    cold = replace(RunWay(cache="cold"), threads=2)
    names = ["threads", "cache"]
    assert [each.label(names) for each in references_of(cold, ways)] == [
        "1 thread(s), cold caches",
        "2 thread(s)",
        "1 thread(s)",
    ]


def test_of_a_real_session_it_is_what_the_session_says_of_two_blocks() -> None:
    config = ScaffoldConfig(context="Identity", depth=1, width=4, input_shape=(3, 8, 8))
    settings = LatencySettings(
        processes=0, min_rounds=6, rounds_max=6, min_seconds=0, warmup_max_s=0.01
    )
    ways = RunWay().crossed(backends=["eager", "export"])
    records = benchmark_blocks(
        ["Identity", "ConvBNAct"], ["mid"], config=config, settings=settings, ways=ways
    )
    base, exported_base, other, _ = records
    ratio, interval = mean_ratio(ratios_by_process(other, base))
    assert ratio == pytest.approx(other.ratio)
    assert interval == pytest.approx(other.ratio_interval)
    assert len(base.calls_per_sample) == 1
    of_ways = way_ratios(records)
    assert [(each.block, each.way.backend, each.reference.backend) for each in of_ways] == [
        ("Identity", "export", "eager"),
        ("ConvBNAct", "export", "eager"),
    ]
    expected, _ = mean_ratio(ratios_by_process(exported_base, base))
    assert of_ways[0].ratio == pytest.approx(expected)
    assert of_ways[0].verdict == "undecided"
