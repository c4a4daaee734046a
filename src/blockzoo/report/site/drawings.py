"""Small drawings within pages, as SVG without style of its own: the page's has the colours."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup, escape

from blockzoo.analysis.curves import Point

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 420.0, 200.0, 46.0, 26.0, 10.0
_BINS = 24
_TICKS = 4


def curve_drawing(points: Sequence[Point], title: str, *, scale: float = 100.0) -> Markup:
    """Return a curve with its band, the mean over seeds and its 95% interval.

    >>> curve_drawing([], "nothing")
    Markup('')
    """
    if not points:
        return Markup()
    xs = [point.x for point in points]
    means = [scale * point.y.mean for point in points]
    lows = [scale * p.y.mean if p.y.low is None else scale * max(p.y.low, 0) for p in points]
    highs = [scale * p.y.mean if p.y.high is None else scale * min(p.y.high, 1) for p in points]
    # Of few seeds a band may be as wide as all there can be; the means say what is worth seeing.
    reach = max(means) - min(means) or 1.0
    step = round_step(1.8 * reach / _TICKS)
    bottom = math.floor(max(min(means) - 0.4 * reach, 0.0) / step) * step
    top = math.ceil(min(max(means) + 0.4 * reach, scale) / step) * step
    place = _Plane(xs[0], xs[-1], bottom, top, step)
    line = " ".join(place.at(x, y) for x, y in zip(xs, means, strict=True))
    upper = [place.at(x, y) for x, y in zip(xs, highs, strict=True)]
    lower = [place.at(x, y) for x, y in zip(xs, lows, strict=True)]
    body = Markup('<polygon class="band" points="{}"/><polyline class="line" points="{}"/>').format(
        " ".join([*upper, *reversed(lower)]), line
    )
    return _framed(title, place.axes() + body)


def round_step(least: float) -> float:
    """Return the smallest 1, 2 or 5 times a power of ten that is as large.

    >>> round_step(0.03), round_step(7.0)
    (0.05, 10.0)
    """
    power = float(10 ** math.floor(math.log10(least)))
    return next(times * power for times in (1.0, 2.0, 5.0, 10.0) if times * power >= least)


class _Plane:
    """Where values lie in a drawing; what lies beyond its ends is put onto them."""

    def __init__(self, left: float, right: float, bottom: float, top: float, step: float) -> None:
        self._x, self._width = left, (right - left) or 1.0
        self._y, self._height, self._step = bottom, (top - bottom) or step, step

    def at(self, x: float, y: float) -> str:
        share_x = (x - self._x) / self._width
        share_y = min(max((y - self._y) / self._height, 0.0), 1.0)
        across = _LEFT + share_x * (_WIDTH - _LEFT - 8)
        down = _HEIGHT - _BOTTOM - share_y * (_HEIGHT - _BOTTOM - _TOP)
        return f"{across:.1f},{down:.1f}"

    def axes(self) -> Markup:
        """Return grid lines with their values, and the ends of the other axis."""
        found = Markup()
        for number in range(round(self._height / self._step) + 1):
            value = self._y + self._step * number
            x, y = self.at(self._x, value).split(",")
            found += Markup(
                '<line class="grid" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>'
                '<text x="{3}" y="{2}" dy="0.32em" text-anchor="end">{4:g}</text>'
            ).format(x, _WIDTH - 8, y, _LEFT - 6, round(value, 6))
        for value, anchor in ((self._x, "start"), (self._x + self._width, "end")):
            x, _ = self.at(value, self._y).split(",")
            found += Markup('<text x="{}" y="{}" text-anchor="{}">{:g}</text>').format(
                x, _HEIGHT - 8, anchor, value
            )
        return found


def _framed(title: str, body: Markup) -> Markup:
    return Markup(
        '<svg class="drawing" role="img" viewBox="0 0 {:.0f} {:.0f}" aria-label="{}">{}</svg>'
    ).format(_WIDTH, _HEIGHT, title, body)


def samples_drawing(samples_ms: Sequence[float], median_ms: float) -> Markup:
    """Return how samples are distributed, from the 1st to the 99th percentile, and their median.

    >>> samples_drawing([], 1.0)
    Markup('')
    """
    if len(samples_ms) < 2:
        return Markup()
    values = np.asarray(samples_ms, dtype=np.float64)
    low, high = np.percentile(values, [1, 99])
    counts, _ = np.histogram(values, bins=_BINS, range=(low, high if high > low else low + 1))
    heights = 26 * counts / max(counts.max(), 1)
    bars = Markup().join(
        Markup('<rect x="{}" y="{:.1f}" width="4" height="{:.1f}"/>').format(
            5 * index, 28 - height, height
        )
        for index, height in enumerate(heights)
    )
    share = min(max((median_ms - low) / ((high - low) or 1), 0), 1)
    words = (
        f"{len(values)} samples, 1st percentile {low:.3f} ms, median {median_ms:.3f} ms, "
        f"99th percentile {high:.3f} ms"
    )
    return Markup(
        '<svg class="spread" role="img" viewBox="0 0 {} 30" aria-label="{}"><title>{}</title>{}'
        '<line class="median" x1="{:.1f}" x2="{:.1f}" y1="0" y2="30"/></svg>'
    ).format(5 * _BINS, escape(words), words, bars, 5 * _BINS * share, 5 * _BINS * share)
