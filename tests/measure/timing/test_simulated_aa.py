"""Networks that are alike, sampled by the real engine: intervals cover, and verdicts are not false.

`benchmarks/simulated_aa.py` does the same for longer and prints a table.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from blockzoo.measure.timing.settings import LatencySettings

ROOT = Path(__file__).parents[3]
CELLS = range(1, 13)
SESSIONS = 12
"""For each number of cells: some 900 ratios, enough to tell 95% from 93 or 97."""


@pytest.fixture(autouse=True)
def _benchmarks_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")


def _settings(processes: int, rounds: int) -> LatencySettings:
    """Rounds enough for a median, and few enough for a test; the stopping rule may end them."""
    return LatencySettings(
        processes=processes,
        min_rounds=10,
        rounds_max=rounds * processes,
        min_seconds=0.0,
        warmup_span_s=0.0,
        budget_s=1e6,
    )


@pytest.mark.parametrize("processes", [3, 5, 10])
def test_intervals_cover_and_verdicts_are_rarely_false(processes: int) -> None:
    from simulated_aa import Machine, tally

    machine, settings = Machine(noise=0.10, offset=0.02), _settings(processes, 15)
    found = [tally(cells, machine, settings, sessions=SESSIONS, seed=cells) for cells in CELLS]
    ratios = np.concatenate([each.ratios for each in found])
    covered = sum(each.covered for each in found) / len(ratios)
    false = sum(each.verdicts["faster"] + each.verdicts["slower"] for each in found) / len(ratios)
    assert 0.93 <= covered <= 0.97
    assert false <= 0.05
    # Sampled once a round or three times, the baseline favours nobody.
    for few_or_many in (found[:3], found[3:]):
        middle = np.concatenate([each.ratios for each in few_or_many])
        assert np.mean(middle) == pytest.approx(1.0, abs=0.006)


def test_short_calls_are_compared_like_with_like() -> None:
    """The mean of ten calls of such noise lies 4% above the median of one."""
    from simulated_aa import Machine, simulated_session

    base, short = (Machine(call_ms=ms, noise=0.3, offset=0.0) for ms in (3.0, 0.1))
    settings = _settings(3, 200)
    ratios = [simulated_session([base, short], settings, seed)[1].ratio for seed in range(12)]
    assert np.mean([ratio or 0.0 for ratio in ratios]) == pytest.approx(0.1 / 3.0, rel=0.012)


@pytest.mark.parametrize("processes", [1, 2])
def test_one_or_two_processes_give_no_verdict(processes: int) -> None:
    from simulated_aa import Machine, tally

    found = tally(2, Machine(), _settings(processes, 15), sessions=10)
    assert set(found.verdicts) == {"undecided"}


@pytest.mark.parametrize(("noise", "least"), [(0.005, 0.9), (0.01, 0.6)])
def test_the_default_budget_ends_in_same_on_a_quiet_machine(noise: float, least: float) -> None:
    from simulated_aa import Machine, tally

    found = tally(2, Machine(noise=noise, offset=0.0), LatencySettings(), sessions=15)
    assert found.verdicts["same"] / len(found.ratios) >= least
    assert found.false_verdicts == 0


def test_a_network_that_is_five_percent_slower_is_called_so() -> None:
    from simulated_aa import Machine, simulated_session

    base, slower = (
        Machine(noise=0.03, offset=0.003),
        Machine(call_ms=5.25, noise=0.03, offset=0.003),
    )
    settings = LatencySettings(processes=5, budget_s=2.0)
    verdicts = [simulated_session([base, slower], settings, seed)[1].verdict for seed in range(20)]
    assert verdicts.count("slower") >= 19
