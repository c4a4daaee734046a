"""The rows of the board's table, and its columns: what each is called and where its value is from.

A row is a block at a position on its terms of training, timed one way. Which columns stand in one
cell, and which are shown at first, is said here too; `web/src` draws them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from blockzoo.analysis.groups import Terms
from blockzoo.analysis.ranks import Ranked
from blockzoo.analysis.standings import Standing
from blockzoo.core.position import Position
from blockzoo.report.site.corrections import Correction, mark_of
from blockzoo.report.site.facts import BlockFacts, block_facts
from blockzoo.report.site.wording import date_text, file_stem, plain
from blockzoo.report.tables.ranks import tie_letter
from blockzoo.results.budgets import Match
from blockzoo.results.records import FormCost, LatencyRecord, MemoryUse
from blockzoo.results.submissions.verification import Tier
from blockzoo.results.table.values import hardware
from blockzoo.stats.paired_seeds import MeanInterval

Kind = Literal["text", "integer", "number"]
Value = str | int | float | None


@dataclass(frozen=True, kw_only=True)
class BoardRow:
    """A standing and one of its latencies, None where there is none; `facts` of a block of the zoo.

    `usual`: whether it was timed as most blocks were. `mark`: of the log of corrections, and why.
    `tier`: of the bundle that it came in; of several the least trusted.
    """

    standing: Standing
    latency: LatencyRecord | None
    usual: bool
    facts: BlockFacts | None
    mark: str = "clean"
    mark_reason: str = ""
    tier: Tier | None = None

    @property
    def timed(self) -> LatencyRecord | None:
        """The latency where it went well."""
        latency = self.latency
        return latency if latency is not None and latency.status == "ok" else None


@dataclass(frozen=True, kw_only=True)
class Column:
    """One value of a row, `key` being its name in files."""

    key: str
    label: str
    kind: Kind
    of: Callable[[BoardRow], Value]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A column as it is shown: several values may stand in one cell, the first of which sorts it.

    `first`: whether it is in the first view. `descending`: which way sorts what is best to the top.
    """

    key: str
    label: str
    parts: tuple[str, ...]
    first: bool = False
    descending: bool = False
    help: str = ""


def board_rows(
    standings: Iterable[Standing],
    log: Sequence[Correction] = (),
    tiers: Mapping[str, Tier] | None = None,
) -> list[BoardRow]:
    """Return a row for each way in which a standing was timed, one where it was not.

    Args:
        standings: Of all blocks.
        log: Of corrections, the oldest first.
        tiers: How far records are to be trusted, by trial id; of those of a board alone.

    Example:
        >>> board_rows([])
        []
    """
    return [row for standing in standings for row in _rows(standing, log, tiers or {})]


def _rows(
    standing: Standing, log: Sequence[Correction], tiers: Mapping[str, Tier]
) -> Iterator[BoardRow]:
    for latency in standing.latencies or (None,):
        mark, reason = mark_of(log, standing, None if latency is None else latency.backend)
        yield BoardRow(
            standing=standing,
            latency=latency,
            usual=latency is standing.latency,
            facts=block_facts(standing.block),
            mark=mark,
            mark_reason=reason,
            tier=_least_trusted(standing, latency, tiers),
        )


def _least_trusted(
    standing: Standing, latency: LatencyRecord | None, tiers: Mapping[str, Tier]
) -> Tier | None:
    measured = [each.trial_id for each in (latency, standing.cost) if each is not None]
    found = {tiers[trial] for trial in (*standing.trials, *measured) if trial in tiers}
    return min(found, key=[*Tier].index, default=None)


def group_title(standing: Standing) -> str:
    """Return data set and protocol with what tells them from others of these names."""
    if standing.terms is None:
        return "not trained"
    title = " · ".join(standing.terms.title)
    return f"{title} ({standing.variant})" if standing.variant else title


def ties_text(standing: Standing) -> str:
    """Return the letters of the tie groups; "" where nothing is ranked."""
    groups = standing.ranked.groups if standing.ranked else ()
    return " ".join(map(tie_letter, groups))


def _of(part: Callable[[BoardRow], object], name: str) -> Callable[[BoardRow], Value]:
    """Return what reads that attribute of a part of a row, None where the row lacks the part."""

    def of(row: BoardRow) -> Value:
        found = part(row)
        return None if found is None else getattr(found, name)

    return of


