"""What a measuring process does: loads what was prepared, samples it and sends what it sees.

The network at work is also noted in a small shared file, before every sample, so that the driver
knows which one it was when this process is gone. The process ends when a network takes a device
with it, for another process can still measure the others there.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from blockzoo.core.errors import one_line
from blockzoo.core.processes import Send
from blockzoo.core.run_way import RunWay
from blockzoo.measure.machine.devices import Devices
from blockzoo.measure.machine.throttling import ThrottleWatch
from blockzoo.measure.timing.backends import get_backend
from blockzoo.measure.timing.backends.base import Loaded, set_up_torch
from blockzoo.measure.timing.backends.gate import other_inputs, require_unchanged
from blockzoo.measure.timing.clocks import Call, Timer, Timers
from blockzoo.measure.timing.events import Done, Failed, Sample, Samples, Stage, State
from blockzoo.measure.timing.guard import ProcessChangedError, ProcessGuard
from blockzoo.measure.timing.sampling import SamplingListener, sample_networks
from blockzoo.measure.timing.settings import SamplingPlan
from blockzoo.stats.paired_rounds import Spent

_STAGES: tuple[Stage, ...] = ("starting", "loading", "warm-up", "sampling", "preparing", "checking")
_FLUSH_S = 0.25
_GPU_WARMUP_S = 1.0


@dataclass(frozen=True, kw_only=True)
class PackedNetwork:
    """One network as it travels: payload (what is prepared, or yet the model), example, options.

    `foreign`: its code is not the library's own; see `guard.py`.
    """

    name: str
    payload: bytes
    example: Tensor
    way: RunWay
    foreign: bool = False


@dataclass(frozen=True, kw_only=True)
class ChildTask:
    """What one process has to do: time the networks by the plan, or prepare them."""

    networks: tuple[PackedNetwork, ...]
    mark_path: str
    plan: SamplingPlan = field(default_factory=SamplingPlan)
    baselines: dict[str, str] = field(default_factory=dict)


class Mark:
    """Where the driver finds which network is at work, and at what, when this process is gone.

    A message would be slow to send before every sample; this is a store to memory.

    >>> path = Mark.new(tempfile.mkdtemp())
    >>> Mark(path).set(3, "loading")
    >>> Mark.read(path)
    (3, 'loading')
    """

    _CONTENT = struct.Struct("=ii")

    def __init__(self, path: str) -> None:
        with Path(path).open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), self._CONTENT.size)

    @classmethod
    def new(cls, folder: str) -> str:
        """Return the path of a new one in `folder`, without a network."""
        handle, path = tempfile.mkstemp(dir=folder)
        os.write(handle, cls._CONTENT.pack(-1, 0))
        os.close(handle)
        return path

    @classmethod
    def read(cls, path: str) -> tuple[int, Stage]:
        """Return the index of the network at work, -1 for none, and what is done with it."""
        index, stage = cls._CONTENT.unpack(Path(path).read_bytes())
        return index, _STAGES[stage]

    def set(self, index: int, stage: Stage) -> None:
        """Note the network of that index."""
        self._memory[: self._CONTENT.size] = self._CONTENT.pack(index, _STAGES.index(stage))


def measure_task(task: ChildTask, send: Send) -> Done:
    """Load, warm up and sample all networks of a task.

    Raises `DeviceLostError` and `ProcessChangedError`.
    """
    return _Sampler(task, send).run()


def plan_for(task: ChildTask) -> SamplingPlan:
    """Return the task's plan; a GPU's clock needs a while to rise, so it is warmed up longer."""
    plan = task.plan
    if not any(network.way.on_cuda for network in task.networks):
        return plan
    least_s = max(plan.warmup_min_s, _GPU_WARMUP_S)
    return replace(plan, warmup_min_s=least_s, warmup_max_s=max(plan.warmup_max_s, least_s))


class _Sampler(SamplingListener):
    """Measures a task's networks and sends what it sees, in whatever process it is run."""

    def __init__(self, task: ChildTask, send: Send) -> None:
        self._task, self._send = task, send
        self._index = {network.name: index for index, network in enumerate(task.networks)}
        self._options = {network.name: network.way for network in task.networks}
        self._foreign = {network.name for network in task.networks if network.foreign}
        self._guard = ProcessGuard()
        self._mark = Mark(task.mark_path)
        self._batch: list[Sample] = []
        self._flushed_s = time.monotonic()
        self._stage: Stage = "starting"
        self._threads = 0
        self._devices = Devices(network.way.device for network in task.networks)
        self._watch = ThrottleWatch(network.way.device for network in task.networks)

    def run(self) -> Done:
        spent = Spent()
        with torch.inference_mode():
            loaded, timers = self._load()
            expected = self._outputs(loaded)
            baselines = {
                name: base
                for name, base in self._task.baselines.items()
                if name in loaded and base in loaded
            }
            # One whose baseline could not be loaded is timed all the same.
            calls: dict[str, Call] = {name: each.call for name, each in loaded.items()}
            sampled = sample_networks(
                calls,
                plan_for(self._task),
                baselines=baselines,
                timers=timers,
                listener=self,
                spent=spent,
            )
            throttled = self._watch.throttled()  # before what comes, which does not count
            self._look_again(
                {
                    name: output
                    for name, output in expected.items()
                    if name in sampled and sampled[name].failure is None
                },
                loaded,
            )
            self._look_at_process()
        self._flush()
        done = Done(
            # Without the samples, which were sent as they came.
            ends={name: replace(end, samples_ns=(), rounds=()) for name, end in sampled.items()},
            spent=spent,
            throttled=throttled,
        )
        for each in loaded.values():
            each.close()  # runtimes have threads of their own, which an exit may wait for
        return done

    def _load(self) -> tuple[dict[str, Loaded], dict[str, Timer]]:
        loaded: dict[str, Loaded] = {}
        timers: dict[str, Timer] = {}
        timer_for = Timers()
        for packed in self._task.networks:
            way = packed.way
            set_up_torch(way)  # what loading it changes of the process is then its own doing
            self._guard.forget()
            self.enter(packed.name, "loading")
            try:
                network = get_backend(way.backend).load(packed.payload, packed.example, way)
            except Exception as error:  # noqa: BLE001 - a network is foreign code
                self.failed(packed.name, one_line(error), traceback.format_exc())
                continue
            self._look_at_process()
            loaded[packed.name] = network
            timers[packed.name] = timer_for(torch.device(way.device), way.cache)
        return loaded, timers

    def _outputs(self, loaded: dict[str, Loaded]) -> dict[str, Tensor]:
        """Return what each network makes of inputs that are not timed; one that raises fails."""
        outputs: dict[str, Tensor] = {}
        for packed in self._task.networks:
            if packed.name in loaded:
                with self._failing(packed.name):
                    output = loaded[packed.name].output
                    outputs[packed.name] = output(other_inputs(packed.example))
        for name in set(loaded) - set(outputs):
            loaded.pop(name).close()
        return outputs

    def _look_again(self, expected: Mapping[str, Tensor], loaded: Mapping[str, Loaded]) -> None:
        """Fail networks that, after the clock and by the call that was timed, answer otherwise."""
        for packed in self._task.networks:
            if packed.name in expected:
                with self._failing(packed.name):
                    found = loaded[packed.name].bound(other_inputs(packed.example))
                    require_unchanged(expected[packed.name], found, packed.way)

    @contextmanager
    def _failing(self, name: str) -> Iterator[None]:
        """Within it, outside of the clock, an error fails that network."""
        self.enter(name, "checking")
        try:
            yield
        except Exception as error:  # noqa: BLE001 - a network is foreign code
            self.failed(name, one_line(error), traceback.format_exc())

    def enter(self, name: str, stage: Stage) -> None:
        self._look_at_process()
        self._mark.set(self._index[name], stage)
        threads = self._options[name].threads
        if threads != self._threads:
            # Not before every sample: torch would start its threads anew.
            torch.set_num_threads(threads)
            self._threads = threads
            self._guard.forget()
        self._guard.watch(name if name in self._foreign else None)
        if stage != "sampling" or self._stage != stage:
            self._watch.start()  # loading and warming up do not count
            self._stage = stage
            self._send(State(name=name, stage=stage))

    def _look_at_process(self) -> None:
        """Look after the network that was at work; one that changed the process ends the run."""
        try:
            self._guard.look()
        except ProcessChangedError as error:
            self._send(Failed(name=error.network, reason=str(error), traceback=""))
            raise

    def accepts(self, name: str) -> bool:
        return self._watch.at_speed(self._options[name].device)

    def failed(self, name: str, failure: str, trace: str) -> None:
        # Before the next one is blamed for what it found changed as it was entered.
        self._look_at_process()
        self._flush()
        self._send(Failed(name=name, reason=failure, traceback=trace))
        self._devices.check(self._options[name].device, name)

    def sampled(self, name: str, index: int, nanoseconds: float) -> None:
        self._batch.append(Sample(name, index, nanoseconds))
        if time.monotonic() - self._flushed_s > _FLUSH_S:
            self._flush()

    def round_ended(self) -> None:
        self._watch.look()

    def _flush(self) -> None:
        if self._batch:
            self._send(Samples(samples=tuple(self._batch)))
        self._batch, self._flushed_s = [], time.monotonic()
