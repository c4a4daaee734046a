"""Blocks by position, as people read them: a table and a heat map."""

from __future__ import annotations

import pytest

from blockzoo.analysis.specialisation import Specialisation, specialisations
from blockzoo.core.position import POSITIONS
from blockzoo.report.figures.specialisation_plot import specialisation_figure
from blockzoo.report.tables.specialisation import specialisation_table, undecided_line
from tests.record_samples import training
from tests.report.tables.reading import drawn

BLOCKS = {"Early": (0.86, 0.80, 0.80), "Half": (0.81, 0.80)}


def blocks() -> list[Specialisation]:
    jitter = [0.000, 0.001, 0.002, 0.001]
    own = [
        training(
            f"{block} {position} {seed}",
            block,
            (str(position),),
            seed=seed,
            test_accuracy=accuracy + jitter[(seed + row) % 4],
        )
        for block, accuracies in BLOCKS.items()
        for row, (position, accuracy) in enumerate(zip(POSITIONS, accuracies, strict=False))
        for seed in range(4)
    ]
    everywhere = tuple(str(position) for position in POSITIONS)
    context = [
        training(f"c {s}", "ResNetBasicBlock", everywhere, seed=s, test_accuracy=0.80)
        for s in range(4)
    ]
    return specialisations([*own, *context])


def shown(width: int) -> str:
    return drawn(specialisation_table(blocks()), width)


def test_gains_contrast_and_verdict_are_shown() -> None:
    title, header, early, half, *_ = shown(150).splitlines()
    assert title.strip() == "Gain over ResNetBasicBlock by position, points: digits, quick"
    assert header.split()[:4] == ["block", "early", "mid", "late"]
    assert early.split()[:5] == ["Early", "+6.10", "+0.10", "+0.10", "+6.00"]
    assert early.rstrip().endswith("early specialist")
    assert half.split()[:4] == ["Half", "+1.10", "+0.10", "-"]
    assert undecided_line(blocks()) == (
        "undecided: Half: it was not trained at all three positions with common seeds"
    )


@pytest.mark.parametrize("width", [60, 80, 120])
def test_digits_are_never_cut(width: int) -> None:
    text = shown(width)
    assert "+6.00" in text
    assert max(map(len, map(str.rstrip, text.splitlines()))) <= width


def test_the_heat_map_has_a_cell_for_each_gain_and_a_verdict_for_each_block() -> None:
    texts = [text.get_text() for text in specialisation_figure(blocks()).axes[0].texts]
    assert texts.count("+0.10") == 3
    assert {"+6.10", "early specialist", "undecided"} <= set(texts)
