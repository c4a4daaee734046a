"""Records joined into the rows of `results.csv`.

One row per training and position asked for, with the cost and the latency of the same block in the
same scaffold. What was measured and not trained has the training empty, and a row for each way in
which it was timed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
from blockzoo.results.table.columns import COST_COLUMNS
from blockzoo.results.table.values import Row, hardware, row_of

_Placing = tuple[str, Position, ScaffoldSettings, str]
"""Block, position, scaffold and kind of identity."""
_Run = tuple[str, RunWay, str | None]
"""What latencies must have in common to be comparable: hardware, how they were run, baseline."""
_Measured = TypeVar("_Measured", CostRecord, LatencyRecord)


@dataclass(kw_only=True)
class _Costs:
    """The best cost and latency records of one structure of one block in one place."""

    cost: CostRecord | None = None
    latency: LatencyRecord | None = None
    latencies: dict[_Run, LatencyRecord] = field(default_factory=dict)
    """The best of each way of running; `latency` is one of them."""
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
    measured = _measured(by_time)
    rows = [row for training in trainings for row in _training_rows(training, measured)]
    # After the trainings, which mark the costs that they take.
    return rows + list(_untrained_rows(measured))


def measured_beside(
    records: Iterable[Record],
) -> Callable[[TrainingRecord, Position], tuple[CostRecord | None, LatencyRecord | None]]:
    """Return what finds cost and latency of a training's network there, as its row has them.

    That is, of the same structure in the same scaffold; either may have failed, or be None.
    """
    measured = _measured(sorted(records, key=lambda record: record.created_at))

    def find(
        training: TrainingRecord, position: Position
    ) -> tuple[CostRecord | None, LatencyRecord | None]:
        placing = (training.block, position, training.scaffold, training.identity)
        costs = _costs_of(training, measured.get(placing, {}))
        return costs.cost, costs.latency

    return find


def _measured(by_time: Sequence[Record]) -> dict[_Placing, dict[str, _Costs]]:
    measured: dict[_Placing, dict[str, _Costs]] = {}
    for cost in (record for record in by_time if isinstance(record, CostRecord)):
        for costs in _places(measured, cost):
            costs.cost = _better(costs.cost, cost)
    latencies = [record for record in by_time if isinstance(record, LatencyRecord)]
    # What comes last stays, so the order says which of several latencies counts.
    for latency in _usual_last(latencies):
        for costs in _places(measured, latency):
            costs.latency = _better(costs.latency, latency)
            run = run_of(latency)
            costs.latencies[run] = _better(costs.latencies.get(run), latency)
    return measured


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
            # A network that is the same at several positions is one, and counts once.
            of_scaffold.append((_placings(record)[0], run_of(record)))
    usual = {
        scaffold: usual_way(of_scaffold, prefer=lambda run: run[1].cache == "hot")
        for scaffold, of_scaffold in timed.items()
    }
    return sorted(latencies, key=lambda record: run_of(record) == usual.get(record.scaffold))


def run_of(record: LatencyRecord) -> _Run:
    """Return hardware, way of running and baseline."""
    # The device alone is not enough: "cuda" is another GPU on another machine.
    return hardware(record, record.device), record.way, record.baseline


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
            if costs.trained:
                continue
            timed = [each for each in costs.latencies.values() if position in each.shown]
            if timed:
                yield from (row_of(position, None, costs.cost, each) for each in timed)
            elif costs.cost is not None and position in costs.cost.shown:
                yield row_of(position, None, costs.cost, None)


_OF_COST = (*COST_COLUMNS, "params_total", "params_trainable", "flops", "memory_mb")


def timing_rows(records: Iterable[Record]) -> list[Row]:
    """Return one row per latency and position asked for, by time, with the cost of the structure.

    All there are, also what was timed again or otherwise: nothing is chosen. Costs of another
    structure are not joined.
    """
    by_time = sorted(records, key=lambda record: record.created_at)
    costs: dict[tuple[_Placing, str], CostRecord] = {}
    for cost in (record for record in by_time if isinstance(record, CostRecord)):
        for placing in _placings(cost):
            key = placing, cost.block_fingerprint
            costs[key] = _better(costs.get(key), cost)
    return [
        _timing_row(placing[1], latency, costs.get((placing, latency.block_fingerprint)))
        for latency in by_time
        if isinstance(latency, LatencyRecord)
        for placing in _shown(latency)
    ]


def _timing_row(position: Position, latency: LatencyRecord, cost: CostRecord | None) -> Row:
    row = row_of(position, None, None, latency)
    if cost is None:
        return row
    # Of the cost its columns alone: when and how it ended is said of the timing.
    counted = row_of(position, None, cost, None)
    return {**row, **{name: counted[name] for name in _OF_COST}}
