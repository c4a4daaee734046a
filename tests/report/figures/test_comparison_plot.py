from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from blockzoo.report.figures.accuracy_plot import render
from blockzoo.report.figures.comparison_plot import comparison_figure
from tests.report.tables.test_comparison import found


def test_a_row_for_each_pair_with_both_intervals() -> None:
    better = replace(found([0.030, 0.031, 0.020, 0.030, 0.029]), new_images=(0.01, 0.05))
    equal = found([0.001, -0.001, 0.000, 0.001, 0.0])
    figure = comparison_figure([better, equal])
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Mine less Theirs, mid"] * 2
    drawn = [np.asarray(line.get_xdata()).tolist() for line in axes.get_lines()]
    assert [1.0, 5.0] in drawn  # new images, thin
    assert pytest.approx([2.2378, 3.3622], abs=1e-3) in drawn
    assert pytest.approx([2.8]) in drawn
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["better", "equal"]
    assert len(render(figure, "png")) > 1000
