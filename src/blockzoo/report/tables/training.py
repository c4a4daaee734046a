"""Records of trainings as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from blockzoo.analysis.groups import Terms, differences
from blockzoo.analysis.trainings import Seeds, by_seeds, median_time_to_accuracy
from blockzoo.report.tables.fitting import FittedTable
from blockzoo.report.tables.layout import Kind
from blockzoo.report.tables.measured import failed, where
from blockzoo.report.tables.summary import seeds_text
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


_SEEDS_OF: dict[str, Kind] = {
    "data": "text",
    "block": "name",
    "position": "label",
    "seeds": "number",
}


def training_table(records: Sequence[Record]) -> FittedTable:
    """Return one row per training record: what was chosen on validation and what test says."""
    results = ("best epoch", "val acc", "test acc", "test loss", "s", "images/s")
    numbers: dict[str, Kind] = dict.fromkeys(results, "number")
    table = FittedTable(
        title="Training (test read once, with the weights chosen on validation)",
        columns={
            "block": "name",
            **dict.fromkeys(("position", "data", "protocol"), "label"),
            "seed": "number",
            **numbers,
        },
        dispensable=("images/s", "s", "test loss", "best epoch", "protocol", "data", "val acc"),
    )
    for record in records:
        if not isinstance(record, TrainingRecord):
            continue
        place = (
            *(record.block, where(record), record.dataset, record.protocol),
            str(record.seed),
        )
        if record.status == "failed":
            table.add_reason(*place, reason=failed(record.reason))
        else:
            table.add_row(*place, *_training_cells(record))
    return table


def _training_cells(record: TrainingRecord) -> list[str]:
    return [
        str(record.best_epoch),
        f"{record.val_accuracy:.4f}",
        f"{record.test_accuracy:.4f}",
        f"{record.test_loss:.4f}",
        f"{record.training_seconds:.1f}",
        f"{record.images_per_s:,.0f}",
    ]


def robustness_tables(records: Sequence[Record]) -> list[FittedTable]:
    """Return the accuracy on changed images: by training, and by severity, averaged over seeds.

    Nothing where no training was tested so.
    """
    trainings = [record for record in records if isinstance(record, TrainingRecord)]
    tested = [record for record in trainings if record.robustness is not None]
    if not tested:
        return []
    # A seed that failed was not tested, and is to be told beside the means of those that were.
    told = [r for r in trainings if r.robustness is not None or r.status == "failed"]
    return [_changes_table(tested), _severity_table(told)]


def _changes_table(records: Sequence[TrainingRecord]) -> FittedTable:
    robustness = [_robustness(record) for record in records]
    scales = list(dict.fromkeys(scale for some in robustness for scale in some.resolution_accuracy))
    at_scales = [f"at {scale}x" for scale in scales]
    changed = ("seed", "unchanged", "corrupted", "shifted", "kept by shift", *at_scales)
    numbers: dict[str, Kind] = dict.fromkeys(changed, "number")
    table = FittedTable(
        title="Test accuracy % on changed images, with the final weights",
        columns={"data": "text", "block": "name", "position": "label", **numbers},
        dispensable=(*reversed(at_scales), "shifted", "kept by shift"),
        caption="corrupted: over all below; kept by shift: the class is the same a pixel away",
    )
    suffixes = differences([Terms.of(record) for record in records])
    for record, some, suffix in zip(records, robustness, suffixes, strict=True):
        table.add_row(
            _data_cell(record, suffix),
            record.block,
            where(record),
            str(record.seed),
            _percent(record.test_accuracy),
            _percent(some.mean_corruption_accuracy),
            _percent(some.shift_accuracy),
            _percent(some.shift_consistency),
            *(_percent(some.resolution_accuracy.get(scale)) for scale in scales),
        )
    return table


def _severity_table(records: Sequence[TrainingRecord]) -> FittedTable:
    groups = by_seeds(records)
    of_groups = [[_robustness(r).corruption_accuracy for r in seeds.records] for seeds in groups]
    most = max(len(values) for (first, *_) in of_groups for values in first.values())
    severities = [str(severity + 1) for severity in range(most)]
    numbers: dict[str, Kind] = dict.fromkeys([*severities, "mean"], "number")
    table = FittedTable(
        title="Test accuracy % by severity, mean over seeds",
        columns={**_SEEDS_OF, "corruption": "label", **numbers},
        dispensable=(*severities, "seeds"),
    )
    for place, of_seeds in zip(_places(groups), of_groups, strict=True):
        for name in of_seeds[0]:
            at_each = zip(*(accuracies[name] for accuracies in of_seeds), strict=True)
            means = [fmean(values) for values in at_each]
            cells = map(_percent, (*means, fmean(means)))
            table.add_row(*place, name.replace("_", " "), *cells)
    return table


def _robustness(record: TrainingRecord) -> RobustnessMetrics:
    assert record.robustness is not None
    return record.robustness


def time_table(records: Iterable[Record], accuracies: Sequence[float]) -> FittedTable:
    """Return after how many seconds the seeds of each cell reached each validation accuracy."""
    numbers: dict[str, Kind] = {f"{100 * accuracy:g} %": "number" for accuracy in accuracies}
    table = FittedTable(
        title="Seconds to validation accuracy",
        columns={**_SEEDS_OF, **numbers},
        dispensable=("seeds",),
        caption="median of seeds; -: at most half got there",
    )
    groups = by_seeds(record for record in records if isinstance(record, TrainingRecord))
    for seeds, place in zip(groups, _places(groups), strict=True):
        times = [median_time_to_accuracy(seeds.records, accuracy) for accuracy in accuracies]
        table.add_row(*place, *("-" if time is None else f"{time:.1f}" for time in times))
    return table


def _places(groups: Sequence[Seeds[TrainingRecord]]) -> list[tuple[str, str, str, str]]:
    """Return the first cells of each row: data and what differs in it, block, position, seeds."""
    firsts = [seeds.records[0] for seeds in groups]
    return [
        (
            _data_cell(first, suffix),
            first.block,
            where(first),
            seeds_text(len(seeds.records), seeds.failed),
        )
        for seeds, first, suffix in zip(
            groups, firsts, differences([seeds.terms for seeds in groups]), strict=True
        )
    ]


def _data_cell(record: TrainingRecord, suffix: str) -> str:
    older = "older identity"
    if record.identity != identity_of(SCHEMA_VERSION) and older not in suffix:
        suffix = ", ".join(filter(None, (suffix, older)))
    return f"{record.dataset}, {record.protocol}{f' ({suffix})' if suffix else ''}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}"


ABSENT = "-"
_TUNED = ("learning rate", "weight decay", "drop path")


def trials_table(tuning: Tuning) -> FittedTable:
    """Return one row per trial, that of the chosen values in bold."""
    numbers: dict[str, Kind] = dict.fromkeys(
        ("trial", *_TUNED, "val accuracy %", "epochs"), "number"
    )
    table = FittedTable(
        title=f"{tuning.placement.label}: trials on validation",
        columns={**numbers, "ended": "label"},
        dispensable=("epochs", "drop path", "weight decay"),
    )
    best = tuning.best
    for trial in tuning.trials:
        chosen = trial.index == best.index
        table.add_row(
            str(trial.index + 1),
            *_values(trial.point),
            ABSENT if trial.value is None else f"{100 * trial.value:.2f}",
            str(trial.steps),
            "complete, chosen" if chosen else trial.state,
            style="bold" if chosen else "",
        )
    return table


def tracks_table(tracks: Sequence[Track]) -> FittedTable:
    """Return the mean test accuracy of each network in both tracks, and their difference."""
    first = tracks[0].tuning
    compared_by = ("default n", "default track", "tuned n", "tuned track")
    numbers: dict[str, Kind] = dict.fromkeys(
        (*_TUNED, *compared_by, "tuned - default, points"), "number"
    )
    table = FittedTable(
        title=f"Test accuracy %, 95% intervals: {first.protocol.label} and {first.label}",
        columns={"block": "name", "position": "label", **numbers},
        dispensable=(*reversed(_TUNED), "default n", "tuned n", "default track"),
    )
    for track in tracks:
        compared, default = track.comparison, track.comparison.default
        table.add_row(
            track.tuning.placement.spec.name,
            "/".join(compared.positions),
            *_values(track.tuning.best.point),
            seeds_text(0 if default is None else default.n, compared.default_failed),
            _mean(default, least=0.0),
            seeds_text(compared.tuned.n, compared.tuned_failed),
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
