"""What samples say, by hand, and which settings are refused."""

from __future__ import annotations

from typing import Any

import pytest

from blockzoo.core.errors import InputError
from blockzoo.measure.timing.latency import LatencyResult, summarize
from blockzoo.measure.timing.settings import LatencySettings
from blockzoo.stats.paired_rounds import NetworkSamples
from tests.shown_cells import SCRIPT, cells_of


def network(*milliseconds: float, **fields: Any) -> NetworkSamples:
    return NetworkSamples(
        samples_ns=tuple(ms * 1e6 for ms in milliseconds),
        rounds=tuple(range(len(milliseconds))),
        **{"converged": True, **fields},
    )


def test_statistics_of_five_samples() -> None:
    result = summarize([network(10, 30, 20, 50, 40)], batch_size=8)
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
    result = summarize([network(*range(1, count + 1))])
    assert (result.p90_ms is not None, result.p99_ms is not None) == (has_p90, has_p99)
    if has_p99:
        assert result.p90_ms == pytest.approx(1 + 0.90 * 458)
        assert result.p99_ms == pytest.approx(1 + 0.99 * 458)


def test_one_sample_has_no_deviation() -> None:
    result = summarize([network(10)])
    assert (result.median_ms, result.std_ms, result.interval_ms) == (10, None, (10, 10))


def test_no_interval_of_a_latency_goes_below_zero() -> None:
    result = summarize([network(1.0), network(5.0)], batch_size=1)
    assert result.interval_ms is not None
    # By Student's t with one degree of freedom: 3 -+ 12.7 * 2.
    assert result.interval_ms[0] == 0.0
    assert result.interval_ms[1] == pytest.approx(28.41, abs=0.01)


def test_ratio_is_paired_by_round() -> None:
    """The baseline varies by ten; the ratio within a round does not."""
    baseline = [10.0 * (i + 1) for i in range(20)]
    other = [0.8 * ms for ms in baseline]
    result = summarize([network(*other)], [network(*baseline)])
    assert result.ratio == pytest.approx(0.8)
    assert result.ratio_interval == pytest.approx((0.8, 0.8))
    assert result.verdict == "undecided"
    assert result.verdict_reason.startswith("1 process")


def test_three_processes_have_a_verdict_of_the_interval_over_them() -> None:
    baseline = network(*[10.0] * 8)
    faster = summarize([network(*[ms] * 8) for ms in (7.9, 8.0, 8.1)], [baseline] * 3)
    assert (faster.verdict, faster.verdict_reason) == ("faster", "")
    # Student's t of three logarithms: 4.303 of their standard error, 0.007217.
    assert faster.ratio == pytest.approx((0.79 * 0.8 * 0.81) ** (1 / 3))
    low, high = faster.ratio_interval or (0.0, 0.0)
    assert (low, high) == pytest.approx((0.77552, 0.82519), abs=1e-4)
    assert (low * high) ** 0.5 == pytest.approx(faster.ratio)
    apart = summarize([network(*[ms] * 8) for ms in (9.0, 8.0, 10.0)], [baseline] * 3)
    assert apart.verdict == "undecided"
    assert apart.verdict_reason == "the interval is neither within 0.5% of 1 nor beyond it"


def test_medians_that_say_otherwise_leave_it_undecided() -> None:
    """In the rounds that both have the network is faster, and in all others far slower."""
    ours = network(*[9.0] * 5, *[30.0] * 6)
    theirs = network(*[10.0] * 5)
    result = summarize([ours] * 3, [theirs] * 3)
    assert result.ratio == pytest.approx(0.9)
    assert result.verdict == "undecided"
    assert result.verdict_reason == "the medians say otherwise: their ratio is 3.000"


def test_noisy_samples_under_a_millisecond_leave_it_undecided() -> None:
    ours, theirs = network(*[0.4, 0.5, 0.6] * 5), network(*[0.8, 1.0, 1.2] * 5)
    result = summarize([ours] * 3, [theirs] * 3)
    assert result.ratio_interval == pytest.approx((0.5, 0.5))
    assert (result.verdict, result.verdict_reason) == ("undecided", "noisy and under 1 ms")


