"""The page of one device: what was timed on it, each way of running, and in which environment."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from blockzoo.analysis.standings import Standing
from blockzoo.report.site.drawings import samples_drawing
from blockzoo.report.site.parts import Cell, Fact, Link, Table, facts_of
from blockzoo.report.site.wording import (
    NOTHING,
    date_text,
    file_stem,
    interval_text,
    number_text,
    plain,
    verdict_text,
)
from blockzoo.results.environment import PASSING
from blockzoo.results.records import LatencyRecord
from blockzoo.results.table.values import hardware


@dataclass(frozen=True, kw_only=True)
class DevicePage:
    """All that the page of a device shows; `tables` has one for each way of running."""

    name: str
    path: str
    summary: str
    tables: tuple[Table, ...]
    environments: tuple[tuple[Fact, ...], ...]


@dataclass(frozen=True, kw_only=True)
class _Timed:
    """A latency, and the block and position that it is of."""

    block: str
    position: str
    record: LatencyRecord


def device_pages(standings: Iterable[Standing]) -> list[DevicePage]:
    """Return a page for each device that something was timed on, by name.

    >>> device_pages([])
    []
    """
    by_device: dict[str, dict[tuple[str, str, str], _Timed]] = {}
    for standing in standings:
        for latency in standing.latencies:
            # The same timing stands beside the trainings of every protocol.
            key = (standing.block, str(standing.position), latency.trial_id)
            timed = _Timed(block=key[0], position=key[1], record=latency)
            by_device.setdefault(hardware(latency, latency.device), {})[key] = timed
    return [_page(name, [*by_device[name].values()]) for name in sorted(by_device)]


def device_path(name: str) -> str:
    """Return where the page of a device lies within the site.

    >>> device_path("Some CPU")
    'devices/some-cpu-ce8a7f92.html'
    """
    return f"devices/{file_stem(name)}.html"


def _page(name: str, timed: Sequence[_Timed]) -> DevicePage:
    ways: dict[tuple[str, str], list[_Timed]] = {}
    for each in timed:
        key = (each.record.way.label(), each.record.baseline or NOTHING)
        ways.setdefault(key, []).append(each)
    blocks = len({each.block for each in timed})
    texts = (each.record.environment.model_dump_json(exclude={*PASSING}) for each in timed)
    return DevicePage(
        name=plain(name),
        path=device_path(name),
        summary=f"{blocks} blocks, {len(timed)} timings, {len(ways)} ways of running.",
        tables=tuple(
            _table(way, baseline, of) for (way, baseline), of in sorted(ways.items(), key=_most)
        ),
        environments=tuple(facts_of(json.loads(text).items()) for text in dict.fromkeys(texts)),
    )


def _most(way: tuple[tuple[str, str], list[_Timed]]) -> tuple[int, tuple[str, str]]:
    """Return what sorts the way of most timings first."""
    return -len(way[1]), way[0]


def _table(way: str, baseline: str, timed: Sequence[_Timed]) -> Table:
    counts: dict[str, int] = {}
    for each in timed:
        verdict = each.record.verdict or each.record.status
        counts[verdict] = counts.get(verdict, 0) + 1
    said = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    ordered = sorted(timed, key=_by_ratio)
    return Table(
        caption=plain(f"{way}, ratio to {baseline}"),
        columns=(
            *(("block", "text"), ("position", "text"), ("ratio", "number"), ("95%", "number")),
            *(("verdict", "text"), ("ms", "number"), ("95%, ms", "number"), ("samples", "text")),
            *(("flags", "text"), ("date", "text")),
        ),
        rows=tuple(map(_row, ordered)),
        below=f"{said}. By ratio, fastest first; milliseconds compare within one session alone.",
    )


def _by_ratio(timed: _Timed) -> tuple[float, str, str]:
    ratio = timed.record.ratio
    return float("inf") if ratio is None else ratio, timed.block, timed.position


def _row(timed: _Timed) -> tuple[Cell, ...]:
    record = timed.record
    ratio_low, ratio_high = record.ratio_interval or (None, None)
    low_ms, high_ms = record.interval_ms or (None, None)
    return (
        Link(plain(timed.block), f"../blocks/{file_stem(timed.block)}.html"),
        timed.position,
        number_text(record.ratio, 3),
        interval_text(ratio_low, ratio_high, digits=3),
        plain(verdict_text(record.status, record.reason, record.verdict, record.verdict_reason)),
        number_text(record.median_ms, 3),
        interval_text(low_ms, high_ms, digits=3),
        samples_drawing(record.samples_ms, record.median_ms or 0.0),
        plain(", ".join(record.flags)) or NOTHING,
        date_text(record.created_at),
    )
