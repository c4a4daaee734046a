"""Records joined into the rows of `results.csv`.

One row per training and position asked for, with the cost and the latency of the same block in the
same scaffold. What was measured and not trained has the training empty, and a row for each way in
which it was timed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Protocol, TypeVar

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
from blockzoo.results.store.database import Store
from blockzoo.results.table.columns import COST_COLUMNS
from blockzoo.results.table.values import Row, hardware, measured_columns, row_of

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
    _columns: dict[Position, Row] = field(default_factory=dict)

    def columns(self, position: Position) -> Row:
        """Return what rows of trainings there say of the cost and the latency."""
        # Made once: it is the same for all seeds.
        if position not in self._columns:
            self._columns[position] = measured_columns(position, self.cost, self.latency)
        return self._columns[position]

    def records(self) -> list[Record]:
        return [record for record in (self.cost, self.latency) if record is not None]

    def every(self) -> list[Record]:
        return [*([] if self.cost is None else [self.cost]), *self.latencies.values()]


def result_rows(source: Store | Iterable[Record]) -> Iterator[Row]:
    """Yield the rows of all records, trainings by their time and then what was only measured.

    Where several latencies fit one row, one that went well is taken; of these one with the settings
    (hardware, backend, batch size, ...) under which most blocks of the scaffold were timed, so that
    rows can be compared, hot before cold; of these the newest. Of costs the newest that went well
    is taken. The others are in the store.
    """
    yield from joined_rows(*parted(source))


def joined_rows(beside: Iterable[Record], trainings: Iterable[TrainingRecord]) -> Iterator[Row]:
    """Yield what `result_rows` does, of costs and latencies and of trainings as they come.

    >>> list(joined_rows([], []))
    []
    """
    measured = _measured(list(beside))
    for training in trainings:
        yield from _training_rows(training, measured)
    # After the trainings, which mark the costs that they take.
    yield from _untrained_rows(measured)


def parted(source: Store | Iterable[Record]) -> tuple[list[Record], Iterator[TrainingRecord]]:
    """Return costs and latencies, and trainings to come, each by time.

    Of a store they are as listings read them. Trainings are the most by far: whoever keeps none
    has one at a time in memory.
    """
    records = source.listed() if isinstance(source, Store) else _by_kind(source)
    beside: list[Record] = []
    for record in records:
        if isinstance(record, TrainingRecord):
            return beside, chain([record], _trainings(records))
        beside.append(record)
    return beside, iter(())


def _by_kind(records: Iterable[Record]) -> Iterator[Record]:
    """Yield records in the order of `Store.listed`."""
    by_time = sorted(records, key=lambda record: record.created_at)
    for kind in (CostRecord, LatencyRecord, TrainingRecord):
        yield from (record for record in by_time if isinstance(record, kind))


def _trainings(records: Iterable[Record]) -> Iterator[TrainingRecord]:
    yield from (record for record in records if isinstance(record, TrainingRecord))


class OfNetwork(Protocol):
    """What of a training says which costs and latencies are those of its network."""

    @property
    def block(self) -> str: ...  # noqa: D102
    @property
    def positions(self) -> tuple[Position, ...]: ...  # noqa: D102
    @property
    def scaffold(self) -> ScaffoldSettings: ...  # noqa: D102
    @property
    def identity(self) -> str: ...  # noqa: D102
    @property
    def block_fingerprint(self) -> str: ...  # noqa: D102


def measured_beside(
    records: Iterable[Record],
) -> Callable[[OfNetwork, Position], tuple[CostRecord | None, LatencyRecord | None]]:
    """Return what finds cost and latency of a training's network there, as its row has them.

    That is, of the same structure in the same scaffold; either may have failed, or be None.
    """
    measured = Measurements(records)

    def find(
        training: OfNetwork, position: Position
    ) -> tuple[CostRecord | None, LatencyRecord | None]:
        found = measured.of(training, position)
        return found.cost, found.latency

    return find


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Cost and latencies of one structure there, each the best of its kind; any may have failed.

    `latency` is that of the usual way of running, `latencies` has one for each way.
    """

    position: Position
    cost: CostRecord | None
    latency: LatencyRecord | None
    latencies: tuple[LatencyRecord, ...]


class Measurements:
    """Costs and latencies, found by the training of whose network they are.

    >>> list(Measurements([]).untrained())
    []
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self._measured = _measured(list(_by_kind(records)))

    def of(self, training: OfNetwork, position: Position) -> Measured:
        """Return what was measured of the training's network there."""
        placing = (training.block, position, training.scaffold, training.identity)
        costs = _costs_of(training, self._measured.get(placing, {}))
        costs.trained = True
        return _found(position, costs)

    def untrained(self) -> Iterator[Measured]:
        """Yield what nobody asked for by a training, at positions at which it was asked for."""
        for (_, position, _, _), structures in self._measured.items():
            for costs in structures.values():
                if not costs.trained and any(position in r.shown for r in costs.every()):
                    yield _found(position, costs)


def _found(position: Position, costs: _Costs) -> Measured:
    every = tuple(costs.latencies.values())
    return Measured(position=position, cost=costs.cost, latency=costs.latency, latencies=every)


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
        columns = costs.columns(placing[1])
        yield row_of(placing[1], training, costs.cost, costs.latency, columns)


def _costs_of(training: OfNetwork, structures: Mapping[str, _Costs]) -> _Costs:
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


def timing_rows(source: Store | Iterable[Record]) -> Iterator[Row]:
    """Yield one row per latency and position asked for, by time, with the cost of the structure.

    All there are, also what was timed again or otherwise: nothing is chosen. Costs of another
    structure are not joined.
    """
    costs: dict[tuple[_Placing, str], CostRecord] = {}
    every = source.listed("cost", "latency") if isinstance(source, Store) else _by_kind(source)
    for record in every:  # costs come first
        if isinstance(record, CostRecord):
            for placing in _placings(record):
                key = placing, record.block_fingerprint
                costs[key] = _better(costs.get(key), record)
        elif isinstance(record, LatencyRecord):
            for placing in _shown(record):
                cost = costs.get((placing, record.block_fingerprint))
                yield _timing_row(placing[1], record, cost)


def _timing_row(position: Position, latency: LatencyRecord, cost: CostRecord | None) -> Row:
    row = row_of(position, None, None, latency)
    if cost is None:
        return row
    # Of the cost its columns alone: when and how it ended is said of the timing.
    counted = row_of(position, None, cost, None)
    return {**row, **{name: counted[name] for name in _OF_COST}}