def _end(part: Callable[[BoardRow], object], name: str, end: Literal[0, 1]) -> Callable[..., Value]:
    """Return the same for one end of an interval, which may be None itself."""

    def of(row: BoardRow) -> Value:
        interval = _of(part, name)(row)
        return None if interval is None else interval[end]  # type: ignore[index]

    return of


def _standing(row: BoardRow) -> Standing:
    return row.standing


def _of_facts(name: str) -> Callable[[BoardRow], Value]:
    # What the zoo does not know of a block is empty there.
    return lambda row: None if row.facts is None else getattr(row.facts, name) or None


def _timed(row: BoardRow) -> LatencyRecord | None:
    return row.timed


def _run(row: BoardRow) -> LatencyRecord | None:
    return row.latency


def _terms(row: BoardRow) -> Terms | None:
    return row.standing.terms


def _accuracy(row: BoardRow) -> MeanInterval | None:
    return row.standing.accuracy


def _ranked(row: BoardRow) -> Ranked | None:
    return row.standing.ranked


def _stage(row: BoardRow) -> FormCost | None:
    cost = row.standing.cost
    stage = None if cost is None else cost.stage_at(row.standing.position)
    return None if stage is None else stage.deploy


def _whole(form: Literal["deploy", "train"]) -> Callable[[BoardRow], FormCost | None]:
    return lambda row: None if row.standing.cost is None else getattr(row.standing.cost, form)


def _peak_mb(name: Literal["memory_inference", "memory_training"]) -> Callable[[BoardRow], Value]:
    def of(row: BoardRow) -> Value:
        cost = row.standing.cost
        memory: MemoryUse | None = None if cost is None else getattr(cost, name)
        return None if memory is None else memory.peak_bytes / 1e6

    return of


def _merges(row: BoardRow) -> Value:
    return None if row.facts is None else "yes" if row.facts.reparameterisable else "no"


def _flags(row: BoardRow) -> Value:
    return None if row.timed is None else " ".join(row.timed.flags) or None


def _device(row: BoardRow) -> Value:
    return None if row.latency is None else hardware(row.latency, row.latency.device)


def _failures(row: BoardRow) -> Value:
    reasons = list(row.standing.reasons)
    if row.latency is not None and row.latency.status == "failed":
        reasons.append(f"latency: {row.latency.reason or 'no reason was kept'}")
    return "; ".join(" ".join(reason.split()) for reason in dict.fromkeys(reasons)) or None


def _column(key: str, label: str, kind: Kind, of: Callable[[BoardRow], Value]) -> Column:
    return Column(key=key, label=label, kind=kind, of=of)


def _track(row: BoardRow) -> Value:
    """Return in words to which budget blocks were fitted; "as published" to none."""
    if row.standing.terms is None:
        return None
    _, match = Match.of_label(row.standing.terms.protocol)
    return "as published" if match is None else match.words


def _stage_index(row: BoardRow) -> Value:
    return row.standing.position.stage_index


