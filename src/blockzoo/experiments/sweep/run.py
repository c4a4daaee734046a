"""The main job: plan what is missing, run it, record every outcome.

Costs come first (seconds), then latencies (all blocks of one position interleaved in one session),
then trainings, seed by seed, so that a sweep that is stopped early still compares like with like.
The driver alone writes, one transaction per record. Killing it loses at most the trials in flight;
running it again does only what is missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path

from blockzoo.core.errors import BlockError, DeviceMemoryError, DivergenceError
from blockzoo.core.processes import Send
from blockzoo.experiments.benchmark import BenchmarkOptions, benchmark_blocks
from blockzoo.experiments.execution.executors import Executor, InProcessExecutor, as_completed
from blockzoo.experiments.profile import CostSettings, profile_blocks
from blockzoo.experiments.sweep.epochs import EpochRelay, EpochWriter
from blockzoo.experiments.sweep.failures import failed_records
from blockzoo.experiments.sweep.plan import Plan, SweepRequest, Trial, make_plan, training_trial
from blockzoo.experiments.sweep.timed_fits import fitted_by_timing
from blockzoo.experiments.train import OnEpoch, train_placement
from blockzoo.measure.machine.devices import require_working, resolve_device
from blockzoo.results.records import CostRecord, EpochMetrics, Record, TrainingRecord
from blockzoo.results.store.database import Store
from blockzoo.results.table.csv import write_csv_files
from blockzoo.scaffold.placement import Placement
from blockzoo.training.checkpoint import checkpointed_trials, remove_checkpoint
from blockzoo.training.optimisation import step_of


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One finished trial: its records, ok or failed, and the seconds it took."""

    trial: Trial
    records: tuple[Record, ...]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class SweepResult:
    """How a sweep ended.

    Attributes:
        ran: Trials that were run.
        failed: Records that failed; a trial of latencies has a record per block.
        skipped: Trials that were found done.
        left_out: Trials that were planned and not started, for `may_start` said no.
    """

    ran: int
    failed: int
    skipped: int
    left_out: int = 0


class SweepListener:
    """Told of a sweep's progress; this one ignores it, so derive from it.

    Example:
        >>> class Counting(SweepListener):
        ...     def planned(self, plan):
        ...         print(len(plan.trials), "to run")
    """

    def planned(self, plan: Plan) -> None:
        """The plan is made, nothing has run yet.

        Args:
            plan: Its trials are what will run.
        """

    def started(self, trial: Trial) -> None:
        """A trial is handed to the executor.

        Args:
            trial: Which one.
        """

    def epoch(self, trial: Trial, metrics: EpochMetrics) -> None:
        """An epoch of a training has ended.

        Of trainings in other processes it is told within seconds, where checkpoints are kept.

        Args:
            trial: Of which training.
            metrics: What the epoch showed.
        """

    def finished(self, outcome: Outcome) -> None:
        """A trial's records are in the store.

        Args:
            outcome: The trial, its records and the seconds it took.
        """


def run_sweep(
    request: SweepRequest,
    store: Store,
    *,
    csv_path: Path | None = None,
    executor: Executor | None = None,
    trainers: Executor | None = None,
    listener: SweepListener | None = None,
    may_start: Callable[[Trial], bool] | None = None,
) -> SweepResult:
    """Run what is missing and return the counts; every outcome is in `store` when this returns.

    A trial that fails is recorded with its reason and the sweep goes on. `KeyboardInterrupt` passes
    through, once the CSV is up to date.

    Args:
        request: The protocol, and where to run it.
        store: Where results are looked for and put.
        csv_path: A CSV file that is rewritten, whole, as results come in.
        executor: Where trials run; by default in this process.
        trainers: Where trainings run, after all else; by default in `executor`.
        listener: Told of the plan and of every trial.
        may_start: Asked of each trial as its turn comes; one that it does not allow is left out.

    Returns:
        How many trials ran, failed and were found done.

    Raises:
        UnknownNameError: For a block or data set that is not known.
        DataError: For data that are missing or malformed.
        ResultsError: When the store or the CSV cannot be written.

    Example:
        >>> import tempfile
        >>> from blockzoo.experiments.protocol import get_protocol
        >>> tiny = get_protocol("quick").changed(
        ...     blocks=("Identity",), positions=("mid",), seeds=(0,), width=4, depth=1, epochs=1,
        ...     latency_budget_s=0.05, latency_processes=0,
        ... )
        >>> request = SweepRequest(protocol=tiny, device="cpu")
        >>> with tempfile.TemporaryDirectory() as folder, Store(folder, create=True) as store:
        ...     run_sweep(request, store).ran, run_sweep(request, store).skipped
        (3, 3)
    """
    listener = listener or SweepListener()
    mirror = _CsvMirror(store, csv_path)
    request = fitted_by_timing(request, store)
    plan = make_plan(request, store)
    _remove_leftovers(request.options.checkpoints, store)
    store.ask(plan.asked)
    # Written even where nothing is left to run: the file may be older than the store.
    mirror.refresh()
    epochs = EpochRelay(_epochs_folder(request, trainers or executor), listener.epoch)
    trials = _Trials(listener, may_start, epochs)
    listener.planned(plan)
    failed = 0
    try:
        with epochs:
            for trial, future in _running(request, plan, executor, trainers, listener, trials):
                epochs.leave(trial)
                outcome = _outcome(request, trial, future)
                for record in outcome.records:
                    # The checkpoint goes only when the record is safe.
                    store.put(record.asked_at(plan.asked.get(record.trial_id, ())))
                    remove_checkpoint(request.options.checkpoints, record.trial_id)
                # A trial of latencies has a record per block, and some may fail alone.
                failed += sum(record.status == "failed" for record in outcome.records)
                mirror.changed()
                listener.finished(outcome)
    finally:
        mirror.refresh()
    return SweepResult(
        ran=len(plan.trials) - trials.left_out,
        failed=failed,
        skipped=plan.done,
        left_out=trials.left_out,
    )


