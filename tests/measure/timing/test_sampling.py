"""The sampling engine on a clock that only the networks move."""

from __future__ import annotations

import gc
import itertools
import weakref
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockzoo.core.errors import InputError
from blockzoo.measure.timing.events import Stage
from blockzoo.measure.timing.sampling import SamplingListener, sample_networks
from blockzoo.measure.timing.settings import SamplingPlan
from blockzoo.stats.paired_rounds import NetworkSamples, Spent, paired_ratios

MS = 1_000_000


class FakeClock:
    """Nanoseconds that pass only when a network says so."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns

    def network(self, durations_ns: Iterator[float] | float) -> Callable[[], None]:
        """Return a call that takes the next of these durations."""
        endless = itertools.repeat(durations_ns) if isinstance(durations_ns, int | float) else None
        durations = endless or durations_ns
        assert not isinstance(durations, int | float)

        def call() -> None:
            self.now_ns += int(next(durations))

        return call


def noise(seed: int, sigma: float, scale_ns: float = 100 * MS) -> Iterator[float]:
    generator = np.random.default_rng(seed)
    while True:
        yield float(scale_ns * generator.lognormal(0.0, sigma))


def test_a_steady_network_stops_after_the_least_rounds() -> None:
    clock = FakeClock()
    samples = sample_networks({"a": clock.network(100 * MS)}, clock=clock)["a"]
    assert samples.samples_ns == (100.0 * MS,) * 10
    assert samples.rounds == tuple(range(10))
    assert samples.converged


def test_a_short_network_is_sampled_for_the_least_seconds() -> None:
    clock = FakeClock()
    samples = sample_networks({"a": clock.network(10 * MS)}, clock=clock)["a"]
    # 50 rounds of 10 ms are 0.5 s; by then only every other round or so is checked.
    assert 50 <= len(samples.samples_ns) <= 53


def test_calls_too_short_for_the_clock_are_timed_together() -> None:
    clock = FakeClock()
    samples = sample_networks({"a": clock.network(MS // 10)}, clock=clock)["a"]
    assert samples.calls_per_sample == 10
    assert set(samples.samples_ns) == {MS / 10}


@pytest.mark.parametrize(("others", "visits"), [(0, 1), (1, 1), (3, 1), (4, 3), (30, 3)])
def test_a_baseline_is_sampled_more_often_the_more_is_compared_to_it(
    others: int, visits: int
) -> None:
    clock = FakeClock()
    names = ["base", *(f"network {index}" for index in range(others))]
    plan = SamplingPlan(min_rounds=3, rounds_max=3, min_seconds=0)
    networks = {name: clock.network(100 * MS) for name in names}
    found = sample_networks(networks, plan, baselines=dict.fromkeys(names, "base"), clock=clock)
    assert [found["base"].rounds.count(index) for index in range(3)] == [visits] * 3
    assert all(found[name].rounds == (0, 1, 2) for name in names[1:])


def test_a_ratio_is_to_the_median_of_the_baselines_samples_in_the_round() -> None:
    baseline = NetworkSamples(samples_ns=(1.0, 2.0, 9.0, 4.0, 4.0), rounds=(0, 0, 0, 1, 2))
    network = NetworkSamples(samples_ns=(6.0, 8.0, 5.0), rounds=(0, 1, 3))
    assert paired_ratios(network, baseline).tolist() == [3.0, 2.0]


def test_samples_of_all_networks_are_means_of_equally_many_calls() -> None:
    clock = FakeClock()
    plan = SamplingPlan(min_rounds=2, rounds_max=2, min_seconds=0)
    networks = {
        "short": clock.network(MS // 10),
        "long": clock.network(3 * MS),
        "slow": clock.network(200 * MS),
    }
    found = sample_networks(networks, plan, clock=clock)
    assert [each.calls_per_sample for each in found.values()] == [10, 10, 1]


@pytest.mark.parametrize(("ratio", "rounds"), [(1.0, 300), (0.9, 60)])
def test_a_ratio_near_one_is_sampled_until_same_can_be_said(ratio: float, rounds: int) -> None:
    clock = FakeClock()
    networks = {
        "base": clock.network(noise(0, 0.01)),
        "other": clock.network(noise(1, 0.01, ratio * 100 * MS)),
    }
    baselines = dict.fromkeys(networks, "base")
    plan = SamplingPlan(budget_s=1e6, target_same_interval=0.002)
    found = sample_networks(networks, plan, baselines=baselines, clock=clock)
    assert found["other"].converged
    count = len(found["other"].rounds)
    assert count > rounds / 2 if ratio == 1.0 else count < rounds


def test_a_clock_that_stands_still_fails_the_network() -> None:
    clock = FakeClock()
    plan = SamplingPlan(rounds_max=12, min_seconds=0, prime_calls=0)
    samples = sample_networks({"a": lambda: None}, plan, clock=clock)["a"]
    assert samples.calls_per_sample == 10_000
    assert samples.samples_ns == ()
    assert samples.dropped == 5
    assert samples.failure == "RuntimeError: the clock did not advance in 5 samples in a row"


def test_a_clock_that_runs_backwards_fails_its_network_alone() -> None:
    """Networks have timers of their own; what one of them says must not stop the others."""
    clock = FakeClock()
    samples = sample_networks(
        {"back": clock.network(100 * MS), "good": clock.network(100 * MS)},
        timers={"back": lambda call, count: -5},
        clock=clock,
    )
    assert (
        samples["back"].failure == "RuntimeError: the clock did not advance in 5 samples in a row"
    )
    assert samples["back"].samples_ns == ()
    assert samples["good"].samples_ns == (100.0 * MS,) * 10


def test_a_clock_that_is_set_back_costs_one_sample_and_neither_budget_nor_overhead() -> None:
    clock, calls = FakeClock(), itertools.count()

    def call() -> None:
        clock.now_ns += (-3600 * 1000 if next(calls) == 40 else 100) * MS

    spent = Spent()
    plan = SamplingPlan(budget_s=5.0, min_rounds=100, prime_calls=0)
    samples = sample_networks({"a": call}, plan, clock=clock, spent=spent)["a"]
    assert samples.dropped == 1
    assert set(samples.samples_ns) == {100.0 * MS}
    assert len(samples.samples_ns) == 50  # what 5 s hold
    assert 30 not in samples.rounds  # 10 calls to warm up, then one a round
    assert spent.overhead_fraction == pytest.approx(0.0)


def test_a_network_that_raises_is_told_of_at_once() -> None:
    clock, heard = FakeClock(), []

    def broken() -> None:
        raise ValueError("no")

    class Listener(SamplingListener):
        def failed(self, name: str, failure: str, trace: str) -> None:
            heard.append((name, failure, trace.splitlines()[-1]))

    networks = {"broken": broken, "good": clock.network(100 * MS)}
    sample_networks(networks, clock=clock, listener=Listener())
    assert heard == [("broken", "ValueError: no", "ValueError: no")]


def test_a_listener_hears_each_step_of_a_session_in_order() -> None:
    clock, heard = FakeClock(), []

    class Listener(SamplingListener):
        def enter(self, name: str, stage: Stage) -> None:
            heard.append(f"{stage} {name}")

        def sampled(self, name: str, index: int, nanoseconds: float) -> None:
            heard.append(f"{name} {index} {nanoseconds / MS:g} ms")

        def round_ended(self) -> None:
            heard.append("round ended")

    plan = SamplingPlan(min_rounds=2, rounds_max=2, min_seconds=0)
    sample_networks({"a": clock.network(100 * MS)}, plan, clock=clock, listener=Listener())
    rounds = [["sampling a", f"a {index} 100 ms", "round ended"] for index in range(2)]
    assert heard == ["warm-up a", *rounds[0], *rounds[1]]


def test_samples_that_are_refused_are_counted_and_leave_the_others_alone() -> None:
    clock, asked = FakeClock(), itertools.count()
    plan = SamplingPlan(min_rounds=4, rounds_max=6, min_seconds=0)

    class EveryOther(SamplingListener):
        def accepts(self, name: str) -> bool:
            return name == "good" or next(asked) % 2 == 0

    found = sample_networks(
        {"slow": clock.network(100 * MS), "good": clock.network(100 * MS)},
        plan,
        clock=clock,
        listener=EveryOther(),
    )
    assert (found["slow"].rounds, found["slow"].refused) == ((0, 2, 4), 3)
    assert (found["slow"].converged, found["slow"].failure) == (False, None)
    assert (found["good"].rounds, found["good"].refused) == (tuple(range(6)), 0)


def test_warm_up_does_not_wait_for_a_clock_that_never_advances() -> None:
    plan = SamplingPlan(warmup_min_s=1.0)
    failure = sample_networks({"a": lambda: None}, plan, clock=FakeClock())["a"].failure
    assert failure == "RuntimeError: the clock did not advance in 5 samples in a row"


def test_warm_up_goes_on_while_blocks_improve() -> None:
    clock = FakeClock()
    falling = (max(100 - 2 * call, 20) * MS for call in itertools.count())
    samples = sample_networks({"a": clock.network(falling)}, clock=clock)["a"]
    assert set(samples.samples_ns) == {20.0 * MS}


def test_warm_up_is_bounded() -> None:
    clock = FakeClock()
    halving = (8e9 * 0.9**call for call in itertools.count())
    plan = SamplingPlan(warmup_max_s=5.0, rounds_max=10, prime_calls=0)
    samples = sample_networks({"a": clock.network(halving)}, plan, clock=clock)["a"]
    assert samples.samples_ns[0] == int(8e9 * 0.9**5)  # one block of five calls came before


def test_warm_up_lasts_as_long_as_asked() -> None:
    clock = FakeClock()
    calls = itertools.count()
    durations = (next(calls) * 0 + 100 * MS for _ in itertools.count())
    plan = SamplingPlan(warmup_min_s=2.0, prime_calls=0, rounds_max=10)
    sample_networks({"a": clock.network(durations)}, plan, clock=clock)
    assert next(calls) == 20 + 10


def test_priming_calls_are_not_timed() -> None:
    clock = FakeClock()
    alternating = itertools.cycle([50 * MS, 100 * MS])
    plan = SamplingPlan(prime_calls=1, warmup_calls=10)
    samples = sample_networks({"a": clock.network(alternating)}, plan, clock=clock)["a"]
    assert set(samples.samples_ns) == {100.0 * MS}


def test_every_round_holds_every_network_in_varying_order() -> None:
    clock, calls = FakeClock(), []

    def network(name: str) -> Callable[[], None]:
        def call() -> None:
            calls.append(name)
            clock.now_ns += 100 * MS

        return call

    plan = SamplingPlan(prime_calls=0)
    samples = sample_networks({name: network(name) for name in "abc"}, plan, clock=clock)
    rounds = list(zip(*[iter(calls[-30:])] * 3, strict=True))
    assert all(sorted(each) == ["a", "b", "c"] for each in rounds)
    assert len(set(rounds)) > 2
    assert {network.rounds for network in samples.values()} == {tuple(range(10))}


def test_a_converged_network_stays_for_those_that_are_not() -> None:
    clock = FakeClock()
    networks = {"steady": clock.network(100 * MS), "noisy": clock.network(noise(0, 0.05))}
    samples = sample_networks(networks, SamplingPlan(budget_s=100), clock=clock)
    assert samples["noisy"].converged
    assert len(samples["noisy"].samples_ns) > 10
    assert samples["steady"].rounds == samples["noisy"].rounds


def test_a_spent_budget_stops_and_is_told() -> None:
    clock = FakeClock()
    networks = {"steady": clock.network(100 * MS), "noisy": clock.network(noise(0, 1.0))}
    samples = sample_networks(networks, SamplingPlan(budget_s=5.0), clock=clock)
    assert samples["steady"].converged
    assert not samples["noisy"].converged
    sampled_s = 2 * sum(sum(network.samples_ns) for network in samples.values()) / 1e9
    assert 5.0 < sampled_s < 20.0


def test_at_least_three_rounds_whatever_the_budget() -> None:
    clock = FakeClock()
    samples = sample_networks({"a": clock.network(9e9)}, SamplingPlan(budget_s=1.0), clock=clock)[
        "a"
    ]
    assert len(samples.samples_ns) == 3
    assert not samples.converged


def test_rounds_can_be_fixed() -> None:
    clock = FakeClock()
    plan = SamplingPlan(min_rounds=25, rounds_max=25)
    samples = sample_networks({"a": clock.network(noise(3, 0.001))}, plan, clock=clock)["a"]
    assert len(samples.samples_ns) == 25
    assert samples.converged


def test_the_ratio_can_be_what_stops() -> None:
    """Noise that is common to a round spoils medians, not ratios."""
    clock, weather = FakeClock(), noise(0, 0.8)
    level_ns = [next(weather)]

    def network(scale: float) -> Callable[[], None]:
        def call() -> None:
            clock.now_ns += int(scale * level_ns[0])

        return call

    class ChangesTheWeather(SamplingListener):
        def progress(self, fraction: float, text: str) -> None:
            level_ns[0] = next(weather)

    networks = {"base": network(1.0), "other": network(0.5)}
    plan = SamplingPlan(stop_on="ratio", budget_s=100)
    baselines = dict.fromkeys(networks, "base")
    samples = sample_networks(
        networks, plan, baselines=baselines, clock=clock, listener=ChangesTheWeather()
    )
    assert len(samples["base"].samples_ns) < 30
    assert all(network.converged for network in samples.values())
    ratios = paired_ratios(samples["other"], samples["base"])
    np.testing.assert_allclose(ratios, 0.5, rtol=1e-6)


def test_a_machine_that_slows_down_does_not_change_the_ratio() -> None:
    clock = FakeClock()

    def network(scale_ns: float) -> Callable[[], None]:
        def call() -> None:
            clock.now_ns += int(scale_ns * (1 + clock.now_ns / 60e9))

        return call

    networks = {"base": network(100 * MS), "other": network(85 * MS)}
    plan = SamplingPlan(rounds_max=100, min_rounds=100, budget_s=1000)
    samples = sample_networks(networks, plan, clock=clock)
    base = np.array(samples["base"].samples_ns)
    assert base[-1] > 1.5 * base[0]
    ratio = np.median(paired_ratios(samples["other"], samples["base"]))
    assert ratio == pytest.approx(0.85, rel=0.01)


@pytest.mark.parametrize("good_calls", [0, 20])
def test_a_network_that_raises_is_failed_and_the_others_go_on(good_calls: int) -> None:
    clock, calls = FakeClock(), itertools.count()

    def broken() -> None:
        clock.now_ns += 100 * MS
        if next(calls) >= good_calls:
            raise RuntimeError("no kernel")

    samples = sample_networks({"good": clock.network(100 * MS), "broken": broken}, clock=clock)
    assert samples["broken"].failure == "RuntimeError: no kernel"
    assert "in broken" in (samples["broken"].traceback or "")
    assert len(samples["broken"].samples_ns) == max(good_calls - 10, 0) // 2
    assert samples["good"].failure is None
    assert len(samples["good"].samples_ns) >= 10


def test_a_network_that_ran_out_of_memory_lets_go_of_what_it_held() -> None:
    class Tensor:
        """Stands for a large one."""

    clock, held, alive = FakeClock(), [], []

    def broken() -> None:
        large = Tensor()
        held.append(weakref.ref(large))
        raise MemoryError("no room")

    def good() -> None:
        alive.append(held[0]() is not None)
        clock.now_ns += 100 * MS

    samples = sample_networks({"broken": broken, "good": good}, clock=clock)
    assert samples["broken"].failure == "MemoryError: no room"
    assert "in broken" in (samples["broken"].traceback or "")
    assert not any(alive)
    assert samples["good"].failure is None


def test_all_networks_may_fail() -> None:
    def broken() -> None:
        raise ValueError("never")

    assert sample_networks({"a": broken})["a"].failure == "ValueError: never"


def test_a_failed_baseline_leaves_the_others_to_their_own_medians() -> None:
    def broken() -> None:
        raise ValueError("never")

    clock = FakeClock()
    samples = sample_networks(
        {"a": clock.network(100 * MS), "b": broken},
        SamplingPlan(stop_on="ratio"),
        baselines={"a": "b", "b": "b"},
        clock=clock,
    )
    assert samples["a"].converged
    assert len(samples["a"].samples_ns) == 10


def test_an_interrupt_passes_through_and_leaves_the_collector_on() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample_networks({"a": interrupted})
    assert gc.isenabled()


def test_the_collector_rests_while_a_network_runs_and_works_again_after() -> None:
    clock, states = FakeClock(), set()

    def call() -> None:
        states.add(gc.isenabled())
        clock.now_ns += 100 * MS

    sample_networks({"a": call}, clock=clock)
    assert states == {False}
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    clock = FakeClock()
    gc.disable()
    try:
        sample_networks({"a": clock.network(100 * MS)}, clock=clock)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_progress_rises_from_warm_up_to_done() -> None:
    clock, shown = FakeClock(), []

    class Listener(SamplingListener):
        def progress(self, fraction: float, text: str) -> None:
            shown.append((fraction, text))

    sample_networks({"a": clock.network(100 * MS)}, clock=clock, listener=Listener())
    fractions = [fraction for fraction, _ in shown]
    assert shown[0] == (0.0, "warm-up a")
    assert shown[1][1] == "round 1, 0 of 1 converged"
    assert shown[-1] == (1.0, "done")
    assert fractions == sorted(fractions)


def test_an_unknown_baseline_is_refused() -> None:
    with pytest.raises(InputError, match="'z' is not measured; networks: a"):
        sample_networks({"a": lambda: None}, baselines={"a": "z"})


@given(st.sets(st.integers(0, 30)), st.sets(st.integers(0, 30)))
def test_ratios_are_of_the_rounds_both_have(ours: set[int], theirs: set[int]) -> None:
    def network(rounds: set[int], scale: float) -> NetworkSamples:
        indices = tuple(sorted(rounds))
        return NetworkSamples(rounds=indices, samples_ns=tuple(scale * (i + 1) for i in indices))

    ratios = paired_ratios(network(ours, 3.0), network(theirs, 2.0))
    assert len(ratios) == len(ours & theirs)
    np.testing.assert_allclose(ratios, 1.5)
