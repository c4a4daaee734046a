"""What a site is made of, read from the store in one pass: it may hold a hundred thousand records.

Whole records would not fit into memory. Of each stays what some page shows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from blockzoo.analysis.groups import Terms
from blockzoo.analysis.trainings import Trained, trained_of
from blockzoo.results.environment import PASSING
from blockzoo.results.ranges import RecipeValues
from blockzoo.results.records import (
    CostRecord,
    LatencyRecord,
    Record,
    RobustnessMetrics,
    TrainingRecord,
)
from blockzoo.results.store.database import Store
from blockzoo.results.store.series import Skimmed


class Noted(NamedTuple):
    """A record as the page of its block lists it; `environment` is JSON of what does not pass."""

    created_at: datetime
    trial_id: str
    kind: str
    positions: str
    seed: int | None
    status: str
    environment: str
    said: str


class Gathered:
    """All that pages show of a store; the trainings are there once `trainings` is at its end.

    Attributes:
        beside: Costs and latencies, whole, by kind and time.
        kept: Of all trainings, by time.
        noted: Of all records, by block.
        recipes: One training's of each terms.
        robust: What trainings found on changed images, by id.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.beside: list[CostRecord | LatencyRecord] = []
        self.kept: list[Trained] = []
        self.noted: defaultdict[str, list[Noted]] = defaultdict(list)
        self.recipes: dict[Terms, RecipeValues] = {}
        self.robust: dict[str, RobustnessMetrics] = {}
        self._texts: dict[str, str] = {}
        for kind in ("cost", "latency"):
            for record in store.each(kind=kind):
                if isinstance(record, CostRecord | LatencyRecord):
                    self.beside.append(record)
                    self._note(record, None)

    def trainings(self) -> Iterator[TrainingRecord]:
        """Yield all trainings as listings read them, by time, keeping what is shown of each."""
        last: list[TrainingRecord] = []

        def passing() -> Iterator[tuple[TrainingRecord, Skimmed]]:
            for record, series in self._store.skimmed():
                last[:] = [record]
                yield record, series

        for training in trained_of(passing()):
            record = last[0]
            self.kept.append(training)
            self.recipes.setdefault(training.terms, record.recipe)
            if record.robustness is not None:
                self.robust[record.trial_id] = record.robustness
            self._note(record, record.seed)
            yield record

    def _note(self, record: Record, seed: int | None) -> None:
        said = (record.experiment_name, record.notes, record.reason, "; ".join(record.unsure))
        self.noted[record.block].append(
            Noted(
                record.created_at,
                record.trial_id,
                self._once(str(getattr(record, "kind", ""))),
                self._once("/".join(map(str, record.shown))),
                seed,
                record.status,
                # Clocks and loads change from record to record.
                self._once(record.environment.model_dump_json(exclude={*PASSING})),
                self._once("; ".join(filter(None, said))),
            )
        )

    def _once(self, text: str) -> str:
        """Return the same text as before where it is equal, so that it is in memory once."""
        return self._texts.setdefault(text, text)