COLUMNS: tuple[Column, ...] = (
    _column("block", "Block", "text", lambda row: row.standing.block),
    _column("position", "Position", "text", lambda row: str(row.standing.position)),
    _column("family", "Family", "text", _of_facts("family")),
    _column("year", "Year", "integer", _of_facts("year")),
    _column("licence", "Licence", "text", _of_facts("licence")),
    _column("merges", "Merges branches", "text", _merges),
    _column("dataset", "Data set", "text", _of(_terms, "dataset")),
    _column("protocol", "Protocol", "text", _of(_terms, "protocol")),
    _column("track", "Budget track", "text", _track),
    _column("context", "Context", "text", lambda row: row.standing.scaffold.context),
    _column("accuracy", "Accuracy", "number", _of(_accuracy, "mean")),
    _column("accuracy_low", "these images, low", "number", _of(_accuracy, "low")),
    _column("accuracy_high", "these images, high", "number", _of(_accuracy, "high")),
    _column("new_images_low", "new images, low", "number", _end(_standing, "new_images", 0)),
    _column("new_images_high", "new images, high", "number", _end(_standing, "new_images", 1)),
    _column("rank_best", "Best rank", "integer", _of(_ranked, "best")),
    _column("rank_worst", "Worst rank", "integer", _of(_ranked, "worst")),
    _column("tie_groups", "Tie groups", "text", lambda row: ties_text(row.standing) or None),
    _column("seeds", "Seeds ok", "integer", lambda row: len(row.standing.seeds)),
    _column("seeds_failed", "Seeds failed", "integer", lambda row: row.standing.failed),
    _column("failures", "Failures", "text", _failures),
    _column("stage_macs", "MACs of the stage", "integer", _of(_stage, "macs")),
    _column("stage_params", "Parameters of the stage", "integer", _of(_stage, "params_total")),
    _column("macs", "MACs", "integer", _of(_whole("deploy"), "macs")),
    _column("params", "Parameters", "integer", _of(_whole("deploy"), "params_total")),
    _column("macs_train", "MACs, training form", "integer", _of(_whole("train"), "macs")),
    _column(
        "params_train", "Parameters, training form", "integer", _of(_whole("train"), "params_total")
    ),
    _column("memory_mb", "Memory", "number", _peak_mb("memory_inference")),
    _column("training_memory_mb", "Training memory", "number", _peak_mb("memory_training")),
    _column("latency_ratio", "Latency ratio", "number", _of(_timed, "ratio")),
    _column("latency_ratio_low", "ratio, low", "number", _end(_timed, "ratio_interval", 0)),
    _column("latency_ratio_high", "ratio, high", "number", _end(_timed, "ratio_interval", 1)),
    _column("latency_verdict", "Verdict", "text", _of(_timed, "verdict")),
    _column("latency_baseline", "Baseline", "text", _of(_timed, "baseline")),
    _column("latency_ms", "Latency", "number", _of(_timed, "median_ms")),
    _column("latency_low_ms", "latency, low", "number", _end(_timed, "interval_ms", 0)),
    _column("latency_high_ms", "latency, high", "number", _end(_timed, "interval_ms", 1)),
    _column("latency_p90_ms", "Latency, p90", "number", _of(_timed, "p90_ms")),
    _column("throughput", "Images per second", "number", _of(_timed, "throughput_images_per_s")),
    _column("energy_j_per_image", "Energy", "number", _of(_timed, "energy_j_per_image")),
    _column("flags", "Flags", "text", _flags),
    _column("device", "Device", "text", _device),
    _column("backend", "Backend", "text", _of(_run, "backend")),
    _column("precision", "Precision", "text", _of(_run, "precision")),
    _column("threads", "Threads", "integer", _of(_run, "threads")),
    _column("batch_size", "Batch", "integer", _of(_run, "batch_size")),
    _column("cache", "Cache", "text", _of(_run, "cache")),
    _column("trained_on", "Trained on", "text", _of(_terms, "device")),
    _column("trained_in", "Arithmetic", "text", _of(_terms, "precision")),
    _column("date", "Date", "text", lambda row: date_text(row.standing.newest_at)),
    _column("tier", "Trust", "text", lambda row: row.tier and row.tier.value),
    _column("mark", "Mark", "text", lambda row: row.mark),
    _column("mark_reason", "Why it is marked", "text", lambda row: row.mark_reason or None),
)
"""All that the table knows of a row, in the order of files. Accuracies are fractions of 1."""

HIDDEN: tuple[Column, ...] = (
    _column("stage", "", "integer", _stage_index),
    _column("usual", "", "integer", lambda row: int(row.usual)),
    _column("page", "", "text", lambda row: f"blocks/{file_stem(row.standing.block)}.html"),
    _column("group", "", "text", lambda row: group_title(row.standing)),
)
"""What the page needs beside them, and no file has."""


def _one(key: str, label: str, *, best: Literal["high", "low"] = "low") -> Shown:
    return Shown(key=key, label=label, parts=(key,), descending=best == "high")


