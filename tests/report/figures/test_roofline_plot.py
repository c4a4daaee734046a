from __future__ import annotations

from itertools import combinations

import pytest
from matplotlib.text import Annotation

from blockzoo.analysis.roofline import Roof, place_under
from blockzoo.core.errors import ResultsError
from blockzoo.core.position import POSITIONS, Position
from blockzoo.report.figures.accuracy_plot import render
from blockzoo.report.figures.roofline_plot import RooflinePoint, plot_roofline

ROOF = Roof(flops_per_s=90e9, bytes_per_s=10e9)


def point(block: str, position: Position, flops: int, latency_ms: float = 1.0) -> RooflinePoint:
    achieved = place_under(
        ROOF, flops=flops, moved_bytes=5_000_000, least_bytes=500_000, latency_ms=latency_ms
    )
    return RooflinePoint(block=block, position=position, achieved=achieved)


POINTS = [
    point(block, position, flops=10_000_000 * (n + 2) + 1_000_000 * k)
    for n, block in enumerate(["A_block", "B$block", "C"])
    for k, position in enumerate(POSITIONS)
]


def test_one_marker_per_block_and_position_under_the_roof() -> None:
    figure = plot_roofline(POINTS, ROOF, subtitle="batch 1", note=["Measured so."])
    (axes,) = figure.axes
    lines = {str(line.get_label()): line for line in axes.get_lines()}
    for each in POINTS:
        line = lines[f"{each.block}/{each.position}"]
        intensity, speed = each.place
        assert line.get_xydata().tolist() == [[intensity, speed]]  # type: ignore[union-attr]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    corners = [line.get_xydata().tolist() for line in axes.get_lines()]  # type: ignore[union-attr]
    assert any([9.0, 90.0] in path and len(path) == 3 for path in corners)


def test_names_do_not_overlap_and_the_peaks_are_written() -> None:
    figure = plot_roofline(POINTS, ROOF, subtitle="batch 1", note=["Measured so."])
    (axes,) = figure.axes
    texts = [child for child in axes.get_children() if isinstance(child, Annotation)]
    written = {text.get_text() for text in texts}
    assert {"90 GFLOP/s", "10 GB/s", "batch 1", "Measured so."} <= written
    assert {"A_block", "B$block", "C"} <= written
    for one, other in combinations(texts, 2):
        assert not one.get_window_extent().overlaps(other.get_window_extent())


def test_a_network_without_flops_is_counted_not_drawn() -> None:
    figure = plot_roofline(
        [*POINTS, point("Pool", Position.MID, flops=0)], ROOF, subtitle="", note=["Note."]
    )
    (axes,) = figure.axes
    assert not any("Pool" in str(line.get_label()) for line in axes.get_lines())
    texts = [child.get_text() for child in axes.get_children() if isinstance(child, Annotation)]
    assert "Note. Without FLOPs, and not shown: 1." in texts
    with pytest.raises(ResultsError, match="no network with FLOPs"):
        plot_roofline([point("Pool", Position.MID, flops=0)], ROOF, subtitle="", note=[])


def test_the_same_points_give_the_same_file() -> None:
    files = [
        render(plot_roofline(POINTS, ROOF, subtitle="batch 1", note=["N."]), "png")
        for _ in range(2)
    ]
    assert files[0] == files[1]
    assert files[0].startswith(b"\x89PNG")
