"""What trials took, by what a store says of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median

from blockzoo.analysis.trainings import Trained
from blockzoo.experiments.protocol import Protocol
from blockzoo.experiments.sweep.plan import Plan, Trial
from blockzoo.results.records import TrainingRecord
from blockzoo.results.store.database import Store


@dataclass(frozen=True, kw_only=True)
class Pace:
    """What trainings took: median seconds by block, and of all, None where none is known."""

    by_block: Mapping[str, float]
    of_all: float | None

    @classmethod
    def of(cls, store: Store, protocol: Protocol, dataset: str | None = None) -> Pace:
        """Return the pace of the trainings by that protocol, on those data, in the store."""
        return cls.of_trainings(known_trainings(store, protocol, dataset))

    @classmethod
    def of_trainings(cls, trainings: Iterable[TrainingRecord | Trained]) -> Pace:
        """Return the pace of these."""
        took: dict[str, list[float]] = {}
        for record in trainings:
            if record.training_seconds is not None:
                took.setdefault(record.block, []).append(record.training_seconds)
        every = [seconds for of_block in took.values() for seconds in of_block]
        by_block = {block: median(seconds) for block, seconds in took.items()}
        return cls(by_block=by_block, of_all=median(every) if every else None)

    def expected_s(self, plan: Plan) -> float:
        """Return about how long the plan takes; by a guess where no training is known."""
        return sum(self.of_trial(trial) for trial in plan.trials)

    def of_trial(self, trial: Trial) -> float:
        """Return about how many seconds one trial takes."""
        known = self.by_block.get(trial.blocks[0], self.of_all)
        return trial.expected_s if trial.kind != "training" or known is None else known


def known_trainings(
    store: Store, protocol: Protocol, dataset: str | None = None
) -> Iterator[TrainingRecord]:
    """Yield the trainings by that protocol, on those data, in the store; those that went well."""
    data = {} if dataset is None else {"dataset": dataset}
    for record in store.listed("training", status="ok", protocol=protocol.label, **data):
        if isinstance(record, TrainingRecord):
            yield record
