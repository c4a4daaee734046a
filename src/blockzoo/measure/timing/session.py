"""Any modules, in any mix of backends, timed together in several fresh processes.

Every process loads all networks, warms them up and samples them in rounds; the driver keeps all
that arrives. Processes are alike, so the interval that each aims at follows from that over all.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from blockzoo.core.errors import InputError, reason_of
from blockzoo.measure.machine.devices import resolve_device
from blockzoo.measure.timing.backends import get_backend
from blockzoo.measure.timing.driver import ProcessRun, run_here, run_process
from blockzoo.measure.timing.events import Failed, Listener
from blockzoo.measure.timing.further import Further, measured_further
from blockzoo.measure.timing.latency import LatencyResult, summarize
from blockzoo.measure.timing.preparing import Network, prepare_all
from blockzoo.measure.timing.sampling import LEAST_ROUNDS, Progress
from blockzoo.measure.timing.settings import LatencySettings, SamplingPlan
from blockzoo.measure.timing.worker import ChildTask, Mark, PackedNetwork, measure_task
from blockzoo.stats.medians import within_one_process
from blockzoo.stats.paired_rounds import NetworkSamples, Spent
from blockzoo.stats.verdicts import LEAST_PROCESSES

_NO_SAMPLE = "no sample was taken"
_SLOW_CLOCK = "the GPU's clock was below 75% of its default"
HANG_S = 120.0
"""Longest time one call may take before its process is stopped."""


def measure_networks(
    networks: Sequence[Network],
    settings: LatencySettings | None = None,
    *,
    hang_s: float = HANG_S,
    progress: Progress | None = None,
    listener: Listener | None = None,
    further: Further | None = None,
) -> dict[str, LatencyResult]:
    """Time all networks in one session and return the result of each by its name.

    Of `settings`, `processes`, `seed` and what is in `SamplingPlan` count; device, precision and
    threads are the networks' own. A network that cannot be prepared, raises, kills its process or
    hangs has a `failure`; the others are measured. `listener` hears what the processes send;
    `further` is measured of each network after the timing. Raises
    `InputError` for two networks of one name and a baseline that is not a network.

    >>> import torch
    >>> here = LatencySettings(processes=0, budget_s=0.01, warmup_max_s=0.01)
    >>> model, example = torch.nn.ReLU(), torch.ones(1, 3)
    >>> relu = Network(name="relu", model=model, example=example, baseline="relu")
    >>> measure_networks([relu], here)["relu"].verdict
    'baseline'
    """
    settings = settings or LatencySettings()
    names = [network.name for network in networks]
    if len(set(names)) != len(names):
        raise InputError("two networks have the same name")
    for network in networks:
        if network.baseline is not None and network.baseline not in names:
            raise InputError(f"baseline {network.baseline!r} is not measured; networks: {names}")
    with tempfile.TemporaryDirectory() as folder:
        session = _Session(settings, folder, hang_s, progress, listener)
        session.prepare(networks)
        session.run({network.name: network.baseline for network in networks if network.baseline})
    results = session.results(networks)
    return results if further is None else session.with_further(results, further)


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
        self.ready: dict[str, PackedNetwork] = {}
        self.failures: dict[str, Failed] = {}
        self.runs: list[ProcessRun] = []
        self.deaths: dict[str | None, int] = {}

    def prepare(self, networks: Sequence[Network]) -> None:
        able = [
            unprepared
            for network in networks
            if (unprepared := self._named_device(network)) is not None
        ]
        prepared = prepare_all(
            able, self.folder, here=not self.settings.processes, listener=self.listener
        )
        self.failures |= prepared.failures
        self.ready = {
            network.name: PackedNetwork(
                name=network.name,
                payload=prepared.payloads[network.name],
                example=network.example.cpu(),
                way=network.way,
                foreign=network.foreign,
            )
            for network in able
            if network.name in prepared.payloads
        }

    def _named_device(self, network: Network) -> Network | None:
        """Return the network with its device called by name; None where it cannot be run here."""
        try:
            # The example decides how many images a call has, whatever the way said.
            way = replace(
                network.way,
                device=str(resolve_device(network.way.device)),
                batch_size=len(network.example),
            )
            backend = get_backend(way.backend)
            reason = backend.unavailable(way.device) or backend.supports(way)
        except Exception as error:  # noqa: BLE001 - a runtime may be installed and broken
            reason = reason_of(error)
        if reason is not None:
            self._fail(network.name, reason)
            return None
        return replace(network, way=way)

    def run(self, baselines: Mapping[str, str]) -> None:
        """Run the processes, and one more for each that died; with none, run in this one."""
        finished = 0
        # Ends: a process that dies costs a network, or the second of its kind costs all.
        while finished < max(self.settings.processes, 1):
            networks = tuple(c for name, c in self.ready.items() if name not in self.failures)
            if not networks:
                return
            self._report(finished)
            task = ChildTask(
                networks=networks,
                plan=share_of(self.settings, finished),
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
            self._judge(run, networks)
            finished += run.death is None
        self._report(finished)

    def _judge(self, run: ProcessRun, networks: Sequence[PackedNetwork]) -> None:
        self.failures.update(run.failed)
        for name, end in run.done.ends.items():
            if end.failure is not None:
                self._fail(name, end.failure, end.traceback)
        if run.death is None:
            return
        self.deaths[run.death_network] = self.deaths.get(run.death_network, 0) + 1
        again = self.deaths[run.death_network] > 1
        if run.death_network is None:
            if again:
                for network in networks:
                    self._fail(network.name, run.death)
        # That a process is killed once while it samples is perhaps not the network's fault; all
        # else is. One that took its device with it has a reason already.
        elif run.death_network not in self.failures and (
            again or run.death_stage != "sampling" or run.hung
        ):
            self._fail(run.death_network, run.death)

    def _fail(self, name: str, reason: str, trace: str | None = None) -> None:
        self.failures[name] = Failed(name=name, reason=reason, traceback=trace)

    def results(self, networks: Sequence[Network]) -> dict[str, LatencyResult]:
        spent = Spent(
            total_ns=sum(run.done.spent.total_ns for run in self.runs),
            forward_ns=sum(run.done.spent.forward_ns for run in self.runs),
        )
        samples = {network.name: self._samples(network.name) for network in networks}
        return {
            network.name: replace(
                self._result(network, samples), overhead_fraction=spent.overhead_fraction
            )
            for network in networks
        }

    def _result(
        self, network: Network, samples: Mapping[str, list[NetworkSamples]]
    ) -> LatencyResult:
        base = network.baseline
        own = samples[network.name]
        kept = _worth_keeping(own)
        failure = self.failures.get(network.name)
        if failure is None and not kept:
            refused = sum(each.refused for each in own)
            reason = _NO_SAMPLE + (f": {_SLOW_CLOCK} in all {refused}" if refused else "")
            failure = Failed(name=network.name, reason=reason)
        if failure is not None:
            failed = NetworkSamples(failure=failure.reason, traceback=failure.traceback)
            return summarize([*(own[index] for index in kept), failed])
        of_baseline = None
        if base is not None:
            gone = None
            if base in self.failures:
                gone = NetworkSamples(failure=self.failures[base].reason)
            of_baseline = [gone or samples[base][index] for index in kept]
        result = summarize(
            [own[index] for index in kept],
            of_baseline,
            is_baseline=base == network.name,
            batch_size=len(network.example),
        )
        packed = self.ready[network.name]
        return replace(
            result,
            flags=(*result.flags, *self._flags(network.name)),
            exported_bytes=get_backend(packed.way.backend).exported_bytes(packed.payload),
        )

    def with_further(
        self, results: Mapping[str, LatencyResult], further: Further
    ) -> dict[str, LatencyResult]:
        """Return the results, those of networks that were timed with what else is asked for."""
        here = not self.settings.processes
        return {
            name: result
            if result.failure is not None
            else measured_further(
                result, self.ready[name], further, here=here, listener=self.listener
            )
            for name, result in results.items()
        }

    def _flags(self, name: str) -> Iterator[str]:
        """Yield what the processes, not the samples, say of a network."""
        device = self.ready[name].way.device
        # A GPU waits for the CPU that launches its work.
        if any({"cpu", device} & set(run.done.throttled) for run in self.runs):
            yield "throttled"
        if name in self.deaths:
            yield "process lost"

    def _samples(self, name: str) -> list[NetworkSamples]:
        return [_samples_of(run, name) for run in self.runs]

    def _report(self, finished: int) -> None:
        if self.progress is not None:
            processes = max(self.settings.processes, 1)
            text = "done" if finished == processes else f"process {finished + 1} of {processes}"
            self.progress(finished / processes, text)
        if self.listener is not None:
            for failed in self.failures.values():
                self.listener(failed)


def _samples_of(run: ProcessRun, name: str) -> NetworkSamples:
    pairs = run.samples.get(name, [])
    # A process that died left samples as good as any; convergence is for the others to say.
    end = run.done.ends.get(name, NetworkSamples(converged=True))
    return replace(
        end,
        samples_ns=tuple(ns for _, ns in pairs),
        rounds=tuple(index for index, _ in pairs),
    )


def _worth_keeping(processes: Sequence[NetworkSamples]) -> list[int]:
    """Return which processes count: all with enough rounds, or where none has, all with any.

    A process that died early leaves a few samples, whose median would weigh like any other's.
    """
    enough = [i for i, each in enumerate(processes) if len(each.samples_ns) >= LEAST_ROUNDS]
    return enough or [i for i, each in enumerate(processes) if each.samples_ns]


def share_of(settings: LatencySettings, index: int) -> SamplingPlan:
    """Return what one of the processes has to do of the whole plan."""
    count = max(settings.processes, 1)
    wider = within_one_process(count)
    # So few processes get no verdict, however long they go on.
    in_vain = settings.stop_on == "verdict" and count < LEAST_PROCESSES
    return replace(
        settings,
        rounds_max=max(math.ceil(settings.rounds_max / count), settings.min_rounds),
        budget_s=settings.budget_s / count,
        target_relative_interval=settings.target_relative_interval * wider,
        target_same_interval=settings.target_same_interval * wider,
        stop_on="median" if in_vain else settings.stop_on,
        seed=settings.seed + index,
    )
