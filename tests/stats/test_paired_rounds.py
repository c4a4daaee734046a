"""Quantities of a round come from the samples of that round alone."""

from __future__ import annotations

import numpy as np
import pytest

from blockzoo.core.errors import InputError
from blockzoo.measure.timing.latency import LatencyResult
from blockzoo.stats.paired_rounds import NetworkSamples, paired, paired_ratios


def network(*processes: dict[int, float]) -> LatencyResult:
    return LatencyResult(
        samples_ms=tuple(ms for process in processes for ms in process.values()),
        rounds=tuple(index for process in processes for index in process),
        process_counts=tuple(map(len, processes)),
    )


def test_differences_are_taken_within_rounds() -> None:
    # The machine is 10 ms slower in round 1; every round the first network takes 2 ms more.
    slow = network({0: 7.0, 1: 17.0, 2: 7.0}, {0: 27.0, 2: 7.0})
    fast = network({0: 5.0, 1: 15.0, 2: 5.0}, {0: 25.0, 1: 1.0, 2: 5.0})
    found = paired(lambda a, b: a - b, slow, fast)
    assert (found.value, found.interval, found.rounds) == (2.0, (2.0, 2.0), 5)


def test_the_value_is_the_mean_of_the_processes_medians() -> None:
    one = network({0: 1.0, 1: 1.0, 2: 1.0}, {0: 2.0}, {0: 9.0})
    assert paired(lambda a: a, one).value == 4.0


def test_networks_without_a_common_round_cannot_be_paired() -> None:
    with pytest.raises(InputError, match="no round has a sample of every network"):
        paired(lambda a, b: a - b, network({0: 1.0}), network({1: 1.0}))
    with pytest.raises(InputError, match="different numbers of processes"):
        paired(lambda a, b: a - b, network({0: 1.0}), network({0: 1.0}, {0: 1.0}))


@pytest.mark.parametrize("visits", [1, 2, 3, 4, 5])
def test_a_network_against_itself_is_even_however_often_the_baseline_is_sampled(
    visits: int,
) -> None:
    """The median of two or four skewed samples lies above that of one."""
    generator = np.random.default_rng(visits)
    rounds = 40_000
    ours = NetworkSamples(
        samples_ns=tuple(generator.lognormal(0, 0.5, rounds)), rounds=tuple(range(rounds))
    )
    theirs = NetworkSamples(
        samples_ns=tuple(generator.lognormal(0, 0.5, rounds * visits)),
        rounds=tuple(np.repeat(range(rounds), visits).tolist()),
    )
    assert np.median(paired_ratios(ours, theirs)) == pytest.approx(1.0, abs=0.012)
