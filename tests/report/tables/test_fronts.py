"""Fronts as people read them: a table, a line on the best within limits, a figure."""

from __future__ import annotations

import pytest

from blockzoo.analysis.fronts import CostLimits, Front, fronts
from blockzoo.report.figures.front_plot import front_figure
from blockzoo.report.tables.fronts import front_lines, front_table
from blockzoo.results.records import FormCost
from tests.record_samples import cost, training
from tests.report.tables.reading import drawn

BLOCKS = {"Cheap": (0.80, 100_000), "Good": (0.90, 2_000_000), "Waste": (0.85, 40_000_000)}
LIMITS = CostLimits(max_macs=3_000_000)


def front(seeds: int = 4, limits: CostLimits = LIMITS) -> Front:
    records = [
        training(f"{b}{s}", b, seed=s, test_accuracy=accuracy + 0.001 * ((s * (2 + row)) % 3))
        for row, (b, (accuracy, _)) in enumerate(BLOCKS.items())
        for s in range(seeds)
    ]
    costs = [
        cost(b, b, deploy=FormCost(params_total=1, params_trainable=1, macs=macs))
        for b, (_, macs) in BLOCKS.items()
    ]
    lost = training("lost", "Lost", test_accuracy=0.7)
    (found,) = fronts([*records, *costs, lost], "macs", limits=limits)
    return found


def shown(width: int, seeds: int = 4) -> str:
    return drawn(front_table(front(seeds)), width)


def test_cost_accuracy_and_how_surely_on_the_front() -> None:
    title, header, *rows = shown(120).splitlines()
    assert title.strip() == "Accuracy against MMACs: digits, quick"
    assert header.split()[:3] == ["block", "position", "MMACs"]
    assert rows[0].split() == ["Cheap", "mid", "0.1", "80.08", "4", "100%", "-"]
    assert rows[2].split() == ["Waste", "mid", "40.0", "x", "85.08", "4", "0%", "Good", "mid"]


@pytest.mark.parametrize("width", [60, 80, 200])
def test_digits_are_never_cut(width: int) -> None:
    text = shown(width)
    assert all(number in text for number in ("80.08", "85.08", "40.0 x", "100%"))


def test_the_best_within_limits_is_said_and_what_was_left_out() -> None:
    assert front_lines(front(), LIMITS) == [
        "best with macs up to 3e+06: Good mid, 90.00%, the best in 100% of draws",
        "left out, for a cost is not known: Lost mid",
    ]
    few = front_lines(front(seeds=2), LIMITS)[0]
    assert few.endswith("2 seeds: how sure that is cannot be said")
    none = CostLimits(max_macs=1)
    assert front_lines(front(limits=none), none)[0] == "with macs up to 1: no block of 3"
    assert len(front_lines(front(), CostLimits())) == 1
    assert shown(120, seeds=2).splitlines()[2].split()[5] == "-"


def test_the_figure_names_who_may_be_on_the_front() -> None:
    axes = front_figure([front()]).axes[0]
    assert {text.get_text() for text in axes.texts} == {"Cheap mid", "Good mid"}
    assert axes.get_xlabel() == "MMACs"
