"""The roofline: FLOP/s over arithmetic intensity, the machine's two peaks above the networks.

Marker and colour tell the block, size the position, as in all figures. A thin line leads from a
network's intensity as it ran to the one it would have with all operations fused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import AbstractPathEffect, withStroke
from matplotlib.text import Annotation, Text
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from blockzoo.analysis.roofline import Achieved, Roof
from blockzoo.core.errors import ResultsError
from blockzoo.core.position import POSITIONS, Position
from blockzoo.core.run_way import RunWay
from blockzoo.report.figures.captions import key_look, legend_beside, write_note, write_title
from blockzoo.report.figures.colours import theme
from blockzoo.report.figures.layout import (
    Array,
    boxes_around,
    fit_figure,
    place_label,
    points_along,
)
from blockzoo.report.figures.style import (
    MARKER_POINTS,
    BlockLook,
    assign_looks,
    house_style,
    lone_marker,
)

_GIGA = 1e9
_AXES_INCHES = (6.4, 4.4)
_ROOM = 1.6
"""Factor left free around what is shown, on both axes."""
_ABOVE_ROOF_POINTS = 4.0
# A longer column of the legend would reach below the axes.
_MOST_ROWS = 24
# The order of drawing: names over points over the roof.
_ROOF, _POINTS, _NAMES = 2.2, 3.0, 5.0


@dataclass(frozen=True, kw_only=True)
class RooflinePoint:
    """One network: the block under test, where it is, and what it achieved."""

    block: str
    position: Position
    achieved: Achieved

    @property
    def place(self) -> tuple[float, float]:
        """Intensity in FLOPs per byte, and GFLOP/s."""
        return self.achieved.intensity_flops_per_byte, self.achieved.flops_per_s / _GIGA


def plot_roofline(
    points: Sequence[RooflinePoint], roof: Roof, *, subtitle: str, note: Sequence[str]
) -> Figure:
    """Draw one marker per block and position below the roof, on logarithmic axes.

    `note` is written below, sentence by sentence: how it was measured. A network without FLOPs has
    no place on such axes and is counted in the note. Raises `ResultsError` where none has a place.
    """
    # A network of pooling alone has no FLOPs, and zero no place on a logarithmic axis.
    shown = [point for point in points if point.achieved.flops_per_s > 0]
    if not shown:
        raise ResultsError("no network with FLOPs was measured; a roofline plot needs one or more")
    looks = assign_looks(point.block for point in points)
    missing = len(points) - len(shown)
    counted = [f"Without FLOPs, and not shown: {missing}."] if missing else []
    with house_style():
        figure = Figure()
        FigureCanvasAgg(figure)
        width, height = _AXES_INCHES
        figure.set_size_inches(width + 2, height + 2)
        left, bottom = 1 / (width + 2), 1 / (height + 2)
        axes = figure.add_axes((left, bottom, width * left, height * bottom))
        _set_view(axes, shown, roof)
        _draw_points(axes, shown, looks)
        names = _draw_roof(axes, roof)
        write_title(axes, "Roofline: achieved and possible arithmetic", subtitle)
        write_note(axes, [*note, *counted])
        _draw_legend(axes, shown, looks)
        fit_figure(figure, axes)
        _name_blocks(axes, shown, looks, roof, names)
    return figure


def _set_view(axes: Axes, points: Sequence[RooflinePoint], roof: Roof) -> None:
    """Show all points, the ridge, and some of the roof on both sides of it."""
    ridge, peak = roof.ridge_flops_per_byte, roof.flops_per_s / _GIGA
    fused = [point.achieved.fused_intensity_flops_per_byte for point in points]
    intensities = [*(point.place[0] for point in points), *fused, ridge]
    speeds = [*(point.place[1] for point in points), peak]
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(min(intensities) / _ROOM**2, max(intensities) * _ROOM**2)
    axes.set_ylim(min(speeds) / _ROOM**2, max(speeds) * _ROOM)
    for axis in (axes.xaxis, axes.yaxis):
        low, high = axis.get_view_interval()
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 1e3 * low else (1,)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("arithmetic intensity (FLOPs per byte moved)")
    axes.set_ylabel("achieved GFLOP/s")
    axes.grid(visible=True)


def _draw_roof(axes: Axes, roof: Roof) -> list[Text]:
    """Draw both peaks up to where they meet, and write on each what it is."""
    (left, right), ridge = axes.get_xlim(), roof.ridge_flops_per_byte
    peak, bandwidth = roof.flops_per_s / _GIGA, roof.bytes_per_s / _GIGA
    axes.plot(
        [left, ridge, right],
        [left * bandwidth, peak, peak],
        color=theme().ink,
        linewidth=1.4,
        zorder=_ROOF,
    )
    # Left of the ridge memory is the lower roof, right of it arithmetic.
    axes.plot(
        [ridge, ridge],
        [axes.get_ylim()[0], peak],
        color=theme().quiet,
        linewidth=0.8,
        dashes=(2, 3),
    )
    # The slanted line enters the view at its left edge or at its lower one.
    start = max(left, axes.get_ylim()[0] / bandwidth)
    # The geometric mean is the middle on a logarithmic axis.
    middle = math.sqrt(start * ridge)
    # In pixels: on such axes the angle that is seen is not that of the numbers.
    low, high = _pixels(axes, [(start, start * bandwidth), (ridge, peak)])
    slope_degrees = math.degrees(math.atan2(high[1] - low[1], high[0] - low[0]))
    return [
        _on_roof(axes, (math.sqrt(ridge * right), peak), f"{peak:,.3g} GFLOP/s", 0.0),
        _on_roof(axes, (middle, middle * bandwidth), f"{bandwidth:,.3g} GB/s", slope_degrees),
    ]


def _on_roof(axes: Axes, place: tuple[float, float], text: str, slope_degrees: float) -> Text:
    """Write along the roof, just above its point `place`."""
    up = math.radians(slope_degrees + 90)
    return axes.annotate(
        text,
        xy=place,
        xytext=(_ABOVE_ROOF_POINTS * math.cos(up), _ABOVE_ROOF_POINTS * math.sin(up)),
        textcoords="offset points",
        ha="center",
        va="bottom",
        rotation=slope_degrees,
        rotation_mode="anchor",
        fontsize=8.5,
        color=theme().ink,
        zorder=_NAMES,
        path_effects=_halo(),
    )


def _draw_points(
    axes: Axes, points: Sequence[RooflinePoint], looks: Mapping[str, BlockLook]
) -> None:
    """Draw the markers, large ones first, so that a small one within a large one is seen."""
    ordered = sorted(points, key=lambda point: -MARKER_POINTS[point.position])
    for rank, point in enumerate(ordered):
        look, (intensity, speed) = looks[point.block], point.place
        fused = point.achieved.fused_intensity_flops_per_byte
        axes.plot([intensity, fused], [speed, speed], color=look.colour, linewidth=0.7, alpha=0.35)
        marker = lone_marker(look, diameter_points=MARKER_POINTS[point.position] * look.scale)
        marker.set_data([intensity], [speed])
        marker.set_label(f"{point.block}/{point.position}")
        marker.set_zorder(_POINTS + rank / len(ordered))
        axes.add_line(marker)


def _draw_legend(
    axes: Axes, points: Sequence[RooflinePoint], looks: Mapping[str, BlockLook]
) -> None:
    there = {point.position for point in points}
    key = {
        f"{position} stage": lone_marker(key_look(), diameter_points=MARKER_POINTS[position])
        for position in POSITIONS
        if position in there
    }
    key["to fused intensity"] = Line2D([], [], color=theme().quiet, linewidth=0.8)
    blocks = sorted({point.block for point in points})
    markers = {
        block: lone_marker(looks[block], diameter_points=7.5 * looks[block].scale)
        for block in blocks
    }
    entries = {**key, **markers}
    columns = math.ceil(len(entries) / _MOST_ROWS)
    legend_beside(axes, entries, below_inches=0.0, columns=columns)


def _name_blocks(
    axes: Axes,
    points: Sequence[RooflinePoint],
    looks: Mapping[str, BlockLook],
    roof: Roof,
    names: Sequence[Text],
) -> None:
    """Name each block once, at the first of its points with room; the legend names all."""
    scale = float(axes.figure.dpi) / 72
    places = _pixels(axes, [point.place for point in points])
    radii = np.array([_radius_points(point, looks) for point in points]) * scale
    marks = boxes_around(places, radii)
    line = boxes_around(points_along(_roof_line(axes, roof)), scale)
    taken = np.vstack([marks, line, [name.get_window_extent().extents for name in names]])
    lines = np.vstack([points_along(_fused_line(axes, point)) for point in points])
    # A little inside the frame, which a name would otherwise touch.
    inside = np.array(axes.bbox.padded(-3 * scale).extents)
    named: set[str] = set()
    for point, anchor, radius in zip(points, places, radii, strict=True):
        if point.block in named:
            continue
        label = _unplaced(axes, point)
        box = place_label(
            anchor,
            np.array(label.get_window_extent().size),
            radius=radius,
            others=places,
            forbidden=taken,
            crossed=lines,
            inside=inside,
        )
        if box is None:
            label.remove()
            continue
        offset = ((box[:2] + box[2:]) / 2 - anchor) / scale
        label.set_position((float(offset[0]), float(offset[1])))
        taken = np.vstack([taken, box])
        named.add(point.block)


def _radius_points(point: RooflinePoint, looks: Mapping[str, BlockLook]) -> float:
    return MARKER_POINTS[point.position] * looks[point.block].scale / 2 + 1


def _roof_line(axes: Axes, roof: Roof) -> Array:
    """Return the roof's three corners in pixels."""
    (left, right), ridge = axes.get_xlim(), roof.ridge_flops_per_byte
    return _pixels(axes, [(x, roof.at(x) / _GIGA) for x in (left, ridge, right)])