SHOWN: tuple[Shown, ...] = (
    Shown(key="block", label="Block", parts=("block", "position"), first=True),
    Shown(
        key="accuracy",
        label="Accuracy, %",
        parts=("accuracy", "accuracy_low", "accuracy_high", "new_images_low", "new_images_high"),
        first=True,
        descending=True,
        help="Mean over seeds, test set. First interval: these test images; second: new images.",
    ),
    Shown(
        key="ties",
        label="Tie group",
        parts=("rank_best", "rank_worst", "tie_groups"),
        first=True,
        help="At its position. Blocks that share a letter are not told apart; the rank interval "
        "stands beside it.",
    ),
    Shown(
        key="latency",
        label="Latency ratio",
        parts=(
            *("latency_ratio", "latency_ratio_low", "latency_ratio_high"),
            *("latency_verdict", "latency_baseline"),
        ),
        first=True,
        help="To the baseline that was timed in the same rounds; below 1 is faster.",
    ),
    Shown(
        key="stage_macs",
        label="MACs",
        parts=("stage_macs",),
        first=True,
        help="Of the stage that holds the block, deploy form, one image.",
    ),
    Shown(
        key="stage_params",
        label="Parameters",
        parts=("stage_params",),
        first=True,
        help="Of the stage that holds the block, deploy form.",
    ),
    Shown(
        key="seeds",
        label="Seeds",
        parts=("seeds", "seeds_failed", "failures"),
        first=True,
        descending=True,
        help="That went well, and that failed; failed seeds are in no mean.",
    ),
    Shown(
        key="date",
        label="Date",
        parts=("date",),
        first=True,
        descending=True,
        help="Of the newest.",
    ),
    _one("family", "Family"),
    _one("year", "Year", best="high"),
    _one("licence", "Licence"),
    _one("merges", "Merges"),
    _one("dataset", "Data set"),
    _one("protocol", "Protocol"),
    _one("track", "Budget track"),
    _one("context", "Context"),
    _one("macs", "MACs, network"),
    _one("params", "Parameters, network"),
    _one("macs_train", "MACs, training form"),
    _one("params_train", "Parameters, training form"),
    _one("memory_mb", "Memory, MB"),
    _one("training_memory_mb", "Training memory, MB"),
    Shown(
        key="latency_ms",
        label="Latency, ms",
        parts=("latency_ms", "latency_low_ms", "latency_high_ms"),
        help="Comparable within one session alone; ratios compare across sessions.",
    ),
    _one("latency_p90_ms", "Latency p90, ms"),
    _one("throughput", "Images/s", best="high"),
    _one("energy_j_per_image", "Energy, J/image"),
    _one("flags", "Flags"),
    _one("device", "Device"),
    _one("backend", "Backend"),
    _one("precision", "Precision"),
    _one("threads", "Threads"),
    _one("batch_size", "Batch"),
    _one("cache", "Cache"),
    _one("trained_on", "Trained on"),
    _one("trained_in", "Arithmetic"),
    Shown(
        key="tier",
        label="Trust",
        parts=("tier",),
        help="How far its bundle was made again by others; of several the least.",
    ),
    Shown(
        key="mark",
        label="Mark",
        parts=("mark", "mark_reason"),
        help="Of the log of corrections: clean, suspect or withdrawn.",
    ),
)
"""The columns of the table; those of the first view first."""


def board_data(rows: Sequence[BoardRow]) -> dict[str, object]:
    """Return all rows as columns, which is what the page of the table holds.

    >>> board_data([])["rows"]
    0
    """
    return {
        "rows": len(rows),
        "columns": {
            column.key: {"label": column.label, "kind": column.kind, **_packed(column, rows)}
            for column in (*COLUMNS, *HIDDEN)
        },
        "files": [column.key for column in COLUMNS],
        "shown": [
            {
                "key": each.key,
                "label": each.label,
                "parts": each.parts,
                "first": each.first,
                "descending": each.descending,
                "help": each.help,
            }
            for each in SHOWN
        ],
        "positions": [str(position) for position in Position],
    }


def _packed(column: Column, rows: Sequence[BoardRow]) -> dict[str, object]:
    """Return the values of a column; of texts each once, and where it stands."""
    values = [column.of(row) for row in rows]
    if column.kind != "text":
        return {"values": values}
    texts = dict.fromkeys(plain(value) for value in values if value is not None)
    codes = {text: code for code, text in enumerate(texts)}
    return {
        "texts": list(texts),
        "codes": [-1 if value is None else codes[plain(value)] for value in values],
    }
