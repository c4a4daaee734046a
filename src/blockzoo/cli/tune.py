"""`blockzoo tune`: the tuned track, and how it compares to the default track."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from blockzoo.cli.app import examples
from blockzoo.cli.requests import TrainingOptions, spread

if TYPE_CHECKING:
    from pathlib import Path

    from blockzoo.analysis.tracks import TrackComparison
    from blockzoo.core.position import Position
    from blockzoo.experiments.sweep.plan import SweepRequest
    from blockzoo.experiments.tuning.tune import Tuning
    from blockzoo.results.records import EpochMetrics, TrainingRecord
    from blockzoo.results.store.database import Store


@examples(
    "blockzoo tune RepMixer ResNetBasicBlock --position mid --dataset cifar100",
    "blockzoo tune MobileOneBlock -p mid --dataset digits --width 16 --trials 8 --seeds 3",
)
@spread
def tune(
    given: TrainingOptions,
    trials: Annotated[
        int | None,
        typer.Option("--trials", help="Points tried, best a power of two. (default: 16)"),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", help="Seeds afterwards. (default: the protocol's)")
    ] = None,
) -> None:
    """The tuned track: learning rate, weight decay, drop path by validation, then fresh seeds.

    Every block tries the same points with the same seed and the same rule by which hopeless trials
    are stopped; no trial sees a test image. The seeds that follow are kept as protocol
    `NAME+tuned` beside the default track that `sweep` and `train` fill. Stop it at any time and
    run it again.
    """
    from blockzoo.cli.choices import chosen_seeds, csv_location, open_store
    from blockzoo.cli.consoles import load_data, message_console, output_console
    from blockzoo.core.errors import BlockError, DeviceMemoryError, DivergenceError
    from blockzoo.experiments.tuning.tune import TRIALS, TUNING_FILE
    from blockzoo.measure.machine.devices import require_working, resolve_device
    from blockzoo.report.tables.training import tracks_table, trials_table
    from blockzoo.results.table.csv import write_results_csv

    request = given.request(seeds=None if seeds is None else chosen_seeds(seeds))
    load_data(request)
    csv, failed, budget = csv_location(given.results), 0, TRIALS if trials is None else trials
    rows = []
    with open_store(given.results, create=True) as store:
        for block, position in _networks(request):
            try:
                tuning, records = _tune_cell(
                    request, store, block, position, budget, csv.parent / TUNING_FILE
                )
            except (BlockError, DeviceMemoryError, DivergenceError) as error:
                message_console().print(f"failed: {error}", highlight=False, soft_wrap=True)
                failed += 1
                require_working(resolve_device(request.device), f"{block} ({position})")
                continue
            write_results_csv(store, csv)
            output_console().print(trials_table(tuning))
            rows.append((tuning, _compared(store, request, tuning, records)))
    if rows:
        output_console().print(tracks_table(rows))
    if failed:
        raise typer.Exit(1)


def _networks(request: SweepRequest) -> Iterator[tuple[str, Position]]:
    """Yield every block and position, a network that is the same at several positions once."""
    from blockzoo.scaffold.placement import same_positions

    seen = set()
    for block in request.protocol.blocks:
        for position in request.protocol.positions:
            network = block, same_positions(block, position, request.scaffold)
            if network not in seen:
                seen.add(network)
                yield block, position


def _tune_cell(
    request: SweepRequest, store: Store, block: str, position: Position, trials: int, file: Path
) -> tuple[Tuning, list[TrainingRecord]]:
    """Tune one network and train it over the seeds; every record is in the store at once."""
    from blockzoo.cli.consoles import progress
    from blockzoo.experiments.sweep.run import measure_cost
    from blockzoo.experiments.tuning.tune import tune_block

    protocol = request.protocol
    with progress(f"tune {block} {position}") as update:
        meter = _Meter(update, runs=trials + len(protocol.seeds), epochs=protocol.recipe.epochs)
        tuning = tune_block(
            block,
            position,
            protocol=protocol,
            dataset=request.dataset,
            file=file,
            trials=trials,
            device=request.device,
            resident=request.resident,
            compiled=request.compiled,
            on_trial=lambda _: meter.ended(),
            on_epoch=meter.epoch,
            checkpoints=request.checkpoints,
            resume=request.resume,
            on_oom=request.on_oom,
            log_to=request.log_to,
        )
        records = []
        for seed in protocol.seeds:
            records.append(_trained(request, store, tuning, seed, meter.epoch))
            meter.ended()
        store.put_all(measure_cost(request, block, position))
    return tuning, records


def _trained(
    request: SweepRequest,
    store: Store,
    tuning: Tuning,
    seed: int,
    on_epoch: Callable[[EpochMetrics], None],
) -> TrainingRecord:
    """Return the record of that seed in the tuned track, from the store if it is there."""
    from blockzoo.experiments.tuning.tune import train_tuned, tuned_trial_id
    from blockzoo.results.records import TrainingRecord
    from blockzoo.training.checkpoint import remove_checkpoint

    data, device, compiled = request.dataset, request.device, request.compiled
    trial = tuned_trial_id(tuning, dataset=data, seed=seed, device=device, compiled=compiled)
    found = store.get(trial)
    if isinstance(found, TrainingRecord) and found.status == "ok":
        return found
    record = train_tuned(
        tuning,
        dataset=data,
        seed=seed,
        device=device,
        resident=request.resident,
        compiled=compiled,
        on_epoch=on_epoch,
        checkpoints=request.checkpoints,
        resume=request.resume,
        on_oom=request.on_oom,
        save_weights=request.save_weights,
        log_to=request.log_to,
        experiment_name=request.experiment_name,
        notes=request.notes,
        robustness=request.robustness,
    )
    store.put(record)
    remove_checkpoint(request.checkpoints, trial)
    return record


def _compared(
    store: Store, request: SweepRequest, tuning: Tuning, records: list[TrainingRecord]
) -> TrackComparison:
    from blockzoo.analysis.tracks import compare_tracks
    from blockzoo.results.records import TrainingRecord

    default = store.records(
        kind="training", status="ok", block=tuning.block, protocol=request.protocol.label
    )
    return compare_tracks([r for r in default if isinstance(r, TrainingRecord)], records)


class _Meter:
    """Shows runs of so many epochs, one after the other, as a share of all of them."""

    def __init__(self, update: Callable[[float, str], None], *, runs: int, epochs: int) -> None:
        self._update, self._runs, self._epochs = update, runs, epochs
        self._ended = 0

    def epoch(self, metrics: EpochMetrics) -> None:
        """Count an epoch of the run in hand."""
        self._show(metrics.epoch, f", validation {100 * metrics.val_accuracy:.1f}%")

    def ended(self) -> None:
        """Count the run in hand as ended."""
        self._ended += 1
        self._show(0, "")

    def _show(self, epoch: int, more: str) -> None:
        share = (self._ended + epoch / self._epochs) / self._runs
        run = min(self._ended + 1, self._runs)
        self._update(min(share, 1.0), f"run {run} of {self._runs}, epoch {epoch}{more}")
