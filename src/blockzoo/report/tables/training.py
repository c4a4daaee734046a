"""Records of trainings as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from blockzoo.analysis.trainings import Seeds, by_seeds, median_time_to_accuracy
from blockzoo.report.tables.measured import failed, where
from blockzoo.results.records import (
    SCHEMA_VERSION,
    Record,
    RobustnessMetrics,
    TrainingRecord,
    identity_of,
)
from blockzoo.stats.paired_seeds import MeanInterval, PairedDifference

if TYPE_CHECKING:  # they bring torch, which tables of stored records can do without
    from blockzoo.experiments.tuning.track import Track
    from blockzoo.experiments.tuning.tries import Point
    from blockzoo.experiments.tuning.tune import Tuning


def training_table(records: Sequence[Record]) -> Table:
    """Return one row per training record: what was chosen on validation and what test says."""
    table = Table(
        title="Training (test read once, with the weights chosen on validation)", box=None
    )
    for title in ("block", "position", "data", "protocol"):
        table.add_column(title)
    for title in ("seed", "best epoch", "val acc", "test acc", "test loss", "s", "images/s"):
        table.add_column(title, justify="right")
    for record in records:
        if not isinstance(record, TrainingRecord):
            continue
        table.add_row(
            record.block,
            where(record),
            record.dataset,
            record.protocol,
            str(record.seed),
            *_training_cells(record),
        )
    return table


def _training_cells(record: TrainingRecord) -> list[str | Text]:
    if record.status == "failed":
        return [failed(record.reason)]
    return [
        str(record.best_epoch),
        f"{record.val_accuracy:.4f}",
        f"{record.test_accuracy:.4f}",
        f"{record.test_loss:.4f}",
        f"{record.training_seconds:.1f}",
        f"{record.images_per_s:,.0f}",
    ]


def robustness_tables(records: Sequence[Record]) -> list[Table]:
    """Return the accuracy on changed images: by training, and by severity, averaged over seeds.

    Nothing where no training was tested so.
    """
    tested = [
        record
        for record in records
        if isinstance(record, TrainingRecord) and record.robustness is not None
    ]
    return [_changes_table(tested), _severity_table(tested)] if tested else []


def _changes_table(records: Sequence[TrainingRecord]) -> Table:
    robustness = [_robustness(record) for record in records]
    scales = list(dict.fromkeys(scale for some in robustness for scale in some.resolution_accuracy))
    table = Table(title="Test accuracy % on changed images, with the final weights", box=None)
    for title in ("data", "block", "position"):
        table.add_column(title)
    for title in ("seed", "unchanged", "corrupted", "shifted", "kept by shift"):
        table.add_column(title, justify="right")
    for scale in scales:
        table.add_column(f"at {scale}x", justify="right")
    for record, some in zip(records, robustness, strict=True):
        table.add_row(
            f"{record.dataset}, {record.protocol}",
            record.block,
            where(record),
            str(record.seed),
            _percent(record.test_accuracy),
            _percent(some.mean_corruption_accuracy),
            _percent(some.shift_accuracy),
            _percent(some.shift_consistency),
            *(_percent(some.resolution_accuracy.get(scale)) for scale in scales),
        )
    table.caption = "corrupted: over all below; kept by shift: the class is the same a pixel away"
    return table


def _severity_table(records: Sequence[TrainingRecord]) -> Table:
    most = max(len(v) for r in records for v in _robustness(r).corruption_accuracy.values())
    table = Table(title="Test accuracy % by severity, mean over seeds", box=None)
    for title in ("data", "block", "position", "seeds", "corruption"):
        table.add_column(title)
    for title in (*(str(severity + 1) for severity in range(most)), "mean"):
        table.add_column(title, justify="right")
    for seeds in by_seeds(records):
        of_seeds = [_robustness(record).corruption_accuracy for record in seeds]
        for name in of_seeds[0]:
            at_each = zip(*(accuracies[name] for accuracies in of_seeds), strict=True)
            means = [fmean(values) for values in at_each]
            cells = map(_percent, (*means, fmean(means)))
            table.add_row(*_place(seeds), name.replace("_", " "), *cells)
    return table


def _robustness(record: TrainingRecord) -> RobustnessMetrics:
    assert record.robustness is not None
    return record.robustness


def time_table(records: Iterable[Record], accuracies: Sequence[float]) -> Table:
    """Return after how many seconds the seeds of each cell reached each validation accuracy."""
    table = Table(title="Seconds to validation accuracy", box=None)
    for title in ("data", "block", "position", "seeds"):
        table.add_column(title)
    for accuracy in accuracies:
        table.add_column(f"{100 * accuracy:g} %", justify="right")
    trainings = (record for record in records if isinstance(record, TrainingRecord))
    for seeds in by_seeds(trainings):
        times = [median_time_to_accuracy(seeds, accuracy) for accuracy in accuracies]
        table.add_row(*_place(seeds), *("-" if time is None else f"{time:.1f}" for time in times))
    table.caption = "median of seeds; -: at most half got there"
    return table


def _place(seeds: Seeds) -> tuple[str, str, str, str]:
    first = seeds[0]
    older = "" if first.identity == identity_of(SCHEMA_VERSION) else " (older identity)"
    return f"{first.dataset}, {first.protocol}{older}", first.block, where(first), str(len(seeds))


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}"


ABSENT = "-"
_TUNED = ("learning rate", "weight decay", "drop path")


def trials_table(tuning: Tuning) -> Table:
    """Return one row per trial, that of the chosen values in bold."""
    table = Table(title=f"{tuning.placement.label}: trials on validation", box=None)
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


def tracks_table(tracks: Sequence[Track]) -> Table:
    """Return the mean test accuracy of each network in both tracks, and their difference."""
    first = tracks[0].tuning
    table = Table(
        title=f"Test accuracy %, 95% intervals: {first.protocol.label} and {first.label}",
        box=None,
    )
    for title in ("block", "position"):
        table.add_column(title)
    for title in (*_TUNED, "n", "default track", "n", "tuned track"):
        table.add_column(title, justify="right")
    table.add_column("tuned - default, points", justify="right")
    for track in tracks:
        compared, default = track.comparison, track.comparison.default
        table.add_row(
            track.tuning.placement.spec.name,
            "/".join(compared.positions),
            *_values(track.tuning.best.point),
            "0" if default is None else str(default.n),
            _mean(default, least=0.0),
            str(compared.tuned.n),
            _mean(compared.tuned, least=0.0),
            _mean(compared.difference, least=-1.0),
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
    # An interval by t may reach beyond what an accuracy, or a difference of two, can be.
    return f"{text} ({100 * max(value.low, least):.2f} to {100 * min(value.high, 1.0):.2f})"