def run_trial(request: SweepRequest, trial: Trial, *, on_epoch: OnEpoch | None = None) -> Outcome:
    """Run one trial, anywhere; raises what its verb raises."""
    start = time.perf_counter()
    records = tuple(_VERBS[trial.kind](request, trial, on_epoch))
    return Outcome(trial=trial, records=records, seconds=time.perf_counter() - start)


def run_recorded(
    request: SweepRequest, trial: Trial, *, on_epoch: OnEpoch | None = None
) -> Outcome:
    """Run one trial; one that raises leaves failed records, with the traceback as it was there.

    Without `on_epoch` a training writes its epochs to a file, see `EpochRelay`.
    """
    folder = request.options.checkpoints
    if on_epoch is None and folder is not None and trial.kind == "training":
        on_epoch = EpochWriter(folder, trial.trial_ids[0])
    try:
        return run_trial(request, trial, on_epoch=on_epoch)
    except Exception as error:  # noqa: BLE001 - the sweep's border, in another process
        return Outcome(trial=trial, records=failed_records(request, trial, error), seconds=0.0)


def measure_cost(request: SweepRequest, placement: Placement) -> list[CostRecord]:
    """Return the cost of that placement, as one record; failed if it cannot be had."""
    recipe = request.protocol.recipe
    return profile_blocks(
        [placement.spec],
        [placement.position],
        config=placement.scaffold,
        settings=CostSettings(training_batch_size=recipe.batch_size, training_step=step_of(recipe)),
        on_error="record",
    )


def run_trainings(
    request: SweepRequest, store: Store, *, csv_path: Path
) -> Iterator[tuple[TrainingRecord, CostRecord]]:
    """Train every placement of the protocol over its seeds, whatever the store holds.

    Yields each training's record with its cost's, once both are in `store` and in the CSV. One that
    fails is recorded with its reason and the others go on; raises `BlockZooError` where the failure
    has taken the device with it.
    """
    request = fitted_by_timing(request, store)
    for seed, placement in product(request.protocol.seeds, list(request.placements())):
        trained = _train_recorded(request, placement, seed)
        (cost,) = measure_cost(request, placement)
        store.put_all([trained, cost])
        remove_checkpoint(request.options.checkpoints, trained.trial_id)
        write_csv_files(store, csv_path)
        yield trained, cost
        if trained.status == "failed":
            # A kernel that asserted takes CUDA from this process, and all that follow would fail
            # for it.
            require_working(resolve_device(request.device), placement.label)


def _train_recorded(request: SweepRequest, placement: Placement, seed: int) -> TrainingRecord:
    """Train that placement; a training that fails leaves a failed record, with its reason."""
    trial = training_trial(request, placement, seed)
    shown = replace(request, options=replace(request.options, progress=True))
    train = _apart(shown, SweepListener(), trial) or partial(run_trial, shown, trial)
    try:
        (record,) = train().records
    except (BlockError, DeviceMemoryError, DivergenceError) as error:
        (record,) = failed_records(request, trial, error)
    assert isinstance(record, TrainingRecord)
    return record


def _cost(request: SweepRequest, trial: Trial, _: OnEpoch | None) -> Sequence[Record]:
    return measure_cost(request, request.placement(trial.blocks[0], trial.position))


def _training(request: SweepRequest, trial: Trial, on_epoch: OnEpoch | None) -> Sequence[Record]:
    assert trial.seed is not None
    placement = request.placement(trial.blocks[0], trial.position)
    settings = request.training_settings(trial.seed)
    return [train_placement(placement, settings, request.options, on_epoch=on_epoch)]


