"""The tuned track of many networks: each is tuned, trained over fresh seeds, and compared.

What the store already holds of the seeds is not trained again; every record is in the store before
the next training begins.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from blockzoo.analysis.tracks import TrackComparison, compare_tracks
from blockzoo.core.errors import BlockError, BlockZooError, DeviceMemoryError, DivergenceError
from blockzoo.experiments.sweep.plan import SweepRequest
from blockzoo.experiments.sweep.run import measure_cost
from blockzoo.experiments.trial_identity import training_trial_id
from blockzoo.experiments.tuning.apart import network_of, train_seed
from blockzoo.experiments.tuning.tries import Try
from blockzoo.experiments.tuning.tune import Tuning, tune, tuned_settings
from blockzoo.measure.machine.devices import require_working, resolve_device
from blockzoo.results.records import EpochMetrics, TrainingRecord
from blockzoo.results.store.database import Store
from blockzoo.results.table.csv import write_csv_files
from blockzoo.scaffold.placement import Placement
from blockzoo.training.checkpoint import remove_checkpoint


@dataclass(frozen=True, kw_only=True)
class Track:
    """What the tuned track gave one network: its tuning, and both tracks side by side."""

    tuning: Tuning
    comparison: TrackComparison


class RunCounter:
    """Told of the runs of one network, its trials and then its seeds; this one ignores it."""

    def epoch(self, metrics: EpochMetrics) -> None:
        """An epoch of the run in hand has ended."""

    def ended(self, trial: Try | None = None) -> None:
        """The run in hand has ended; `trial` is what it was, unless it trained a seed."""


class TrackListener:
    """Told which network is at work and which failed; this one ignores it."""

    def watching(
        self, placement: Placement, *, runs: int, epochs: int
    ) -> AbstractContextManager[RunCounter]:
        """Return the counter for a network of so many runs of so many epochs each."""
        return nullcontext(RunCounter())

    def failed(self, placement: Placement, error: BlockZooError) -> None:
        """That network could not be tuned or trained; the others go on."""


def run_tuned_track(
    request: SweepRequest,
    store: Store,
    *,
    file: Path,
    csv_path: Path,
    trials: int,
    listener: TrackListener | None = None,
) -> Iterator[Track]:
    """Yield each network's track once its records are in `store` and in the CSV.

    `file` keeps the trials, see `tune_block`. A network that fails is told to the listener. Raises
    what `tune_block` raises for the search itself, and `BlockZooError` where a failure has taken
    the device with it.
    """
    listener = listener or TrackListener()
    for placement in distinct_networks(request):
        try:
            track = _tuned(request, store, placement, file, trials, listener)
        except (BlockError, DeviceMemoryError, DivergenceError) as error:
            # First, for the next line raises where the device is lost.
            listener.failed(placement, error)
            require_working(resolve_device(request.device), placement.label)
            continue
        write_csv_files(store, csv_path)
        yield track


def distinct_networks(request: SweepRequest) -> Iterator[Placement]:
    """Yield every placement, a network that is the same at several positions once."""
    seen = set()
    for placement in request.placements():
        network = placement.spec.name, placement.positions
        if network not in seen:
            seen.add(network)
            yield placement


def _tuned(
    request: SweepRequest,
    store: Store,
    placement: Placement,
    file: Path,
    trials: int,
    listener: TrackListener,
) -> Track:
    """Tune one network and train it over the seeds."""
    protocol = request.protocol
    network = network_of(request, placement)
    runs, epochs = trials + len(protocol.seeds), protocol.recipe.epochs
    with listener.watching(placement, runs=runs, epochs=epochs) as counter:
        tuning = tune(
            network,
            file,
            trials=trials,
            options=request.options,
            on_trial=counter.ended,
            on_epoch=counter.epoch,
        )
        records = []
        for seed in protocol.seeds:
            records.append(_trained(request, store, tuning, seed, counter))
            counter.ended()
        costs = measure_cost(request, placement)
        store.put_all(cost.asked_at(request.protocol.positions) for cost in costs)
    return Track(tuning=tuning, comparison=_compared(request, store, tuning, records))


def _trained(
    request: SweepRequest, store: Store, tuning: Tuning, seed: int, counter: RunCounter
) -> TrainingRecord:
    """Return the record of that seed in the tuned track, from the store if it is there."""
    data, device, compiled = request.dataset, request.device, request.compiled
    settings = tuned_settings(tuning, data, seed=seed, device=device, compiled=compiled)
    identity = training_trial_id(tuning.placement, settings)
    stored = store.get(identity)
    # One that failed is tried again, as in a sweep.
    if isinstance(stored, TrainingRecord) and stored.status == "ok":
        store.ask({identity: request.protocol.positions})
        return stored
    record = train_seed(request, tuning, seed, counter.epoch)
    store.put(record.asked_at(request.protocol.positions))
    remove_checkpoint(request.options.checkpoints, identity)
    return record


def _compared(
    request: SweepRequest, store: Store, tuning: Tuning, records: list[TrainingRecord]
) -> TrackComparison:
    default = store.records(
        kind="training",
        block=tuning.placement.spec.name,
        protocol=request.protocol.label,
    )
    return compare_tracks([r for r in default if isinstance(r, TrainingRecord)], records)
