"""How latency is measured, and what the samples say of it.

`summarize` turns samples, of one process or several, into medians, intervals, ratios and flags.
The statistics are of the samples themselves: where a call is too short for the clock, a sample is
the mean of several calls, and its percentiles are those of such means.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from blockzoo.core.display import Displayed, Facts, number, ranged
from blockzoo.measure.timing.sampling import LEAST_ROUNDS
from blockzoo.stats.medians import Interval, Samples, mean_of_medians, median_interval
from blockzoo.stats.paired_rounds import NetworkSamples, mean_ratio, paired_ratios
from blockzoo.stats.trend import trends
from blockzoo.stats.verdicts import Ratio, judged

# From these counts on, some sample lies above the percentile with 99% probability.
_LEAST_FOR_P90 = 44
_LEAST_FOR_P99 = 459
# Shares of the median, and what they are called in flags.
_NOISY_IQR = 0.10
_WIDE = 0.01


@dataclass(frozen=True, kw_only=True, repr=False)
class LatencyResult(Displayed):
    """What is known of the latency of one module; the fields of a latency record.

    Times are milliseconds per call and intervals 95%, Student's t over processes. Flags are "noisy"
    (interquartile range above 10% of the median), "drift" (in some process the samples rise or
    fall, by a rank test at 1% over all processes, and by more than 1%), "under 1 ms", "budget"
    (stopped before the interval was as narrow as asked for), "too short" (fewer than three rounds
    in some process), "wide" (the interval over all processes reaches more than 1% from the median),
    "no baseline" (the baseline failed), "low clock" (samples were dropped for the GPU's clock),
    "throttled" (heat, power limit or quota slowed the device) and "process lost" (a process died
    while it sampled this network, and another took its place).

    Attributes:
        samples_ms: Every sample, one process after the other.
        process_counts: How many samples are of each process.
        rounds: In which round of its process each sample arose.
        calls_per_sample: Of how many calls the samples of each process are means.
        dropped_samples: Discarded because the clock did not advance or the GPU's was below 75% of
            its default.
        overhead_fraction: Share of the session after warm-up that was spent outside forward passes.
        median_ms: The mean of the processes' medians.
        interval_ms: Its interval, lower and upper end.
        iqr_ms: Interquartile range of the samples.
        std_ms: Sample standard deviation.
        p90_ms: 90th percentile; None with fewer than 44 samples.
        p99_ms: 99th percentile; None with fewer than 459 samples.
        throughput_images_per_s: Batch size over median.
        ratio: Latency over that of the baseline: the geometric mean over processes of the median
            over rounds.
        ratio_interval: Its interval.
        verdict: "faster", "slower", "same" (within 0.5%), "undecided", or "baseline" of that
            itself.
        verdict_reason: Why a verdict is "undecided".
        flags: What is wrong with the samples, see above.
        exported_bytes: Size of the files that the backend exported; None where it exports none.
        process_memory_bytes: Peak memory of a process that runs it, where that was asked for.
        energy_j_per_image: Joules beyond idle, where that was asked for and can be read.
        energy_counter: What the energy is of.
        energy_interval_j: Its interval.
        energy_repetitions_j: The single measurements.
        failure: Why the module could not be measured; None where it could.
        traceback: Of the failure.
    """

    samples_ms: tuple[float, ...] = ()
    process_counts: tuple[int, ...] = ()
    rounds: tuple[int, ...] = ()
    calls_per_sample: tuple[int, ...] = ()
    dropped_samples: int = 0
    overhead_fraction: float | None = None
    median_ms: float | None = None
    interval_ms: Interval | None = None
    iqr_ms: float | None = None
    std_ms: float | None = None
    p90_ms: float | None = None
    p99_ms: float | None = None
    throughput_images_per_s: float | None = None
    ratio: float | None = None
    ratio_interval: Interval | None = None
    verdict: Literal["faster", "slower", "same", "undecided", "baseline"] | None = None
    verdict_reason: str = ""
    flags: tuple[str, ...] = ()
    exported_bytes: int | None = None
    process_memory_bytes: int | None = None
    energy_j_per_image: float | None = None
    energy_counter: str | None = None
    energy_interval_j: Interval | None = None
    energy_repetitions_j: tuple[float, ...] = ()
    failure: str | None = None
    traceback: str | None = None

    def __str__(self) -> str:
        """Return one line: median and ratio with their intervals, verdict and flags."""
        if self.failure is not None or self.median_ms is None or self.interval_ms is None:
            return f"failed: {self.failure or 'no sample was taken'}".splitlines()[0]
        low, high = self.interval_ms
        parts = [f"{self.median_ms:.4g} ms [{low:.4g}, {high:.4g}]"]
        if self.verdict == "baseline":
            parts.append("baseline")
        elif self.ratio is not None and self.ratio_interval is not None:
            low, high = self.ratio_interval
            parts.append(f"{self.ratio:.3f} x baseline [{low:.3f}, {high:.3f}], {self.verdict}")
        if self.verdict_reason:
            parts.append(self.verdict_reason)
        if self.flags:
            parts.append(f"flags: {', '.join(self.flags)}")
        return "; ".join(parts)

    def _facts(self) -> Facts:
        compared = self.verdict not in (None, "baseline")
        return {
            "median": ranged(self.median_ms, self.interval_ms, " ms"),
            "ratio": ranged(self.ratio, self.ratio_interval) if compared else None,
            "verdict": self.verdict,
            "why": self.verdict_reason,
            "images/s": number(self.throughput_images_per_s),
            "samples": str(len(self.samples_ms)),
            "flags": ", ".join(self.flags),
            "failed": self.failure,
        }


def summarize(
    processes: Sequence[NetworkSamples],
    baseline: Sequence[NetworkSamples] | None = None,
    *,
    is_baseline: bool = False,
    batch_size: int = 1,
) -> LatencyResult:
    """Return the result of one network sampled in one or more processes.

    `baseline` holds the baseline's samples of the same processes, in the same order. The network is
    failed when it failed in any process.

    >>> samples = NetworkSamples(samples_ns=(2e6, 2e6, 2e6), rounds=(0, 1, 2), converged=True)
    >>> print(summarize([samples]))
    2 ms [2, 2]
    """
    samples = [np.array(each.samples_ns) / 1e6 for each in processes]
    pooled = np.concatenate(samples)
    for each in processes:
        if each.failure is not None:
            return LatencyResult(**_raw(processes), failure=each.failure, traceback=each.traceback)
    # Each process weighs the same, however many samples it had time for.
    median_ms = mean_of_medians(samples)
    low, high = median_interval(samples)
    interval = max(low, 0.0), high  # of few processes Student's t knows no end at zero
    flags = (*_flags(pooled, samples), *_stop_flags(processes), *_width_flag(interval, median_ms))
    result = LatencyResult(
        **_raw(processes),
        median_ms=median_ms,
        interval_ms=interval,
        throughput_images_per_s=batch_size / median_ms * 1e3,
        flags=flags,
        **_spread(pooled),
    )
    if is_baseline:
        return replace(result, ratio=1.0, ratio_interval=(1.0, 1.0), verdict="baseline")
    return _compared(result, processes, baseline) if baseline else result


def _raw(processes: Sequence[NetworkSamples]) -> dict[str, Any]:
    return {
        "samples_ms": tuple(ns / 1e6 for each in processes for ns in each.samples_ns),
        "process_counts": tuple(len(each.samples_ns) for each in processes),
        "rounds": tuple(index for each in processes for index in each.rounds),
        "calls_per_sample": tuple(each.calls_per_sample for each in processes),
        "dropped_samples": sum(each.dropped + each.refused for each in processes),
    }


def _spread(pooled: Samples) -> dict[str, Any]:
    low, high = np.percentile(pooled, (25, 75)).tolist()
    count = len(pooled)
    return {
        "iqr_ms": high - low,
        # Of single samples, around their mean; the interval is what says how sure the median is.
        "std_ms": float(np.std(pooled, ddof=1)) if count > 1 else None,
        "p90_ms": float(np.percentile(pooled, 90)) if count >= _LEAST_FOR_P90 else None,
        "p99_ms": float(np.percentile(pooled, 99)) if count >= _LEAST_FOR_P99 else None,
    }


def _compared(
    result: LatencyResult,
    processes: Sequence[NetworkSamples],
    baseline: Sequence[NetworkSamples],
) -> LatencyResult:
    """Add ratio, interval and verdict; only the flag when the baseline failed."""
    if any(each.failure is not None for each in baseline):
        return replace(result, flags=(*result.flags, "no baseline"))
    ratios = [paired_ratios(each, base) for each, base in zip(processes, baseline, strict=True)]
    # A process that was lost early may share no round with the baseline.
    ratios = [each for each in ratios if len(each)]
    if not ratios:
        return replace(result, flags=(*result.flags, "no baseline"))
    ratio, interval = mean_ratio(ratios)
    base_ms = mean_of_medians([np.array(base.samples_ns) / 1e6 for base in baseline])
    assert result.median_ms is not None
    verdict, reason = judged(
        Ratio(
            interval=interval,
            processes=len(ratios),
            of_medians=result.median_ms / base_ms,
            flags=result.flags,
            like_calls=all(
                each.calls_per_sample == base.calls_per_sample
                for each, base in zip(processes, baseline, strict=True)
            ),
        )
    )
    return replace(
        result,
        ratio=ratio,
        ratio_interval=interval,
        verdict=verdict,
        verdict_reason=reason,
    )


def _flags(pooled: Samples, processes: Sequence[Samples]) -> Iterator[str]:
    low, median, high = np.percentile(pooled, (25, 50, 75))
    if high - low > _NOISY_IQR * median:
        yield "noisy"
    if any(trends(samples, of=len(processes)) for samples in processes):
        yield "drift"
    if median < 1.0:
        yield "under 1 ms"


def _stop_flags(processes: Sequence[NetworkSamples]) -> Iterator[str]:
    if not all(each.converged for each in processes):
        yield "budget"
    if min(len(each.samples_ns) for each in processes) < LEAST_ROUNDS:
        yield "too short"
    if any(each.refused for each in processes):
        yield "low clock"


def _width_flag(interval: Interval, median_ms: float) -> Iterator[str]:
    low, high = interval
    if max(median_ms - low, high - median_ms) > _WIDE * median_ms:
        yield "wide"
