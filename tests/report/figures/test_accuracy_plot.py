from __future__ import annotations

import functools
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from blockzoo.core.errors import InputError, ResultsError, UnknownNameError
from blockzoo.report.figures.accuracy_plot import plot_accuracy, render
from blockzoo.report.figures.points import (
    FLOPS,
    LATENCY,
    LATENCY_RATIO,
    MEMORY,
    CostAxis,
    select_results,
)
from blockzoo.report.figures.style import MARKERS, assign_looks

NAN = float("nan")


def summary_row(block: str, position: str, **values: object) -> dict[str, object]:
    """A row of a summary: accuracy 0.7 +- 0.01 of 5 seeds, 2 ms, 3 GFLOPs, 4 MB unless told."""
    return {
        "dataset": "digits",
        "protocol": "quick-1",
        "block": block,
        "position": position,
        "n": 5,
        "failed": 0,
        "accuracy": 0.7,
        "accuracy_low": 0.69,
        "accuracy_high": 0.71,
        "accuracy_source": "test",
        "flops": 3e9,
        "memory_mb": 4.0,
        "latency_ms": 2.0,
        "latency_low_ms": 1.9,
        "latency_high_ms": 2.1,
        "latency_batch_size": 1.0,
        "latency_hardware": "A CPU",
        "latency_ratio": 0.5,
        "latency_ratio_low": 0.4,
        "latency_ratio_high": 0.6,
        "latency_baseline": "B",
        "latency_verdict": "faster",
        "latency_timing": "environment/session",
        **values,
    }


def three_cells() -> pd.DataFrame:
    """One block: mid and late are on the front, early is beaten by mid; rows out of order."""
    costs = {"late": (2.0, 0.60), "early": (9.0, 0.70), "mid": (4.0, 0.80)}
    return pd.DataFrame(
        summary_row(
            "RepMixer",
            position,
            latency_ms=ms,
            latency_low_ms=ms - 0.5,
            latency_high_ms=ms + 0.25,
            accuracy=accuracy,
            accuracy_low=accuracy - 0.03,
            accuracy_high=accuracy + 0.02,
        )
        for position, (ms, accuracy) in costs.items()
    )


def many_cells(blocks: int, *, seed: int = 0) -> pd.DataFrame:
    """Three results of each of that many blocks, scattered."""
    generator = np.random.default_rng(seed)
    rows = []
    for index in range(blocks):
        cost, skill = np.exp(generator.normal(0, 0.8)), generator.normal(0.7, 0.02)
        for position in ("early", "mid", "late"):
            ms = 5 * cost * generator.uniform(0.6, 1.4)
            accuracy = skill + 0.01 * np.log(cost) + generator.normal(0, 0.01)
            rows.append(
                summary_row(
                    f"family/Block{index:02}",
                    position,
                    latency_ms=ms,
                    latency_low_ms=0.98 * ms,
                    latency_high_ms=1.01 * ms,
                    accuracy=accuracy,
                    accuracy_low=accuracy - 0.004,
                    accuracy_high=accuracy + 0.004,
                )
            )
    return pd.DataFrame(rows)


def axes_of(figure: Figure) -> Axes:
    (axes,) = figure.axes
    return axes


def line(figure: Figure, label: str) -> Line2D:
    (found,) = [line for line in axes_of(figure).lines if line.get_label() == label]
    return found


def places(found: Line2D) -> list[tuple[float, float]]:
    x, y = np.asarray(found.get_xdata()), np.asarray(found.get_ydata())
    return [(float(a), round(float(b), 9)) for a, b in zip(x, y, strict=True)]


def points(figure: Figure) -> list[Line2D]:
    return [line for line in axes_of(figure).lines if line.get_marker() in MARKERS]


def bars(figure: Figure) -> list[list[list[float]]]:
    collections = [c for c in axes_of(figure).collections if isinstance(c, LineCollection)]
    return [np.round(s, 9).tolist() for c in collections for s in c.get_segments()]


