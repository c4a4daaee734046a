"""The main job: plan what is missing, run it, record every outcome.

Costs come first (seconds), then latencies (all blocks of one position interleaved in one session,
or of all positions), then trainings, seed by seed, so that a sweep that is stopped early still
compares like with like. The driver alone writes, one transaction per record. Killing it loses at
most the trials in flight; running it again does only what is missing.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path

from blockzoo.core.errors import BlockError, BlockZooError, DeviceMemoryError, DivergenceError
from blockzoo.core.processes import Send
from blockzoo.experiments.benchmark import BenchmarkOptions, benchmark_blocks
from blockzoo.experiments.execution.base import Executor, as_completed
from blockzoo.experiments.execution.in_process import InProcessExecutor
from blockzoo.experiments.execution.user_blocks import TrialLimits, run_apart
from blockzoo.experiments.profile import CostSettings, profile_blocks
from blockzoo.experiments.sweep.failures import failed_records
from blockzoo.experiments.sweep.plan import Plan, SweepRequest, Trial, make_plan, training_trial
from blockzoo.experiments.sweep.timed_fits import fitted_by_timing
from blockzoo.experiments.train import OnEpoch, train_placement
from blockzoo.measure.machine.devices import require_working, resolve_device
from blockzoo.results.records import CostRecord, EpochMetrics, Record, TrainingRecord
from blockzoo.results.store.claims import LEASE_S, Claims
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
        elsewhere: Trials that were planned and that other drivers of the store have done meanwhile.
    """

    ran: int
    failed: int
    skipped: int
    left_out: int = 0
    elsewhere: int = 0


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

        Of trainings in other processes it is told within seconds, by another thread.

        Args:
            trial: Of which training.
            metrics: What the epoch showed.
        """

    def finished(self, outcome: Outcome) -> None:
        """A trial's records are in the store.

        Args:
            outcome: The trial, its records and the seconds it took.
        """

    def done_elsewhere(self, trial: Trial) -> None:
        """A trial of the plan was found done by another driver as its turn came.

        Args:
            trial: Which one; it was never started here.
        """

    def waiting(self, trials: Sequence[Trial]) -> None:
        """Nothing is left to start here but what other drivers have in hand.

        Args:
            trials: Those.
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
    lease_s: float = LEASE_S,
) -> SweepResult:
    """Run what is missing and return the counts; every outcome is in `store` when this returns.

    Several drivers may run one sweep into one store: each trial is claimed before it starts. Those
    that another driver has in hand are waited for, and taken over where it is gone.

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
        lease_s: After how long a claim is taken over that its driver does not renew.

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
    claims = Claims(store, lease_s=lease_s)
    plan = make_plan(request, store)
    _remove_leftovers(request.options.checkpoints, store)
    store.ask(plan.asked)
    # Written even where nothing is left to run: the file may be older than the store.
    mirror.refresh()
    listener.planned(plan)
    failed = ran = 0
    try:
        with claims:
            trials = _Trials(listener, may_start, claims)
            for trial, future in _running(request, plan, executor, trainers, listener, trials):
                outcome = _outcome(request, trial, future)
                _keep(outcome, request, store, plan)
                claims.release(trial.trial_ids)
                ran += 1
                # A trial of latencies has a record per block, and some may fail alone.
                failed += sum(record.status == "failed" for record in outcome.records)
                mirror.changed()
                listener.finished(outcome)
            if trials.elsewhere:
                mirror.changed()
    finally:
        mirror.refresh()
    return SweepResult(
        ran=ran,
        failed=failed,
        skipped=plan.done,
        left_out=trials.left_out,
        elsewhere=trials.elsewhere,
    )


def _keep(outcome: Outcome, request: SweepRequest, store: Store, plan: Plan) -> None:
    """Put the records of a trial, all or none, and remove what it kept to go on from."""
    records = outcome.records
    store.put_all(record.asked_at(plan.asked.get(record.trial_id, ())) for record in records)
    # The checkpoint goes only when the record is safe.
    for record in records:
        remove_checkpoint(request.options.checkpoints, record.trial_id)


def run_trial(request: SweepRequest, trial: Trial, *, on_epoch: OnEpoch | None = None) -> Outcome:
    """Run one trial, anywhere; raises what its verb raises."""
    start = time.perf_counter()
    records = tuple(_VERBS[trial.kind](request, trial, on_epoch))
    return Outcome(trial=trial, records=records, seconds=time.perf_counter() - start)


def run_recorded(
    request: SweepRequest, trial: Trial, *, on_epoch: OnEpoch | None = None
) -> Outcome:
    """Run one trial; one that raises leaves failed records, with the traceback as it was there."""
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
    records = benchmark_blocks(
        tuple(dict.fromkeys(trial.blocks)),
        trial.positions,
        config=request.scaffold,
        settings=request.latency,
        baseline=request.blocks_at(trial.position)[0],
        options=BenchmarkOptions(
            experiment_name=request.options.experiment_name, notes=request.options.notes
        ),
    )
    # Of several positions each had all blocks. A baseline that is not of the trial stays.
    return [
        each
        for each in records
        if each.trial_id in trial.trial_ids or each.block not in trial.blocks
    ]


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
    measured = partial(executor.submit, partial(run_trial, request))
    # Latencies have this machine for themselves, as far as the executor of trainings knows it.
    timed = any(trial.kind == "latency" for trial in others)
    with trainers.alone() if timed else nullcontext():
        yield from as_completed(executor, measured, announced(others))
    trained = partial(_train, request, listener, trainers)
    yield from as_completed(trainers, trained, announced(trainings))


def _train(
    request: SweepRequest, listener: SweepListener, trainers: Executor, trial: Trial
) -> Future[Outcome]:
    """Start that training where trainings run, a user's block in its own process there."""
    heard = partial(listener.epoch, trial)
    if not trainers.is_here:
        task = _Anywhere(request=request, trial=trial, limits=trainers.limits)
        return trainers.stream(_run_anywhere, task, heard)
    call = _apart(request, listener, trial)
    if call is not None:
        return trainers.watch(call)
    return trainers.stream(_run_there, (request, trial), heard)