def _fused_line(axes: Axes, point: RooflinePoint) -> Array:
    """Return the ends, in pixels, of the line from the point to its fused intensity."""
    fused = point.achieved.fused_intensity_flops_per_byte
    return _pixels(axes, [point.place, (fused, point.place[1])])


def _pixels(axes: Axes, places: Sequence[tuple[float, float]]) -> Array:
    return np.asarray(axes.transData.transform(np.array(places, dtype=float)), dtype=float)


def _unplaced(axes: Axes, point: RooflinePoint) -> Annotation:
    return axes.annotate(
        point.block,
        xy=point.place,
        xytext=(0, 0),
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=8,
        color=theme().ink,
        zorder=_NAMES,
        parse_math=False,
        path_effects=_halo(),
    )


def _halo() -> list[AbstractPathEffect]:
    return [withStroke(linewidth=2, foreground=theme().paper, alpha=0.8)]


def roofline_figure(frame: pd.DataFrame) -> Figure:
    """Return the roofline with every network of the frame under it.

    `frame` is that of `report.tables.roofline.roofline_frame`, of one session: a row per network,
    with the peaks and all that it was measured with. Raises `ResultsError` where it has no row.
    """
    if frame.empty:
        raise ResultsError("no network was measured; a roofline plot needs one or more")
    rows = frame.to_dict("records")
    points = [
        RooflinePoint(
            block=str(row["block"]),
            # A network that is the same at several positions is drawn at the first of them.
            position=Position.parse(str(row["positions"]).partition("/")[0]),
            achieved=Achieved(**{field.name: row[field.name] for field in fields(Achieved)}),
        )
        for row in rows
    ]
    # All rows are of one session, so any of them knows the machine and the way.
    first = rows[0]
    roof = Roof(flops_per_s=first["peak_flops_per_s"], bytes_per_s=first["peak_bytes_per_s"])
    # The bytes that make a roofline are those of eager execution, so nothing else is drawn.
    way = RunWay(
        device=first["device"],
        threads=first["threads"],
        precision=first["precision"],
        batch_size=first["batch_size"],
    )
    return plot_roofline(
        points,
        roof,
        subtitle=way.label(("batch_size", "precision", "backend")),
        note=_note(frame, way),
    )


def _note(frame: pd.DataFrame, way: RunWay) -> list[str]:
    """Return how the networks were measured, sentence by sentence."""
    first, samples = frame.iloc[0], frame["samples"]
    fewest, most = samples.min(), samples.max()
    count = str(most) if fewest == most else f"{fewest} to {most}"
    threads = "" if way.on_cuda else f", {way.label(('threads',))}"
    several = frame["positions"].str.contains("/").any()
    return [
        "Whole scaffold in deploy form. Work is 2 x MACs; bytes are those of eager execution, and "
        "lines lead to the intensity with everything fused.",
        f"{first['hardware']}{threads}, torch {first['torch']}, "
        f"commit {(first['commit'] or 'unknown')[:12]}, "
        f"medians of {count} samples.",
        *(["A network that is the same at several positions is shown once."] if several else []),
    ]
