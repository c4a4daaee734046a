"""Any modules, in any mix of backends, timed together in several fresh processes.

Every process loads all cells, warms them up and samples them in rounds; the driver keeps all that
arrives. Processes are alike, so each needs an interval only sqrt(P) times the target.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor, nn

from blockzoo.core.errors import InputError, reason_of
from blockzoo.core.run_way import RunWay
from blockzoo.measure.machine.devices import resolve_device
from blockzoo.measure.timing.backends import get_backend
from blockzoo.measure.timing.driver import ProcessRun, run_here, run_process
from blockzoo.measure.timing.events import Failed, Listener
from blockzoo.measure.timing.latency import LatencyResult, summarize
from blockzoo.measure.timing.preparing import Unprepared, prepare_all
from blockzoo.measure.timing.sampling import LEAST_ROUNDS, Progress
from blockzoo.measure.timing.settings import LatencySettings, SamplingPlan
from blockzoo.measure.timing.worker import ChildCell, ChildTask, Mark, measure_task
from blockzoo.stats.paired_rounds import CellSamples, Spent

_NO_SAMPLE = "no sample was taken"
_SLOW_CLOCK = "the GPU's clock was below 75% of its default"
HANG_S = 120.0
"""Longest time one call may take before its process is stopped."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A module to be timed on `example` (N, ...); `baseline` names the cell of its ratio.

    What does not run in eager fp32 must pass its backend's gate, see `backends/gate.py`, before it
    is timed.
    """

    name: str
    model: nn.Module
    example: Tensor
    options: RunWay = field(default_factory=RunWay)
    baseline: str | None = None


def measure_cells(
    cells: Sequence[Cell],
    settings: LatencySettings | None = None,
    *,
    hang_s: float = HANG_S,
    progress: Progress | None = None,
    listener: Listener | None = None,
) -> dict[str, LatencyResult]:
    """Time all cells in one session and return the result of each by its name.

    Of `settings`, `processes`, `seed` and what is in `SamplingPlan` count; device, precision and
    threads are the cells' own. A cell that cannot be prepared, raises, kills its process or hangs
    has a `failure`; the others are measured. `listener` hears what the processes send. Raises
    `InputError` for two cells of one name and a baseline that is not a cell.

    >>> import torch
    >>> here = LatencySettings(processes=0, budget_s=0.01, warmup_max_s=0.01)
    >>> relu = Cell(name="relu", model=nn.ReLU(), example=torch.ones(1, 3), baseline="relu")
    >>> measure_cells([relu], here)["relu"].verdict
    'baseline'
    """
    settings = settings or LatencySettings()
    names = [cell.name for cell in cells]
    if len(set(names)) != len(names):
        raise InputError("two cells have the same name")
    for cell in cells:
        if cell.baseline is not None and cell.baseline not in names:
            raise InputError(f"baseline {cell.baseline!r} is not measured; cells: {names}")
    with tempfile.TemporaryDirectory() as folder:
        session = _Session(settings, folder, hang_s, progress, listener)
        session.prepare(cells)
        session.run({cell.name: cell.baseline for cell in cells if cell.baseline})
    return session.results(cells)


class _Session:
    def __init__(
        self,
        settings: LatencySettings,
        folder: str,
        hang_s: float,
        progress: Progress | None,
        listener: Listener | None,
    ) -> None:
        self.settings, self.folder, self.hang_s = settings, folder, hang_s
        self.progress, self.listener = progress, listener
        self.ready: dict[str, ChildCell] = {}
        self.failures: dict[str, Failed] = {}
        self.runs: list[ProcessRun] = []
        self.deaths: dict[str | None, int] = {}

    def prepare(self, cells: Sequence[Cell]) -> None:
        able = [unprepared for cell in cells if (unprepared := self._unprepared(cell)) is not None]
        prepared = prepare_all(
            able, self.folder, here=not self.settings.processes, listener=self.listener
        )
        self.failures |= prepared.failures
        self.ready = {
            cell.name: ChildCell(
                name=cell.name,
                payload=prepared.payloads[cell.name],
                example=cell.example.cpu(),
                options=cell.options,
            )
            for cell in able
            if cell.name in prepared.payloads
        }

    def _unprepared(self, cell: Cell) -> Unprepared | None:
        """Return the cell with its device called by name; None where it cannot be run here."""
        try:
            # The example decides how many images a call has, whatever the way said.
            options = replace(
                cell.options,
                device=str(resolve_device(cell.options.device)),
                batch_size=len(cell.example),
            )
            backend = get_backend(options.backend)
            reason = backend.unavailable(options.device) or backend.supports(options)
        except Exception as error:  # noqa: BLE001 - a runtime may be installed and broken
            reason = reason_of(error)
        if reason is not None:
            self._fail(cell.name, reason)
            return None
        return Unprepared(name=cell.name, model=cell.model, example=cell.example, options=options)

    def run(self, baselines: Mapping[str, str]) -> None:
        """Run the processes, and one more for each that died; with none, run in this one."""
        finished = 0
        # Ends: a process that dies costs a cell, or the second of its kind costs all.
        while finished < max(self.settings.processes, 1):
            cells = tuple(c for name, c in self.ready.items() if name not in self.failures)
            if not cells:
                return
            self._report(finished)
            task = ChildTask(
                cells=cells,
                plan=_share(self.settings, finished),
                baselines=dict(baselines),
                mark_path=Mark.new(self.folder),
            )
            if self.settings.processes:
                run = run_process(
                    measure_task,
                    task,
                    hang_s=self.hang_s,
                    keep_freed_memory=self.settings.keep_freed_memory,
                    listener=self.listener,
                )
            else:
                run = run_here(task, listener=self.listener)
            self.runs.append(run)
            self._judge(run, cells)
            finished += run.death is None
        self._report(finished)

    def _judge(self, run: ProcessRun, cells: Sequence[ChildCell]) -> None:
        self.failures.update(run.failed)
        for name, end in run.done.ends.items():
            if end.failure is not None:
                self._fail(name, end.failure, end.traceback)
        if run.death is None:
            return
        self.deaths[run.death_cell] = self.deaths.get(run.death_cell, 0) + 1
        again = self.deaths[run.death_cell] > 1
        if run.death_cell is None:
            if again:
                for cell in cells:
                    self._fail(cell.name, run.death)
        # That a process is killed once while it samples is perhaps not the cell's fault; all else
        # is. One that took its device with it has a reason already.
        elif run.death_cell not in self.failures and (
            again or run.death_stage != "sampling" or run.hung
        ):
            self._fail(run.death_cell, run.death)

    def _fail(self, name: str, reason: str, trace: str | None = None) -> None:
        self.failures[name] = Failed(name=name, reason=reason, traceback=trace)

    def results(self, cells: Sequence[Cell]) -> dict[str, LatencyResult]:
        spent = Spent(
            total_ns=sum(run.done.spent.total_ns for run in self.runs),
            forward_ns=sum(run.done.spent.forward_ns for run in self.runs),
        )
        samples = {cell.name: self._samples(cell.name) for cell in cells}
        return {
            cell.name: replace(
                self._result(cell, samples), overhead_fraction=spent.overhead_fraction
            )
            for cell in cells
        }

    def _result(self, cell: Cell, samples: Mapping[str, list[CellSamples]]) -> LatencyResult:
        base = cell.baseline
        own = samples[cell.name]
        kept = _worth_keeping(own)
        failure = self.failures.get(cell.name)
        if failure is None and not kept:
            refused = sum(each.refused for each in own)
            reason = _NO_SAMPLE + (f": {_SLOW_CLOCK} in all {refused}" if refused else "")
            failure = Failed(name=cell.name, reason=reason)
        if failure is not None:
            failed = CellSamples(failure=failure.reason, traceback=failure.traceback)
            return summarize([*(own[index] for index in kept), failed])
        of_baseline = None
        if base is not None:
            gone = None
            if base in self.failures:
                gone = CellSamples(failure=self.failures[base].reason)
            of_baseline = [gone or samples[base][index] for index in kept]
        result = summarize(
            [own[index] for index in kept],
            of_baseline,
            is_baseline=base == cell.name,
            batch_size=len(cell.example),
            seed=self.settings.seed,
        )
        return replace(result, flags=(*result.flags, *self._flags(cell.name)))

    def _flags(self, name: str) -> Iterator[str]:
        """Yield what the processes, not the samples, say of a cell."""
        device = self.ready[name].options.device
        # A GPU waits for the CPU that launches its work.
        if any({"cpu", device} & set(run.done.throttled) for run in self.runs):
            yield "throttled"
        if name in self.deaths:
            yield "process lost"

    def _samples(self, name: str) -> list[CellSamples]:
        return [_samples_of(run, name) for run in self.runs]

    def _report(self, finished: int) -> None:
        if self.progress is not None:
            processes = max(self.settings.processes, 1)
            text = "done" if finished == processes else f"process {finished + 1} of {processes}"
            self.progress(finished / processes, text)
        if self.listener is not None:
            for failed in self.failures.values():
                self.listener(failed)


def _samples_of(run: ProcessRun, name: str) -> CellSamples:
    pairs = run.samples.get(name, [])
    # A process that died left samples as good as any; convergence is for the others to say.
    end = run.done.ends.get(name, CellSamples(converged=True))
    return replace(
        end,
        samples_ns=tuple(ns for _, ns in pairs),
        rounds=tuple(index for index, _ in pairs),
    )


def _worth_keeping(processes: Sequence[CellSamples]) -> list[int]:
    """Return which processes count: all with enough rounds, or where none has, all with any.

    A process that died early leaves a few samples, whose median would weigh like any other's.
    """
    enough = [i for i, each in enumerate(processes) if len(each.samples_ns) >= LEAST_ROUNDS]
    return enough or [i for i, each in enumerate(processes) if each.samples_ns]


def _share(settings: LatencySettings, index: int) -> SamplingPlan:
    """Return what one of the processes has to do of the whole plan."""
    count = max(settings.processes, 1)
    return replace(
        settings,
        rounds_max=max(math.ceil(settings.rounds_max / count), settings.min_rounds),
        budget_s=settings.budget_s / count,
        target_relative_interval=settings.target_relative_interval * math.sqrt(count),
        seed=settings.seed + index,
    )
