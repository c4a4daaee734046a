"""Records joined into the rows of `results.csv`.

One row per training and position it stands for, with the cost and the latency of the same block in
the same scaffold; a block that was measured and not trained has a row with the training empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from blockzoo.core.position import Position
from blockzoo.core.run_way import RunWay
from blockzoo.results.records import (
    CostRecord,
    LatencyRecord,
    Record,
    ScaffoldSettings,
    TrainingRecord,
)
from blockzoo.results.selection import usual_way
from blockzoo.results.table.values import Row, hardware, row_of

_Placing = tuple[str, Position, ScaffoldSettings, str]
"""Block, position, scaffold and kind of identity."""
_Run = tuple[str, RunWay]
"""What latencies must have in common to be comparable: the hardware, and how they were run."""
_Measured = TypeVar("_Measured", CostRecord, LatencyRecord)


@dataclass(kw_only=True)
class _Costs:
    """The best cost and latency record of one structure of one block in one place."""

    cost: CostRecord | None = None
    latency: LatencyRecord | None = None
    trained: bool = False

    def records(self) -> list[Record]:
        return [record for record in (self.cost, self.latency) if record is not None]


def result_rows(records: Iterable[Record]) -> list[Row]:
    """Return the rows of all records, trainings by their time and then what was only measured.

    Where several latencies fit one row, one that went well is taken; of these one with the settings
    (hardware, backend, batch size, ...) under which most blocks of the scaffold were timed, so that
    rows can be compared, hot before cold; of these the newest. Of costs the newest that went well
    is taken. The others are in the store.
    """
    by_time = sorted(records, key=lambda record: record.created_at)
    trainings = [record for record in by_time if isinstance(record, TrainingRecord)]
    measured: dict[_Placing, dict[str, _Costs]] = {}
    for cost in (record for record in by_time if isinstance(record, CostRecord)):
        for costs in _places(measured, cost):
            costs.cost = _better(costs.cost, cost)
    latencies = [record for record in by_time if isinstance(record, LatencyRecord)]
    # What comes last stays, so the order says which of several latencies counts.
    for latency in _usual_last(latencies):
        for costs in _places(measured, latency):
            costs.latency = _better(costs.latency, latency)
    rows = [row for training in trainings for row in _training_rows(training, measured)]
    # After the trainings, which mark the costs that they take.
    return rows + list(_untrained_rows(measured))


def _placings(record: Record) -> list[_Placing]:
    return [
        (record.block, position, record.scaffold, record.identity) for position in record.positions
    ]


def _shown(record: Record) -> list[_Placing]:
    """Return the places of the record of which there are rows: those that were asked for."""
    return [placing for placing in _placings(record) if placing[1] in record.shown]


def _places(measured: dict[_Placing, dict[str, _Costs]], record: Record) -> list[_Costs]:
    """Return where the costs of the record's structure are kept, in each of its places."""
    structures = [measured.setdefault(placing, {}) for placing in _placings(record)]
    return [each.setdefault(record.block_fingerprint, _Costs()) for each in structures]


def _better(old: _Measured | None, new: _Measured) -> _Measured:
    """Return the one that went well, of two such the second."""
    return new if old is None or (new.status == "ok") >= (old.status == "ok") else old


def _usual_last(latencies: list[LatencyRecord]) -> list[LatencyRecord]:
    """Return the latencies in their order, but those with their scaffold's usual settings last."""
    timed: dict[ScaffoldSettings, list[tuple[_Placing, _Run]]] = {}
    for record in latencies:
        if record.status == "ok":
            of_scaffold = timed.setdefault(record.scaffold, [])
            of_scaffold += [(placing, _run_of(record)) for placing in _placings(record)]
    usual = {
        scaffold: usual_way(of_scaffold, prefer=lambda run: run[1].cache == "hot")
        for scaffold, of_scaffold in timed.items()
    }
    return sorted(latencies, key=lambda record: _run_of(record) == usual.get(record.scaffold))


def _run_of(record: LatencyRecord) -> _Run:
    # The device alone is not enough: "cuda" is another GPU on another machine.
    return hardware(record, record.device), record.way


def _training_rows(
    training: TrainingRecord, measured: Mapping[_Placing, Mapping[str, _Costs]]
) -> Iterator[Row]:
    for placing in _shown(training):
        costs = _costs_of(training, measured.get(placing, {}))
        costs.trained = True
        yield row_of(placing[1], training, costs.cost, costs.latency)


def _costs_of(training: TrainingRecord, structures: Mapping[str, _Costs]) -> _Costs:
    """Return the costs of the structure that was trained; another structure's do not count.

    A training that stands for several positions has the fingerprint of its stage at one of them,
    and one that failed early may have none: they take the newest of their block and place.
    """
    # A block that was edited since has other costs than what was trained.
    if training.block_fingerprint in structures:
        return structures[training.block_fingerprint]
    if not structures or (training.block_fingerprint and len(training.positions) == 1):
        return _Costs()
    return max(structures.values(), key=lambda costs: max(r.created_at for r in costs.records()))


def _untrained_rows(measured: Mapping[_Placing, Mapping[str, _Costs]]) -> Iterator[Row]:
    for (_, position, _, _), structures in measured.items():
        for costs in structures.values():
            asked = any(position in record.shown for record in costs.records())
            if asked and not costs.trained:
                yield row_of(position, None, costs.cost, costs.latency)
