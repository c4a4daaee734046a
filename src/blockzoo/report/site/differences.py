"""Differences between blocks as a drawing: a forest plot of pairs, as SVG that the page colours."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from blockzoo.analysis.compare import Comparison
from blockzoo.report.site.drawings import round_step
from blockzoo.report.site.wording import plain

_WIDTH, _SIDE, _ROW, _TOP, _BOTTOM = 420.0, 14.0, 44.0, 8.0, 30.0
_TICKS = 5
_LONGEST_NAME = 52


def differences_drawing(pairs: Sequence[Comparison], margin: float) -> Markup:
    """Return a row for each pair that has an interval, in points of accuracy.

    The thick bar is the interval on these test images, the thin one for new images. The band is the
    margin within which blocks count as equal.

    Args:
        pairs: In the order in which they are drawn.
        margin: A fraction of 1.

    Returns:
        Nothing where no pair has an interval.

    Example:
        >>> differences_drawing([], 0.003)
        Markup('')
    """
    rows = [(pair, _points(pair)) for pair in pairs]
    known = [(pair, points) for pair, points in rows if points is not None]
    if not known:
        return Markup()
    most = max(100 * margin, *(abs(value) for _, points in known for value in points))
    step = round_step(2 * most / _TICKS)
    scale = _Scale(step * math.ceil(most / step), step)
    height = _TOP + _ROW * len(known) + _BOTTOM
    body = scale.band(100 * margin, height) + scale.axis(height)
    for number, (pair, points) in enumerate(known):
        body += _row(scale, pair, points, _TOP + _ROW * number)
    return Markup(
        '<svg class="drawing forest" role="img" viewBox="0 0 {:.0f} {:.0f}" '
        'aria-label="Differences in accuracy, points, with 95% intervals">{}</svg>'
    ).format(_WIDTH, height, body)


def _points(pair: Comparison) -> tuple[float, ...] | None:
    """Return mean, ends on these images, and ends for new images where they are known."""
    found = pair.difference
    if found is None or found.low is None or found.high is None:
        return None
    ends = (found.low, found.high, *(pair.new_images or ()))
    return tuple(100 * each for each in (found.mean, *ends))


class _Scale:
    """Where points of accuracy lie in the drawing, zero in its middle."""

    def __init__(self, reach: float, step: float) -> None:
        self._reach, self._step = reach, step

    def at(self, points: float) -> float:
        share = (points + self._reach) / (2 * self._reach)
        return _SIDE + share * (_WIDTH - 2 * _SIDE)

    def band(self, margin: float, height: float) -> Markup:
        left, right = self.at(-margin), self.at(margin)
        return Markup(
            '<rect class="band" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>'
        ).format(left, _TOP, right - left, height - _TOP - _BOTTOM)

    def axis(self, height: float) -> Markup:
        """Return a line for each step with its value, that of zero marked."""
        found = Markup()
        steps = round(self._reach / self._step)
        for number in range(-steps, steps + 1):
            found += Markup(
                '<line class="{}" x1="{x:.1f}" x2="{x:.1f}" y1="{:.1f}" y2="{:.1f}"/>'
                '<text x="{x:.1f}" y="{:.1f}" text-anchor="middle">{:+g}</text>'
            ).format(
                "grid" if number else "zero",
                _TOP,
                height - _BOTTOM,
                height - _BOTTOM + 16,
                round(number * self._step, 6),
                x=self.at(number * self._step),
            )
        return found


def _row(scale: _Scale, pair: Comparison, points: tuple[float, ...], top: float) -> Markup:
    mean, *ends = points
    (low, high), fresh = ends[:2], ends[2:]
    middle = top + 30
    name = plain(f"{pair.position}: {pair.block} less {pair.other}")
    short = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
    bars = _bar(scale, low, high, middle, 7.0)
    if fresh:
        bars = _bar(scale, fresh[0], fresh[1], middle, 1.6) + bars
    return Markup(
        '<g class="{}"><text class="name" x="{:.1f}" y="{:.1f}">{}</text>'
        '{}<circle cx="{:.1f}" cy="{:.1f}" r="4.5"/></g>'
    ).format(pair.verdict, _SIDE, top + 16, short, bars, scale.at(mean), middle)


def _bar(scale: _Scale, low: float, high: float, middle: float, thickness: float) -> Markup:
    left, right = scale.at(low), scale.at(high)
    return Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="0.8"/>').format(
        left, middle - thickness / 2, max(right - left, 0.5), thickness
    )