def labels(figure: Figure, names: Sequence[str]) -> list[Annotation]:
    found = [a for a in axes_of(figure).texts if isinstance(a, Annotation)]
    return [a for a in found if a.get_text() in names]


def texts(figure: Figure) -> str:
    axes = axes_of(figure)
    return "\n".join([axes.get_title(loc="left"), *(text.get_text() for text in axes.texts)])


def legends(figure: Figure) -> list[Legend]:
    return [child for child in axes_of(figure).get_children() if isinstance(child, Legend)]


def marker_box(figure: Figure, point: Line2D) -> Bbox:
    """The smallest box that a marker of that diameter may fill."""
    (centre,) = axes_of(figure).transData.transform(np.array(places(point)))
    radius = point.get_markersize() / 2 * figure.dpi / 72
    return Bbox([centre - radius, centre + radius])


def share_area(one: Bbox, other: Bbox) -> bool:
    return bool(one.x0 < other.x1 and other.x0 < one.x1 and one.y0 < other.y1 and other.y0 < one.y1)


def test_points_are_at_their_cost_and_accuracy_in_percent() -> None:
    figure = plot_accuracy(three_cells(), LATENCY)
    found = {str(point.get_label()): places(point) for point in points(figure)}
    assert found == {
        "RepMixer/early": [(9.0, 70.0)],
        "RepMixer/mid": [(4.0, 80.0)],
        "RepMixer/late": [(2.0, 60.0)],
    }


def test_a_line_joins_early_mid_late() -> None:
    figure = plot_accuracy(three_cells(), LATENCY)
    assert places(line(figure, "RepMixer")) == [(9.0, 70.0), (4.0, 80.0), (2.0, 60.0)]


def test_bars_span_the_intervals_of_both_axes() -> None:
    found = bars(plot_accuracy(three_cells(), LATENCY))
    assert len(found) == 6
    assert [[3.5, 80.0], [4.25, 80.0]] in found
    assert [[4.0, 77.0], [4.0, 82.0]] in found


def test_an_interval_that_is_absent_has_no_length() -> None:
    summary = three_cells().assign(n=1, accuracy_low=NAN, accuracy_high=NAN)
    figure = plot_accuracy(summary, FLOPS)
    assert all(start == end for start, end in bars(figure))
    assert "one seed per result" in texts(figure)
    assert "Bars are" not in texts(figure)
    assert "95% interval" not in [t.get_text() for t in legends(figure)[0].get_texts()]


def test_the_front_is_a_step_line_through_the_cells_no_other_beats() -> None:
    front = line(plot_accuracy(three_cells(), LATENCY), "Pareto front")
    assert places(front) == [(2.0, 60.0), (4.0, 80.0)]
    assert front.get_drawstyle() == "steps-post"


def test_the_fronts_points_are_emphasised_and_no_other() -> None:
    figure = plot_accuracy(three_cells(), LATENCY)
    faces = {str(p.get_label()): to_rgba(p.get_markerfacecolor())[3] for p in points(figure)}
    assert faces["RepMixer/mid"] == faces["RepMixer/late"] > 0.5
    assert faces["RepMixer/early"] < 0.2


def test_size_tells_the_position_and_small_points_lie_on_large_ones() -> None:
    summary = pd.DataFrame(summary_row("A", p) for p in ("early", "mid", "late"))
    found = points(plot_accuracy(summary, LATENCY))
    by_size = sorted(found, key=lambda point: point.get_markersize())
    assert [str(p.get_label()) for p in by_size] == ["A/early", "A/mid", "A/late"]
    assert by_size[0].get_zorder() > by_size[1].get_zorder() > by_size[2].get_zorder()


def test_points_are_drawn_above_every_line_and_bar() -> None:
    figure = plot_accuracy(many_cells(11), LATENCY)
    drawn = {id(point) for point in points(figure)}
    artists = (*axes_of(figure).lines, *axes_of(figure).collections)
    highest = max(artist.get_zorder() for artist in artists if id(artist) not in drawn)
    assert highest < min(point.get_zorder() for point in points(figure))