def test_means_of_different_numbers_of_calls_leave_it_undecided() -> None:
    ours, theirs = network(*[9.0] * 9, calls_per_sample=4), network(*[10.0] * 9)
    result = summarize([ours] * 3, [theirs] * 3)
    assert result.verdict == "undecided"
    assert result.verdict_reason.startswith("its samples are means of more or fewer calls")


def test_the_baseline_is_marked() -> None:
    samples = network(10, 11, 12)
    result = summarize([samples], [samples], is_baseline=True)
    assert (result.ratio, result.ratio_interval, result.verdict) == (1.0, (1.0, 1.0), "baseline")


def test_processes_are_paired_each_with_its_own() -> None:
    slow, fast = network(*[20.0] * 6), network(*[10.0] * 6)
    result = summarize([slow, fast, slow], [slow, fast, slow])
    assert result.ratio == 1.0
    assert result.verdict == "same"
    assert result.median_ms == pytest.approx(50 / 3)
    assert result.interval_ms is not None
    assert result.interval_ms[0] < 10 < 20 < result.interval_ms[1]
    assert result.process_counts == (6, 6, 6)


def test_a_failed_network_says_why_and_nothing_more() -> None:
    failed = network(10, 11, failure="RuntimeError: gone", traceback="Traceback ...")
    result = summarize([network(10, 11), failed], [network(10, 11)] * 2)
    assert result.failure == "RuntimeError: gone"
    assert result.traceback == "Traceback ..."
    assert result.samples_ms == (10, 11, 10, 11)
    assert (result.median_ms, result.ratio, result.verdict) == (None, None, None)


def test_a_failed_baseline_is_flagged() -> None:
    result = summarize([network(10, 10, 10)], [network(10, failure="RuntimeError: gone")])
    assert result.flags == ("no baseline",)
    assert (result.median_ms, result.ratio, result.verdict) == (10, None, None)


@pytest.mark.parametrize(
    ("samples", "flags"),
    [
        (network(*[10.0] * 9), ()),
        (network(*[8.0, 10.0, 12.0] * 3), ("noisy", "wide")),
        (network(*[10.0] * 3, *[10.2] * 3, *[10.6] * 3), ("drift", "wide")),
        (network(*[10.6] * 3, *[10.2] * 3, *[10.0] * 3), ("drift", "wide")),
        (network(*[10.0] * 3, *[10.2] * 3, *[10.4] * 3), ("drift", "wide")),
        (network(*[10.0] * 3, *[10.05] * 3, *[10.09] * 3), ()),
        (network(*[10.0, 10.6] * 5), ("wide",)),
        (network(*[0.9] * 9), ("under 1 ms",)),
        (network(*[10.0] * 9, converged=False), ("budget",)),
        (network(10.0, 10.0), ("too short",)),
    ],
)
def test_flags(samples: NetworkSamples, flags: tuple[str, ...]) -> None:
    assert summarize([samples]).flags == flags


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"processes": -1}, "processes is -1; it must be 0 or more"),
        ({"parity_tolerance": -1.0}, "parity_tolerance is -1.0; it must be 0 or more"),
        ({"min_rounds": 0}, "min_rounds is 0"),
    ],
)
def test_settings_that_cannot_work_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        LatencySettings(**values)


def test_a_result_shows_itself_in_a_line_and_a_table() -> None:
    result = LatencyResult(
        median_ms=2.0, interval_ms=(1.9, 2.1), ratio=0.5, ratio_interval=(0.4, 0.6),
        verdict="faster", throughput_images_per_s=500.0, samples_ms=(2.0, 2.0, 2.0),
    )  # fmt: skip
    assert repr(result) == (
        "<LatencyResult: median 2 ms [1.9, 2.1], ratio 0.5 [0.4, 0.6], verdict faster, "
        "images/s 500, samples 3>"
    )
    assert cells_of(result)[:3] == ["LatencyResult", "median", "2 ms [1.9, 2.1]"]


def test_a_failure_with_markup_is_text() -> None:
    assert cells_of(LatencyResult(failure=SCRIPT))[-1] == SCRIPT