def _latency(request: SweepRequest, trial: Trial, _: OnEpoch | None) -> Sequence[Record]:
    return benchmark_blocks(
        trial.blocks,
        [trial.position],
        config=request.scaffold,
        settings=request.latency,
        baseline=request.blocks_at(trial.position)[0],
        options=BenchmarkOptions(
            experiment_name=request.options.experiment_name, notes=request.options.notes
        ),
    )


_VERBS = {"cost": _cost, "latency": _latency, "training": _training}


def _running(
    request: SweepRequest,
    plan: Plan,
    executor: Executor | None,
    trainers: Executor | None,
    listener: SweepListener,
    announced: _Trials,
) -> Iterator[tuple[Trial, Future[Outcome]]]:
    """Yield each trial with its finished future; trainings begin when all else has ended."""
    executor = executor or InProcessExecutor()
    trainers = trainers or executor
    others = [trial for trial in plan.trials if trial.kind != "training"]
    trainings = [trial for trial in plan.trials if trial.kind == "training"]
    yield from as_completed(executor, partial(run_trial, request), announced(others))
    # Into a process that others share no listener follows a training; its epochs are read there.
    hears = isinstance(trainers, InProcessExecutor)
    yield from as_completed(
        trainers,
        partial(_run_heard, request, listener) if hears else partial(run_recorded, request),
        announced(trainings),
        apart=partial(_apart, request, listener),
    )


def _epochs_folder(request: SweepRequest, trainers: Executor | None) -> Path | None:
    """Return where trainings write their epochs that run in processes others share."""
    hears = trainers is None or isinstance(trainers, InProcessExecutor)
    return None if hears else request.options.checkpoints


def _run_heard(request: SweepRequest, listener: SweepListener, trial: Trial) -> Outcome:
    return run_recorded(request, trial, on_epoch=partial(listener.epoch, trial))


def _apart(
    request: SweepRequest, listener: SweepListener, trial: Trial
) -> Callable[[], Outcome] | None:
    """Return the call that trains a user's block in its own process; none for other blocks."""
    elsewhere = request.placement(trial.blocks[0], trial.position).elsewhere
    if elsewhere is None:
        return None
    heard = partial(listener.epoch, trial)
    return partial(elsewhere, _run_there, (request, trial), kind="training", listener=heard)


def _run_there(task: tuple[SweepRequest, Trial], send: Send) -> Outcome:
    return run_recorded(*task, on_epoch=send)


class _Trials:
    """Announces trials as their turn comes, and counts those that may not start."""

    def __init__(
        self,
        listener: SweepListener,
        may_start: Callable[[Trial], bool] | None,
        epochs: EpochRelay,
    ) -> None:
        self._listener, self._may_start, self._epochs = listener, may_start, epochs
        self.left_out = 0

    def __call__(self, trials: Iterable[Trial]) -> Iterator[Trial]:
        for trial in trials:
            if self._may_start is not None and not self._may_start(trial):
                self.left_out += 1
                continue
            self._epochs.follow(trial)
            self._listener.started(trial)
            yield trial


def _remove_leftovers(checkpoints: Path | None, store: Store) -> None:
    """Remove what a sweep left that was killed between storing a record and the removal."""
    if left := checkpointed_trials(checkpoints):
        for trial in store.ok_ids(left):
            remove_checkpoint(checkpoints, trial)


def _outcome(request: SweepRequest, trial: Trial, future: Future[Outcome]) -> Outcome:
    """Return what the trial left; a trial that raised leaves failed records. The sweep's border."""
    error = future.exception()
    if error is None:
        return future.result()
    records = failed_records(request, trial, error)
    return Outcome(trial=trial, records=records, seconds=0.0)


class _CsvMirror:
    """Keeps results.csv like the store: always whole, at most a few seconds behind, exact at ends.

    Writing all rows takes longer as they grow in number, so between the ends it happens only as
    often as costs a twentieth of the time.
    """

    _SHARE = 1 / 20

    def __init__(self, store: Store, path: Path | None) -> None:
        self._store, self._path = store, path
        self._next = 0.0
        self._stale = True

    def refresh(self) -> None:
        """Write the file, if anything may have changed since it was written."""
        if self._path is None or not self._stale:
            return
        start = time.monotonic()
        write_csv_files(self._store, self._path)
        end = time.monotonic()
        self._next = end + (end - start) / self._SHARE
        self._stale = False

    def changed(self) -> None:
        """Note that the store has more, and write the file if that was not done for long enough."""
        self._stale = True
        if time.monotonic() >= self._next:
            self.refresh()