@functools.cache
def figure_of(blocks: int) -> Figure:
    """A figure of that many blocks, drawn once; its tests only look at it."""
    return plot_accuracy(many_cells(blocks), LATENCY)


def test_seventy_blocks_are_all_there_and_all_different() -> None:
    figure = figure_of(70)
    looks = {
        (p.get_marker(), to_hex(p.get_markerfacecolor())): str(p.get_label()).rsplit("/", 1)[0]
        for p in points(figure)
    }
    assert len(points(figure)) == 210
    assert len(looks) == len(set(looks.values())) == 70
    assert [text.get_text() for text in legends(figure)[1].get_texts()] == sorted(looks.values())


def test_given_looks_are_used() -> None:
    looks = assign_looks(["A", "B", "RepMixer"])
    found = points(plot_accuracy(three_cells(), LATENCY, looks=looks))
    assert {point.get_marker() for point in found} == {looks["RepMixer"].marker}


@pytest.mark.parametrize("blocks", [1, 11, 70])
def test_legends_are_outside_the_axes_inside_the_figure_and_apart(blocks: int) -> None:
    figure = figure_of(blocks)
    figure.draw_without_rendering()
    key, names = (legend.get_window_extent() for legend in legends(figure))
    axes_box = axes_of(figure).bbox
    for box in (key, names):
        assert box.x0 >= axes_box.x1
        assert box.x1 <= figure.bbox.x1
        assert box.y0 >= figure.bbox.y0
    assert names.y1 <= key.y0
    assert names.y0 >= axes_box.y0 - 1


@pytest.mark.parametrize("blocks", [1, 70])
def test_everything_written_is_within_the_figure(blocks: int) -> None:
    figure = figure_of(blocks)
    tight = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert min(tight.x0, tight.y0, width - tight.x1, height - tight.y1) > 0.1


@pytest.mark.parametrize(("blocks", "seed"), [(3, 1), (11, 2), (60, 3)])
def test_labels_name_blocks_of_the_front_and_overlap_nothing(blocks: int, seed: int) -> None:
    summary = many_cells(blocks, seed=seed)
    figure = plot_accuracy(summary, LATENCY)
    figure.draw_without_rendering()
    front = {result.block for result in select_results(summary, LATENCY).front()}
    found = labels(figure, list(summary["block"].unique()))
    names = [label.get_text() for label in found]
    assert names
    assert len(names) == len(set(names))
    assert set(names) <= front
    boxes = [label.get_window_extent() for label in found]
    for index, box in enumerate(boxes):
        assert not any(share_area(box, other) for other in boxes[:index])
        assert not any(share_area(box, marker_box(figure, point)) for point in points(figure))
        assert axes_of(figure).bbox.x0 <= box.x0 <= box.x1 <= axes_of(figure).bbox.x1


def test_labels_that_do_not_fit_are_left_out() -> None:
    rows = [summary_row(f"Block{index:02}", "mid") for index in range(40)]
    found = labels(plot_accuracy(pd.DataFrame(rows), LATENCY), [str(row["block"]) for row in rows])
    assert 0 < len(found) < 40


@pytest.mark.parametrize(("largest", "scale"), [(20.0, "linear"), (20.1, "log")])
def test_a_wide_range_of_costs_is_drawn_on_a_log_axis(largest: float, scale: str) -> None:
    intervals = {"latency_low_ms": NAN, "latency_high_ms": NAN}
    rows = [summary_row("A", "mid", latency_ms=ms, **intervals) for ms in (1.0, largest)]
    assert axes_of(plot_accuracy(pd.DataFrame(rows), LATENCY)).get_xscale() == scale


def test_a_log_axis_bears_an_interval_that_reaches_zero() -> None:
    rows = [
        summary_row("A", "mid", latency_ms=ms, latency_low_ms=-1.0, latency_high_ms=ms + 1)
        for ms in (0.5, 5000.0)
    ]
    left, right = axes_of(plot_accuracy(pd.DataFrame(rows), LATENCY)).get_xlim()
    assert 0 < left < 0.5 < 5000 < right


