"""Pairs of blocks from records: paired by seed, in one family, on the same terms or not at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from blockzoo.analysis.compare import Comparison, compare_records, compare_with_context
from blockzoo.analysis.trainings import by_seeds, trained
from blockzoo.core.errors import InputError
from blockzoo.core.position import Position
from blockzoo.results.answers import packed
from blockzoo.results.records import FormCost, PartCost, Record, TrainingRecord
from blockzoo.stats.families import holm, max_t
from blockzoo.stats.new_images import interval_for_new_images
from blockzoo.stats.paired_seeds import paired_difference
from tests.record_samples import SCAFFOLD, after, cost, latency, training
from tests.shown_cells import SCRIPT, cells_of

MINE = [0.93, 0.94, 0.95, 0.93, 0.94]
THEIRS = [0.90, 0.91, 0.93, 0.90, 0.91]


def trainings(block: str, accuracies: list[float], **changes: Any) -> list[Record]:
    return [
        training(f"{block} {seed}", block, seed=seed, test_accuracy=accuracy, **changes)
        for seed, accuracy in enumerate(accuracies)
    ]


def test_costs_are_of_the_stage_at_that_position_also_of_one_network_at_all() -> None:
    """As `ResNetBasicBlock` in its own context is: one record, three stages."""

    def counted(macs: int) -> FormCost:
        return FormCost(params_total=1, params_trainable=1, macs=macs)

    parts = tuple(
        PartCost(name=f"stage_{position}", train=counted(9), deploy=counted(macs))
        for position, macs in (("early", 11), ("mid", 22), ("late", 33))
    )
    everywhere = ("early", "mid", "late")
    records = [
        *trainings("Mine", MINE, positions=("late",)),
        *trainings("Theirs", THEIRS, positions=everywhere),
        cost("1", "Theirs", everywhere, parts=parts, stage_deploy=counted(11)),
    ]
    (found,) = compare_records(records, "Mine", ["Theirs"], [Position.LATE])
    assert found.other_cost == counted(33)


def compared(records: list[Record], *others: str, **settings: Any) -> list[Comparison]:
    return compare_records(records, "Mine", others or ("Theirs",), [Position.MID], **settings)


def test_seeds_are_paired_and_judged() -> None:
    (found,) = compared([*trainings("Mine", MINE), *trainings("Theirs", THEIRS)])
    expected = paired_difference(MINE, THEIRS)
    assert found.difference == expected
    assert (found.seeds, found.failed, found.comparisons) == ((0, 1, 2, 3, 4), 0, 1)
    assert found.p_holm == pytest.approx(expected.p_value)
    assert found.p_max_t == 2 / 2**5
    assert found.verdict == "better"
    assert found.improvement is not None
    assert found.improvement.probability == 1.0
    assert found.terms is not None
    assert found.terms.title == ("digits", "quick")


def test_a_family_is_all_that_mine_is_compared_with() -> None:
    near = [a - 0.002 for a in MINE[:4]] + [0.945]
    records = [*trainings("Mine", MINE), *trainings("Theirs", THEIRS), *trainings("Near", near)]
    theirs, other = compared(records, "Theirs", "Near")
    alone = [paired_difference(MINE, each).p_value for each in (THEIRS, near)]
    assert [theirs.p_holm, other.p_holm] == pytest.approx(holm(alone).tolist())
    differences = np.array([MINE, MINE]) - np.array([THEIRS, near])
    assert [theirs.p_max_t, other.p_max_t] == pytest.approx(max_t(differences).tolist())
    assert (theirs.comparisons, other.comparisons) == (2, 2)


def test_failed_seeds_are_counted_and_only_common_ones_paired() -> None:
    lost = training("lost", "Mine", seed=9, status="failed", reason="diverged")
    late = training("late", "Theirs", seed=7, test_accuracy=0.1)
    records = [*trainings("Mine", MINE), lost, *trainings("Theirs", THEIRS), late]
    (found,) = compared(records)
    assert (found.seeds, found.failed) == ((0, 1, 2, 3, 4), 1)


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ([], "no training of Mine and Theirs went well"),
        (trainings("Mine", MINE), "no training of Theirs went well"),
        ([*trainings("Mine", [0.9]), training("t", "Theirs", seed=5)], "no seed is in both"),
        (
            [*trainings("Mine", [0.9]), *trainings("Theirs", [0.8])],
            "one seed is in both; a difference needs two",
        ),
    ],
)
def test_what_cannot_be_paired_says_why(records: list[Record], reason: str) -> None:
    (found,) = compared(records)
    assert (found.reason, found.verdict) == (reason, "undecided")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"precision": "bf16"}, "fp32; bf16"),
        ({"dataset_fingerprint": "0123456789"}, "data 01234567"),
        ({"protocol": "v1"}, "digits, quick; digits, v1"),
    ],
)
def test_other_terms_are_refused_with_what_differs(change: dict[str, Any], told: str) -> None:
    records = [*trainings("Mine", MINE), *trainings("Theirs", THEIRS, **change)]
    with pytest.raises(InputError, match=f"not on the same terms .*{told}.* not compared"):
        compared(records)


@pytest.mark.parametrize("margin", [0.0, 1.0, float("nan")])
def test_a_margin_that_is_none_is_refused(margin: float) -> None:
    with pytest.raises(InputError, match=r"margin is .*; it must be above 0 and at most 0\.99"):
        compared([], margin=margin)


def test_a_pair_without_a_difference_stays_in_the_family() -> None:
    theirs, lost = compared(
        [*trainings("Mine", MINE), *trainings("Theirs", THEIRS)], "Theirs", "Lost"
    )
    alone = paired_difference(MINE, THEIRS).p_value
    assert theirs.p_holm == pytest.approx(2 * alone)
    assert (lost.p_holm, lost.comparisons) == (None, 2)


def with_answers(block: str, answers: np.ndarray) -> list[Record]:
    return [
        training(
            f"{block} {seed}",
            block,
            seed=seed,
            test_accuracy=float(bits.mean()),
            test_images=len(bits),
            test_correct=packed(bits),
        )
        for seed, bits in enumerate(answers)
    ]


def test_kept_answers_give_the_interval_for_new_images() -> None:
    mine, theirs = np.random.default_rng(0).random((2, 4, 50)) < [[[0.9]], [[0.6]]]
    (found,) = compared([*with_answers("Mine", mine), *with_answers("Theirs", theirs)])
    assert found.new_images == interval_for_new_images(mine, theirs)
    assert (found.images, found.new_images_reason) == (50, "")
    partly = [*with_answers("Mine", mine), *trainings("Theirs", [0.6] * 4)]
    (found,) = compared(partly)
    assert found.new_images is None
    assert found.new_images_reason == "4 of 4 trainings of Theirs kept no answers to test images"


def test_costs_are_of_the_stage_at_that_position() -> None:
    own = FormCost(params_total=7, params_trainable=7, macs=70)
    records: list[Record] = [
        cost("1", "Mine", stage_deploy=own),
        cost("2", "Mine", ("late",), stage_deploy=None),
        cost("3", "Theirs"),
    ]
    (found,) = compared(records)
    assert found.cost == own
    assert found.other_cost is not None
    assert found.other_cost.macs == 20_000


SEEN = "trainings of Mine were there when the family was declared"
NO_CONTEXT = "neither block is the context, ResNetBasicBlock"


@pytest.mark.parametrize(
    ("declared_s", "context", "exploratory"),
    [
        (-1.0, "Theirs", ""),
        (-1.0, "Mine", ""),
        (1.0, "Theirs", SEEN),
        (-1.0, "ResNetBasicBlock", NO_CONTEXT),
        (1.0, "ResNetBasicBlock", f"{NO_CONTEXT} and {SEEN}"),
    ],
)
def test_what_is_declared_late_or_leaves_the_context_out_is_exploratory(
    declared_s: float, context: str, exploratory: str
) -> None:
    scaffold = SCAFFOLD.model_copy(update={"context": context})
    # Of theirs it does not count that there were some.
    theirs = trainings("Theirs", THEIRS, created_at=after(-100.0), scaffold=scaffold)
    (found,) = compare_records(
        [*trainings("Mine", MINE, scaffold=scaffold), *theirs],
        "Mine",
        ["Theirs"],
        [Position.MID],
        declared_at=after(declared_s),
    )
    assert (found.exploratory, found.verdict) == (exploratory, "better")


def test_the_context_fitted_to_a_budget_is_the_context_still() -> None:
    scaffold = SCAFFOLD.model_copy(update={"context": "Theirs"})
    theirs = trainings("Theirs[width=0.5]", THEIRS, scaffold=scaffold)
    records = [*trainings("Mine", MINE, scaffold=scaffold), *theirs]
    (found,) = compare_records(records, "Mine", ["Theirs[width=0.5]"], [Position.MID])
    assert (found.exploratory, found.verdict) == ("", "better")


def test_the_ratio_of_latencies_is_of_one_session() -> None:
    baseline = latency("b", "Theirs", baseline="Theirs", ratio=1.0, verdict="baseline", session="s")
    mine = latency("m", "Mine", baseline="Theirs", session="s")
    (found,) = compared([baseline, mine])
    assert found.latency is not None
    assert (found.latency.ratio, found.latency.verdict) == (0.9, "faster")
    (turned,) = compare_records([baseline, mine], "Theirs", ("Mine",), [Position.MID])
    assert turned.latency is not None
    assert turned.latency.ratio == pytest.approx(1 / 0.9)
    assert turned.latency.interval == pytest.approx((1 / 0.92, 1 / 0.88))
    assert turned.latency.verdict == "slower"
    # A baseline that is the same network at several positions has one record, of the last session.
    later = baseline.model_copy(update={"session": "later"})
    assert compared([later, mine])[0].latency == found.latency
    (turned_too,) = compare_records([later, mine], "Theirs", ("Mine",), [Position.MID])
    assert turned_too.latency == turned.latency
    third = latency("t", "Theirs", baseline="Third", session="s")
    apart = latency("m", "Mine", baseline="Third", session="other")
    assert compared([third, apart])[0].latency is None


def test_two_that_were_timed_beside_one_baseline_have_a_wider_ratio() -> None:
    third: dict[str, Any] = {"baseline": "B", "session": "s"}
    mine, theirs = latency("m", "Mine", **third), latency("t", "Theirs", **third, ratio=1.2)
    theirs = theirs.model_copy(update={"ratio_interval": (1.1, 1.3), "verdict": "slower"})
    (found,) = compared([mine, theirs])
    assert found.latency is not None
    assert found.latency.ratio == pytest.approx(0.75)
    assert found.latency.interval == pytest.approx((0.88 / 1.3, 0.92 / 1.1))
    assert found.latency.verdict == "faster"


def test_a_pair_shows_itself_in_a_line_and_a_table() -> None:
    (found,) = compared([*trainings("Mine", MINE), *trainings("Theirs", THEIRS)])
    assert repr(found).startswith(
        "<Comparison: block Mine, other Theirs, position mid, verdict better, "
        "difference +2.80 points [+2.24, +3.36], seeds 5"
    )
    assert cells_of(found)[:3] == ["Comparison", "block", "Mine"]


def test_a_pair_that_was_not_found_says_why_and_its_names_are_text() -> None:
    missing = Comparison(position=Position.MID, block=SCRIPT, other="B", reason="no seed")
    assert repr(missing).endswith("verdict undecided, seeds 0, reason no seed>")
    assert cells_of(missing)[2] == SCRIPT


CONTEXT = "ResNetBasicBlock"


def with_context(records: list[Record], **settings: Any) -> list[Comparison]:
    kept = trained(r for r in records if isinstance(r, TrainingRecord))
    return compare_with_context(by_seeds(kept), records, **settings)


def test_the_family_is_each_block_against_the_context() -> None:
    records = [
        *trainings("A", MINE),
        *trainings("B", THEIRS),
        *trainings(CONTEXT, THEIRS),
        latency("a", "A", ratio=0.8, ratio_interval=(0.79, 0.81), baseline=CONTEXT, session="s"),
        latency("b", "B", ratio=1.6, ratio_interval=(1.5, 1.7), baseline=CONTEXT, session="s"),
    ]
    found = with_context(records)
    assert [(each.block, each.other) for each in found] == [
        ("A", CONTEXT),
        ("B", CONTEXT),
        ("A", "B"),
    ]
    alone = compare_records(records, "A", [CONTEXT], [Position.MID])[0]
    first, _, last = found
    assert first.difference == alone.difference
    assert first.new_images == alone.new_images
    assert first.comparisons == 2
    assert first.p_holm == min(1.0, 2 * alone.difference.p_value)  # type: ignore[union-attr]
    assert (first.verdict, first.exploratory) == ("better", "")
    assert first.latency is not None
    assert (first.latency.ratio, first.latency.interval) == (0.8, (0.79, 0.81))
    assert last.exploratory == f"neither block is the context, {CONTEXT}"
    assert last.comparisons == 3
    # By Holm over all three pairs, of which the third has no difference.
    assert last.p_holm == pytest.approx(3 * alone.difference.p_value)  # type: ignore[union-attr]
    assert last.latency is not None
    assert last.latency.ratio == pytest.approx(0.5)


def test_of_many_blocks_other_pairs_are_left_out() -> None:
    records = [*trainings("A", MINE), *trainings("B", THEIRS), *trainings(CONTEXT, THEIRS)]
    found = with_context(records, most_pairs=2)
    assert {each.other for each in found} == {CONTEXT}
    without = with_context([*trainings("A", MINE), *trainings("B", THEIRS)])
    assert [(each.block, each.other) for each in without] == [("A", "B")]
