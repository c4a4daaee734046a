"""A comparison in a table and in a sentence that says no more than was found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from blockzoo.analysis.compare import Comparison, compare_records
from blockzoo.core.position import Position
from blockzoo.report.tables.comparison import (
    comparison_table,
    detail_lines,
    disagreement_lines,
    exploratory_line,
    sentence,
    undecided_lines,
)
from tests.record_samples import SCAFFOLD, cost, latency, training
from tests.report.tables.reading import column_of, drawn

THEIRS = [0.90, 0.91, 0.93, 0.90, 0.91]


def found(differences: list[float], *, timed: bool = True) -> Comparison:
    both = {"Mine": [t + d for t, d in zip(THEIRS, differences, strict=False)], "Theirs": THEIRS}
    scaffold = SCAFFOLD.model_copy(update={"context": "Theirs"})
    records = [
        training(f"{block} {seed}", block, seed=seed, test_accuracy=accuracy, scaffold=scaffold)
        for block, accuracies in both.items()
        for seed, accuracy in enumerate(accuracies)
    ]
    own = [latency("l", "Theirs", verdict="baseline", session="s", baseline="Theirs", ratio=1.0)]
    own += [latency("m", "Mine", session="s", baseline="Theirs")]
    costs = [cost("c", "Mine"), cost("d", "Theirs")]
    (pair,) = compare_records(
        [*records, *(own if timed else ()), *costs], "Mine", ("Theirs",), [Position.MID]
    )
    return pair


def test_a_sentence_says_what_was_found_and_how_sure() -> None:
    assert sentence(found([0.030, 0.031, 0.020, 0.030, 0.029])) == (
        "On digits by protocol quick, 5 paired seeds, Mine at mid is 2.80 points better than "
        "Theirs (95% interval +2.24 to +3.36 on these test images; p = 0.00016, Holm's in a family "
        "of 1), at 0.900 (0.880 to 0.920) of its latency (faster) and with 1.00 of the MACs of its "
        "stage."
    )


@pytest.mark.parametrize(
    ("differences", "words"),
    [
        ([-0.030, -0.031, -0.020, -0.030, -0.029], "Mine at mid is 2.80 points worse than Theirs"),
        ([0.001, -0.001, 0.000, 0.001, 0.0], "Mine at mid equals Theirs within 0.3 points (+0.02)"),
        ([0.03, -0.03, 0.02, 0.01, 0.0], "whether Mine at mid is better or worse than Theirs"),
    ],
)
def test_each_verdict_has_its_words(differences: list[float], words: str) -> None:
    assert words in sentence(found(differences))


def test_what_is_undecided_says_what_would_decide_it() -> None:
    (line,) = undecided_lines([found([0.03, -0.03, 0.02, 0.01, 0.0])])
    assert line == (
        "mid, Mine against Theirs: undecided: 5 seeds find 3.87 points with 80% power; about 118 "
        "seeds would decide it"
    )
    assert undecided_lines([found([0.030, 0.031, 0.020, 0.030, 0.029])]) == []


def test_details_say_what_pairing_bought_and_what_is_missing() -> None:
    (line,) = detail_lines([found([0.030, 0.031, 0.020, 0.030, 0.029])])
    assert line == (
        "mid, Mine against Theirs: better with 100% of seeds (57 to 100%); correlation over seeds "
        "+0.97; no interval for new images: 5 of 5 trainings of Mine kept no answers to test images"
    )


def test_two_tests_that_disagree_are_named() -> None:
    pair = found([0.030, 0.031, 0.020, 0.030, 0.029])
    assert disagreement_lines([pair], 0.05) == []  # five signs are never rarer than 0.06
    (line,) = disagreement_lines([replace(pair, seeds=tuple(range(9)), p_max_t=0.2)], 0.05)
    assert line.endswith("Holm p = 0.00016, joint sign flips p = 0.2: the two disagree")


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_no_number_is_cut_and_columns_left_out_are_named(width: int) -> None:
    text = drawn(comparison_table([found([0.030, 0.031, 0.020, 0.030, 0.029])]), width)
    assert {"+2.80", "better"} <= set(text.split())
    assert "+2.24 to +3.36" in text
    assert ("not shown at" in text) == ("400 / 400" not in text)


def test_an_exploratory_pair_is_marked_wherever_it_is_shown() -> None:
    pair = found([0.030, 0.031, 0.020, 0.030, 0.029])
    marked = replace(pair, exploratory="neither block is the context, Other")
    assert column_of(comparison_table([marked]), "verdict") == ["better *"]
    line = exploratory_line([pair, marked])
    assert line.startswith("* exploratory: neither block is the context, Other; to confirm")
    assert exploratory_line([pair]) == ""
    assert "; exploratory: neither block is the context, Other)" in sentence(marked)