@pytest.mark.parametrize("cost", [LATENCY, FLOPS, MEMORY], ids=lambda cost: str(cost.name))
@pytest.mark.parametrize("count", [1, 2, 3])
def test_points_that_are_one_lie_within_the_view(cost: CostAxis, count: int) -> None:
    rows = [summary_row(f"B{index}", "mid", accuracy=1.0) for index in range(count)]
    figure = plot_accuracy(pd.DataFrame(rows), cost)
    (left, right), (low, high) = axes_of(figure).get_xlim(), axes_of(figure).get_ylim()
    ((x, y),) = {places(point)[0] for point in points(figure)}
    assert left < x < right
    assert low < y == 100 < high < 101
    shared = f"{count} results exactly on another." in texts(figure)
    assert shared == (count > 1)


def test_huge_intervals_are_cut_and_said_to_be() -> None:
    summary = three_cells().assign(accuracy_low=-5.0, accuracy_high=6.0)
    figure = plot_accuracy(summary, LATENCY)
    low, high = axes_of(figure).get_ylim()
    assert 35 < low < 60
    assert 80 < high < 105
    assert "Bars that reach the edge go on beyond it." in texts(figure)


def test_what_is_missing_is_left_out_and_counted() -> None:
    rows = [
        *three_cells().to_dict("records"),
        summary_row("A", "early", latency_ms=NAN),
        summary_row("A", "mid", latency_ms=NAN),
        summary_row("A", "late", accuracy=NAN, n=0),
    ]
    figure = plot_accuracy(pd.DataFrame(rows), LATENCY)
    assert len(points(figure)) == 3
    assert "2 results without latency not shown." in texts(figure)
    assert "1 result without accuracy not shown." in texts(figure)
    assert [text.get_text() for text in legends(figure)[1].get_texts()] == ["RepMixer"]


def test_titles_name_data_protocol_seeds_units_and_hardware() -> None:
    figure = plot_accuracy(three_cells().assign(n=[5, 3, 5]), LATENCY)
    written = texts(figure)
    assert "Accuracy against latency on digits" in written
    assert "protocol quick-1, mean of 3 to 5 seeds" in written
    assert "Bars are 95% intervals. Latency measured on A CPU." in written
    assert axes_of(figure).get_xlabel() == "Latency, deploy form, median, batch 1 (ms)"
    assert axes_of(figure).get_ylabel() == "Test accuracy (%)"


def test_what_is_not_known_of_an_early_versions_result_is_not_said() -> None:
    summary = three_cells().assign(protocol="", accuracy_source="validation")
    unknown = summary.assign(latency_hardware="", latency_batch_size=NAN)
    figure = plot_accuracy(unknown, LATENCY)
    assert "protocol" not in texts(figure)
    assert "measured on" not in texts(figure)
    assert axes_of(figure).get_xlabel() == "Latency, deploy form, median (ms)"
    assert axes_of(figure).get_ylabel() == "Validation accuracy (%)"


@pytest.mark.parametrize(
    ("flops", "shown", "unit"),
    [(2.5e9, 2.5, "GFLOPs"), (25e6, 25.0, "MFLOPs"), (4e3, 4.0, "kFLOPs"), (40.0, 0.04, "kFLOPs")],
)
def test_flops_are_shown_in_a_unit_that_reads_well(flops: float, shown: float, unit: str) -> None:
    figure = plot_accuracy(pd.DataFrame([summary_row("A", "mid", flops=flops)]), FLOPS)
    assert places(points(figure)[0])[0][0] == pytest.approx(shown)
    assert axes_of(figure).get_xlabel().endswith(f"({unit})")


def test_names_are_shown_as_they_are() -> None:
    names = ["_Private", "$a_b$"]
    figure = plot_accuracy(pd.DataFrame(summary_row(name, "mid") for name in names), LATENCY)
    assert [text.get_text() for text in legends(figure)[1].get_texts()] == sorted(names)
    assert render(figure, "png")


