"""Tables of `blockzoo tune`: the trials of one block, and the two tracks side by side."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from blockzoo.analysis.tracks import TrackComparison
from blockzoo.experiments.tuning.search import Point
from blockzoo.experiments.tuning.tune import Tuning
from blockzoo.stats.paired_seeds import MeanInterval, PairedDifference

ABSENT = "-"
_TUNED = ("learning rate", "weight decay", "drop path")


def trials_table(tuning: Tuning) -> Table:
    """Return one row per trial, that of the chosen values in bold."""
    table = Table(title=f"{tuning.block}, {tuning.position}: trials on validation", box=None)
    for title in ("trial", *_TUNED, "val accuracy %", "epochs"):
        table.add_column(title, justify="right")
    table.add_column("ended")
    best = tuning.best
    for trial in tuning.trials:
        chosen = trial.index == best.index
        table.add_row(
            str(trial.index + 1),
            *_values(trial.point),
            ABSENT if trial.value is None else f"{100 * trial.value:.2f}",
            str(trial.steps),
            "complete, chosen" if chosen else trial.state,
            style="bold" if chosen else None,
        )
    return table


def tracks_table(rows: Sequence[tuple[Tuning, TrackComparison]]) -> Table:
    """Return the mean test accuracy of each network in both tracks, and their difference."""
    first = rows[0][0]
    table = Table(
        title=f"Test accuracy %, 95% intervals: {first.protocol.label} and {first.label}",
        box=None,
    )
    for title in ("block", "position"):
        table.add_column(title)
    for title in (*_TUNED, "n", "default track", "n", "tuned track"):
        table.add_column(title, justify="right")
    table.add_column("tuned - default, points", justify="right")
    for tuning, tracks in rows:
        default = tracks.default
        table.add_row(
            tuning.block,
            "/".join(tracks.positions),
            *_values(tuning.best.point),
            "0" if default is None else str(default.n),
            _mean(default, least=0.0),
            str(tracks.tuned.n),
            _mean(tracks.tuned, least=0.0),
            _mean(tracks.difference, least=-1.0),
        )
    return table


def _values(point: Point) -> tuple[str, ...]:
    rate, decay, drop_path = (point[title.replace(" ", "_")] for title in _TUNED)
    return f"{rate:.2e}", f"{decay:.2e}", f"{drop_path:.3f}"


def _mean(value: MeanInterval | PairedDifference | None, *, least: float) -> str:
    """Return a mean with its interval, cut to `least` and 1, in percent; one value has none."""
    if value is None:
        return ABSENT
    text = f"{100 * value.mean:.2f}"
    if value.low is None or value.high is None:
        return text
    return f"{text} ({100 * max(value.low, least):.2f} to {100 * min(value.high, 1.0):.2f})"