@dataclass(frozen=True, kw_only=True)
class _Anywhere:
    """A training on whichever machine, and what a user's block may take there."""

    request: SweepRequest
    trial: Trial
    limits: TrialLimits


def _run_anywhere(task: _Anywhere, send: Send) -> Outcome:
    names = (*task.trial.blocks, task.request.scaffold.context)
    try:
        # Users' blocks have processes of their own there too.
        with run_apart(names, task.limits):
            placement = task.request.placement(task.trial.blocks[0], task.trial.position)
            if placement.elsewhere is None:
                return run_recorded(task.request, task.trial, on_epoch=send)
            there = (task.request, task.trial)
            return placement.elsewhere(_run_there, there, kind="training", listener=send)
    except BlockZooError as error:  # a file of the user's that is not on that machine
        records = failed_records(task.request, task.trial, error)
        return Outcome(trial=task.trial, records=records, seconds=0.0)


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
    """Claims and announces trials as their turn comes; counts those that do not start here.

    Yields None where all that is left is in the hands of other drivers, to be asked again later.
    """

    def __init__(
        self,
        listener: SweepListener,
        may_start: Callable[[Trial], bool] | None,
        claims: Claims,
    ) -> None:
        self._listener, self._may_start, self._claims = listener, may_start, claims
        self.left_out = self.elsewhere = 0

    def __call__(self, trials: Iterable[Trial]) -> Iterator[Trial | None]:
        pending, told = deque(trials), False
        while pending:
            others: deque[Trial] = deque()
            for trial in pending:
                mine = self._claimed(trial, others)
                if mine is not None:
                    self._listener.started(mine)
                    yield mine
            pending = others
            if pending and not told:
                self._listener.waiting(tuple(pending))
                told = True
            if pending:
                yield None

    def _claimed(self, trial: Trial, others: deque[Trial]) -> Trial | None:
        """Return what of the trial is to be run here now, None where nothing is."""
        if self._may_start is not None and not self._may_start(trial):
            self.left_out += 1
            return None
        claim = self._claims.take(trial.trial_ids)
        if claim.state == "elsewhere":
            others.append(trial)
        elif claim.state == "done":
            self.elsewhere += 1
            self._listener.done_elsewhere(trial)
        return trial.narrowed(claim.left) if claim.state == "mine" else None


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
