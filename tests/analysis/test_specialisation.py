"""Blocks by position: contrasts within block and seed, gains over others, verdicts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from blockzoo.analysis.specialisation import Specialisation, specialisations
from blockzoo.core.errors import InputError
from blockzoo.core.position import POSITIONS, Position
from blockzoo.results.records import FormCost, Record
from tests.record_samples import cost, latency, training

SEEDS = 8
CONTEXT = "ResNetBasicBlock"


def trained(
    block: str, accuracies: tuple[float, ...], deviation: float = 0.002, seeds: int = SEEDS
) -> list[Record]:
    """What a seed brings along is the same at all positions, and is far more than the rest."""
    shared = np.random.default_rng(0).normal(0, 0.02, seeds)
    own = np.random.default_rng(len(block)).normal(0, deviation, (len(accuracies), seeds))
    return [
        training(
            f"{block} {position} {seed}",
            block,
            (str(position),),
            seed=seed,
            test_accuracy=accuracy + shared[seed] + own[row, seed],
        )
        for row, (position, accuracy) in enumerate(zip(POSITIONS, accuracies, strict=False))
        for seed in range(seeds)
    ]


def context(accuracy: float = 0.8) -> list[Record]:
    shared = np.random.default_rng(0).normal(0, 0.02, SEEDS)
    everywhere = tuple(str(position) for position in POSITIONS)
    return [
        training(f"c {s}", CONTEXT, everywhere, seed=s, test_accuracy=accuracy + shared[s])
        for s in range(SEEDS)
    ]


def found(*records: Record, **settings: float) -> dict[str, Specialisation]:
    return {each.block: each for each in specialisations(records, **settings)}


@pytest.mark.parametrize(
    ("accuracies", "deviation", "verdict"),
    [
        ((0.85, 0.80, 0.80), 0.002, "early specialist"),
        ((0.80, 0.85, 0.80), 0.002, "mid specialist"),
        ((0.80, 0.80, 0.85), 0.002, "late specialist"),
        ((0.80, 0.80, 0.80), 0.0005, "generalist"),
        ((0.85, 0.85, 0.80), 0.002, "undecided"),
        ((0.80, 0.80, 0.80), 0.02, "undecided"),
    ],
)
def test_a_verdict_is_of_all_three_positions(
    accuracies: tuple[float, ...], deviation: float, verdict: str
) -> None:
    each = found(*trained("Mine", accuracies, deviation), *context())["Mine"]
    assert each.verdict == verdict
    assert (each.reason == "") == (verdict != "undecided")


def test_what_a_seed_brings_along_cancels() -> None:
    """The seeds deviate by 2 points, the contrast of 1 point by 0.3."""
    index = found(*trained("Mine", (0.81, 0.80, 0.80)), *context())["Mine"].index
    assert index is not None
    assert index.mean == pytest.approx(0.01, abs=0.003)
    assert index.deviation is not None
    assert index.deviation < 0.005
    assert index.correlation is not None
    assert index.correlation > 0.95


def test_gains_are_over_context_and_identity_and_for_what_they_cost() -> None:
    stage = FormCost(params_total=10, params_trainable=10, macs=50_000_000)
    records = [
        *trained("Mine", (0.85, 0.80, 0.80)),
        *trained("Identity", (0.75, 0.75, 0.75)),
        *context(),
        cost("c", "Mine", ("early",), stage_deploy=stage),
        latency("m", "Mine", ("early",), session="s", median_ms=5.0),
        latency("i", "Identity", ("early",), session="s", median_ms=3.0),
    ]
    early, mid, _ = found(*records)["Mine"].gains
    assert early.position is Position.EARLY
    assert early.over_context is not None
    assert early.over_context.mean == pytest.approx(0.05, abs=0.003)
    assert early.over_identity is not None
    assert early.over_identity.mean == pytest.approx(0.10, abs=0.003)
    assert early.per_100_mmacs == pytest.approx(early.over_identity.mean / 0.5)
    assert early.per_ms == pytest.approx(early.over_identity.mean / 2)
    assert (mid.per_100_mmacs, mid.per_ms) == (None, None)


def test_costs_of_another_scaffold_are_not_this_networks() -> None:
    records = [*trained("Mine", (0.85, 0.80, 0.80)), *trained("Identity", (0.75, 0.75, 0.75))]
    wide = records[0].scaffold.model_copy(update={"width": 7})
    beside = [
        cost("c", "Mine", ("early",), scaffold=wide),
        latency("m", "Mine", ("early",), session="s", median_ms=5.0, scaffold=wide),
        latency("i", "Identity", ("early",), session="s", median_ms=3.0, scaffold=wide),
    ]
    early = found(*records, *context(), *beside)["Mine"].gains[0]
    assert early.over_identity is not None
    assert (early.per_100_mmacs, early.per_ms) == (None, None)


def test_latencies_of_two_sessions_are_not_subtracted() -> None:
    records = [*trained("Mine", (0.85, 0.80, 0.80)), *trained("Identity", (0.75, 0.75, 0.75))]
    beside = [
        latency("m", "Mine", ("early",), session="s", median_ms=5.0),
        latency("i", "Identity", ("early",), session="t", median_ms=3.0),
    ]
    assert found(*records, *context(), *beside)["Mine"].gains[0].per_ms is None


def test_terms_of_one_name_are_told_apart() -> None:
    both = trained("Mine", (0.8, 0.8, 0.8))
    bf16 = [r.model_copy(update={"precision": "bf16", "trial_id": f"b {r.trial_id}"}) for r in both]
    assert [each.variant for each in specialisations([*both, *bf16])] == ["bf16", "fp32"]


def test_the_context_block_has_no_position() -> None:
    assert list(found(*trained("Mine", (0.8, 0.8, 0.8)), *context())) == ["Mine"]


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        (trained("Mine", (0.8, 0.9)), "not trained at all three positions"),
        (trained("Mine", (0.8, 0.9, 0.7), seeds=2), "a verdict takes 3 seeds"),
    ],
)
def test_what_cannot_be_judged_says_why(records: list[Record], reason: str) -> None:
    each = found(*records, *context())["Mine"]
    assert each.verdict == "undecided"
    assert reason in each.reason


def test_one_position_is_nothing_to_compare_and_a_margin_is_above_zero() -> None:
    assert found(*trained("Mine", (0.8,)), *context()) == {}
    with pytest.raises(InputError, match="margin"):
        found(margin=0.0)


@pytest.mark.parametrize("blocks", [1, 6])
def test_no_position_matters_and_few_are_called_specialists(blocks: int) -> None:
    """In at most 5% of tables is any block a specialist where all positions are alike."""
    generator, wrong, trials = np.random.default_rng(blocks), 0, 200
    for _ in range(trials):
        records: list[Any] = [
            training(f"{b}{p}{s}", f"B{b}", (str(p),), seed=s, test_accuracy=accuracy)
            for b in range(blocks)
            for p in POSITIONS
            for s, accuracy in enumerate(0.8 + generator.normal(0, 0.01, 5))
        ]
        wrong += any("specialist" in each.verdict for each in specialisations(records))
    assert wrong / trials <= 0.05