def test_nothing_to_plot_says_what_is_missing() -> None:
    rows = [summary_row("A", "mid", latency_ms=NAN), summary_row("B", "mid", accuracy=NAN)]
    message = "of 2 results, 1 have an accuracy and 1 a latency, but none has both"
    with pytest.raises(ResultsError, match=message):
        plot_accuracy(pd.DataFrame(rows), LATENCY)


@pytest.mark.parametrize("column", ["dataset", "protocol"])
def test_a_summary_of_several_is_refused(column: str) -> None:
    rows = [summary_row("A", "mid", **{column: name}) for name in ("one", "two")]
    with pytest.raises(ResultsError, match=f"one figure shows one {column}; given one, two"):
        plot_accuracy(pd.DataFrame(rows), LATENCY)


def test_an_unknown_position_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="unknown position 'middle'"):
        plot_accuracy(pd.DataFrame([summary_row("A", "middle")]), LATENCY)


def test_rendered_files_are_valid_and_the_same_every_time() -> None:
    files = [
        {form: render(plot_accuracy(three_cells(), LATENCY), form) for form in ("png", "svg")}
        for _ in range(2)
    ]
    assert files[0] == files[1]
    assert ET.fromstring(files[0]["svg"]).tag == "{http://www.w3.org/2000/svg}svg"
    height, width, channels = imread(BytesIO(files[0]["png"])).shape
    assert width > height > 700
    assert channels == 4


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(InputError, match="figure format is 'gif'; allowed: png, svg"):
        render(Figure(), "gif")


def test_plots_need_neither_torch_nor_pyplot() -> None:
    code = (
        "import sys, blockzoo.report.figures.accuracy_plot; "
        "print(sorted({'torch', 'lightning', 'matplotlib.pyplot'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def crosses(figure: Figure) -> list[Line2D]:
    return [line for line in axes_of(figure).lines if line.get_marker() == "x"]


def test_a_result_with_failed_seeds_is_crossed_out_and_told_also_on_the_front() -> None:
    summary = three_cells().assign(n=[3, 5, 5], failed=[7, 0, 0])  # late, which is on the front
    figure = plot_accuracy(summary, LATENCY)
    assert [places(cross) for cross in crosses(figure)] == [[(2.0, 60.0)]]
    assert (2.0, 60.0) in places(line(figure, "Pareto front"))
    (cross,) = crosses(figure)
    assert cross.get_zorder() > max(point.get_zorder() for point in points(figure))
    told = " ".join(texts(figure).split())
    assert "Seeds that failed are in no mean: 7 of 10 of RepMixer late." in told
    assert "some seeds failed" in [text.get_text() for text in legends(figure)[0].get_texts()]


def test_without_failures_nothing_is_crossed_out() -> None:
    figure = plot_accuracy(three_cells(), LATENCY)
    assert crosses(figure) == []
    assert "failed" not in texts(figure)


def test_latencies_that_were_timed_apart_are_drawn_by_ratio_and_by_nothing_else() -> None:
    rows = [
        summary_row("A", "mid", latency_ms=5.0, latency_ratio=0.9, latency_timing="1/a"),
        summary_row("B", "mid", latency_ms=4.0, latency_ratio=1.0, latency_timing="2/b")
        | {"latency_verdict": "baseline"},
    ]
    summary = pd.DataFrame(rows)
    with pytest.raises(ResultsError, match="timed apart, in 2 runs or environments"):
        plot_accuracy(summary, LATENCY)
    figure = plot_accuracy(summary, LATENCY_RATIO)
    assert {places(point)[0][0] for point in points(figure)} == {0.9, 1.0}
    told = " ".join(texts(figure).split())
    assert "Ratios are to B." in told
    assert "Verdicts: 1 baseline, 1 faster." in told


def test_one_figure_is_of_one_set_of_terms() -> None:
    rows = [summary_row("A", "mid", precision=each) for each in ("fp32", "bf16")]
    with pytest.raises(ResultsError, match="one figure shows one precision; given bf16, fp32"):
        plot_accuracy(pd.DataFrame(rows), FLOPS)
