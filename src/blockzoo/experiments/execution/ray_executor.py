"""The one door to Ray: trainings on the nodes of a cluster, or of one that is started here.

Only Ray Core: a pool of actors, each with torch imported once. Actors and their tasks are never
tried again by Ray, for a trial leaves the same whenever it runs and the driver knows which are
missing: it tries one again whose worker or node died. Data sets go by path, which each node opens
itself. Ray's fractions of GPUs are bookkeeping, so each actor is told its device.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import shutil
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from types import ModuleType, TracebackType
from typing import Any

import torch

from blockzoo.core.commit import PACKAGE, commit_of
from blockzoo.core.errors import InputError, in_one_line
from blockzoo.core.processes import Answer, Ended, Raised, Send
from blockzoo.core.version import VERSION
from blockzoo.experiments.execution.base import RETRIES, Executor, Listen, Outcome, Task, retried
from blockzoo.experiments.execution.ray_worker import RayPlace, RayWorker
from blockzoo.experiments.execution.user_blocks import TrialLimits
from blockzoo.measure.machine.containers import cpu_quota_cores
from blockzoo.measure.machine.devices import resolve_device, usable_cores

LOCAL = "local"
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Else a warning comes with each actor that has no GPU.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # Else a thread that still asks after the end connects anew, and its failure ends the process.
    "RAY_ENABLE_AUTO_CONNECT": "0",
}
_LOOK_S = 0.5
_TOLD_S = 30.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What nodes must have in common, so that what they train is comparable."""

    python: str
    torch: str
    blockzoo: str
    device: str


def facts_here(device: str) -> Facts:
    """Return the facts of this process.

    >>> facts_here("cpu").device
    'cpu'
    """
    where = resolve_device(device)
    name = torch.cuda.get_device_name(where) if where.type == "cuda" else where.type
    return Facts(
        python=platform.python_version(),
        torch=str(torch.__version__),
        blockzoo=f"{VERSION} {commit_of(PACKAGE) or ''}".strip(),
        device=name,
    )


def difference(address: str, there: Facts, here: Facts) -> str:
    """Return in a line what a node has otherwise than the driver; "" where nothing.

    >>> one = Facts(python="3.11.7", torch="2.14.1", blockzoo="0.2", device="cpu")
    >>> other = Facts(python="3.11.9", torch="2.14.1", blockzoo="0.2", device="cpu")
    >>> difference("10.0.0.2", other, one)
    'node 10.0.0.2 has python 3.11.9, the driver 3.11.7; install the same on all nodes'
    """
    found = [
        f"{field.name} {getattr(there, field.name)}, the driver {getattr(here, field.name)}"
        for field in fields(Facts)
        if getattr(there, field.name) != getattr(here, field.name)
    ]
    return f"node {address} has {'; '.join(found)}; install the same on all nodes" if found else ""


class RayExecutor(Executor):
    """Runs jobs in actors of a Ray cluster; a context manager.

    A job whose worker or node dies is tried again in another one, twice, and then fails alone. On
    CUDA each job has a process of its own. What jobs send arrives while they run.

    Args:
        address: "auto", HOST:PORT, or "local" for a cluster of this machine that ends with this.
        workers: How many jobs at once; by default as many as have room.
        device: On which kind of device jobs run.
        limits: What one job may take.

    Raises:
        InputError: Where Ray is not installed, the cluster is not there, or its nodes differ.
    """

    is_here = False

    def __init__(
        self,
        *,
        address: str | None = None,
        workers: int | None = None,
        device: str = "cpu",
        limits: TrialLimits | None = None,
        retries: int = RETRIES,
    ) -> None:
        if ":" in device:
            raise InputError(f"device is {device}; with Ray it is cpu or cuda, without a number")
        self._ray = _imported()
        self._address, self._workers = address or LOCAL, workers
        self._device = resolve_device(device).type
        self.limits, self._retries = limits or TrialLimits(), retries
        self._idle: SimpleQueue[Any] = SimpleQueue()
        self._listeners: dict[int, Listen] = {}
        self._jobs, self._lock = 0, threading.Lock()
        self._over = threading.Event()

    def __enter__(self) -> RayExecutor:
        self._cleanup = contextlib.ExitStack()
        with contextlib.ExitStack() as undone:
            undone.enter_context(_connected(self._ray, self._address, self._device))
            self._require_alike()
            self.capacity, self._threads, self._gpus = self._shares()
            self._mailbox = self._started_mailbox()
            self._cleanup = undone.pop_all()
        self._pool = ThreadPoolExecutor(self.capacity)
        self._reader = threading.Thread(target=self._read_mail, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._reader.join()
        # Its threads wait for answers, which never come once the cluster is left.
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._cleanup.close()

    def stream(
        self, function: Callable[[Task, Send], Outcome], task: Task, listen: Listen
    ) -> Future[Outcome]:
        """Start `function(task, send)` in an actor that has nothing to do; see `Executor`."""
        return self._pool.submit(self._run, function, task, listen)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep all workers of the cluster from this node, as while latencies are taken.

        Waits for those that are here.
        """
        (here,) = (each for each in self._ray.nodes() if each["NodeID"] == self._own_node)
        # All that it has: whatever else is to run here asks for some of it.
        held = {"num_cpus": here["Resources"].get("CPU", 0)}
        held["num_gpus"] = here["Resources"].get("GPU", 0)
        holder = self._ray.remote(_Holder).options(**self._on(self._own_node), **held).remote()
        try:
            self._wait_for(holder, "this node, on which other trials run")
            yield
        finally:
            self._ray.kill(holder)

    def _run(
        self, function: Callable[[Task, Send], Outcome], task: Task, listen: Listen
    ) -> Outcome:
        job = self._heard(listen)
        try:
            attempt = partial(self._run_once, job, function, task)
            return retried(attempt, retries=self._retries, what="the worker")
        finally:
            self._tell()
            with self._lock:
                del self._listeners[job]

    def _run_once(
        self, job: int, function: Callable[[Task, Send], Outcome], task: Task
    ) -> Answer[Outcome] | Raised | Ended:
        time_s = self.limits.of("training").time_s
        actor = None
        try:
            actor = self._taken()
            result = actor.run.remote(function, task, self._mailbox, job)
            outcome: Answer[Outcome] | Raised = self._ray.get(result, timeout=time_s)
        except self._ray.exceptions.GetTimeoutError:
            self._kill(actor)
            reason = f"was still running after {time_s:g} s, the time limit; stopped"
            return Ended(cause="time", reason=reason)
        except (self._ray.exceptions.RayError, self._ray.exceptions.RaySystemError) as error:
            self._kill(actor)
            return Ended(cause="died", reason=f"died ({_first_line(error)})")
        # One kernel that asserts takes CUDA from its process for good.
        if self._device == "cuda":
            self._kill(actor)
        else:
            self._idle.put(actor)
        return outcome

    def _taken(self) -> Any:
        """Return an actor with nothing to do: one that is there, or else a new one."""
        with contextlib.suppress(Empty):
            return self._idle.get_nowait()
        actor = self._actor()
        ready, waited_s = actor.ready.remote(), 0.0
        # Where a node was lost there may be no room for it any more.
        while not self._ray.wait([ready], timeout=_LOOK_S)[0] and not self._over.is_set():
            waited_s += _LOOK_S
            if waited_s == _TOLD_S:
                _log.warning("a trial waits for room in the Ray cluster")
            with contextlib.suppress(Empty):
                other = self._idle.get_nowait()
                self._kill(actor)
                return other
        self._ray.get(ready)
        return actor

    def _actor(self) -> Any:
        options: dict[str, Any] = {
            "num_cpus": self._threads,
            "num_gpus": self._gpus,
            "max_restarts": 0,
            "max_task_retries": 0,
            "scheduling_strategy": "SPREAD",
        }
        worker = self._ray.remote(RayWorker).options(**options)
        here = RayPlace(
            threads=self._threads, device=self._device, folder=str(Path.cwd()), path=(*sys.path,)
        )
        return worker.remote(here, self._ray.get)

    def _kill(self, actor: Any) -> None:
        if actor is not None:
            with contextlib.suppress(Exception):
                self._ray.kill(actor)

    def _wait_for(self, actor: Any, what: str) -> None:
        ready, waited_s = actor.ready.remote(), 0.0
        while not self._ray.wait([ready], timeout=_LOOK_S)[0]:
            waited_s += _LOOK_S
            if waited_s == _TOLD_S:
                _log.warning("%s", f"waiting for {what}")

    def _shares(self) -> tuple[int, int, float]:
        """Return how many workers there are, the threads of each and its share of a GPU."""
        resources = self._ray.cluster_resources()
        cores, gpus = int(resources.get("CPU", 1)), int(resources.get("GPU", 0))
        if self._device == "cuda":
            if not gpus:
                raise InputError("the Ray cluster has no GPU; give --device cpu")
            count = self._workers or gpus
            share = min(1.0, gpus / count)
            return count, max(1, min(torch.get_num_threads(), cores // count)), round(share, 3)
        # As many threads as the driver would take, or all cores shared out to the workers.
        count = self._workers or max(1, cores // torch.get_num_threads())
        return count, max(1, min(torch.get_num_threads(), cores // count)), 0.0

    def _require_alike(self) -> None:
        """Raise `InputError` for a node that has another Python, torch, BlockZoo or device."""
        here, asked = facts_here(self._device), {}
        share = {"num_cpus": 0, "num_gpus": 0.001 if self._device == "cuda" else 0}
        for node in self._ray.nodes():
            if node["Alive"] and node["NodeID"] != self._own_node:
                there = self._on(node["NodeID"])
                ask = self._ray.remote(facts_here).options(max_retries=0, **there, **share)
                asked[node["NodeManagerAddress"]] = ask.remote(self._device)
        for address, answer in asked.items():
            try:
                found = self._ray.get(answer)
            except self._ray.exceptions.RayError as error:
                raise InputError(f"node {address} cannot be asked: {_first_line(error)}") from None
            if line := difference(address, found, here):
                raise InputError(line)

    def _started_mailbox(self) -> Any:
        # Beside the driver, so that the loss of another node loses no epochs of others.
        return self._ray.remote(_Mailbox).options(num_cpus=0, **self._on(self._own_node)).remote()

    @property
    def _own_node(self) -> Any:
        return self._ray.get_runtime_context().get_node_id()

    def _on(self, node: Any) -> dict[str, Any]:
        """Return the option by which an actor or a task runs on that node and no other."""
        strategies = self._ray.util.scheduling_strategies
        return {"scheduling_strategy": strategies.NodeAffinitySchedulingStrategy(node, soft=False)}

    def _heard(self, listen: Listen) -> int:
        with self._lock:
            self._jobs += 1
            self._listeners[self._jobs] = listen
            return self._jobs

    def _read_mail(self) -> None:
        while not self._over.wait(_LOOK_S):
            self._tell()

    def _tell(self) -> None:
        """Tell the listeners what has come from their jobs."""
        with self._lock, contextlib.suppress(self._ray.exceptions.RayError):
            for job, message in self._ray.get(self._mailbox.taken.remote()):
                self._listeners.get(job, _nobody)(message)


class _Mailbox:
    """An actor that keeps what jobs send until the driver takes it."""

    def __init__(self) -> None:
        self._kept: list[tuple[int, object]] = []

    def put(self, job: int, message: object) -> None:
        self._kept.append((job, message))

    def taken(self) -> list[tuple[int, object]]:
        kept, self._kept = self._kept, []
        return kept


class _Holder:
    """An actor that only holds its resources."""

    def ready(self) -> bool:
        return True


def _nobody(_: object) -> None:
    """Hear what a job still sends that has ended."""


def _imported() -> ModuleType:
    os.environ.update({name: os.environ.get(name, value) for name, value in _QUIET.items()})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import ray
            import ray.util.scheduling_strategies
    except ImportError as error:
        raise InputError(
            f"executor ray needs a package that is not installed ({error}): "
            "pip install 'blockzoo[ray]'"
        ) from None
    module: ModuleType = ray
    return module


@contextlib.contextmanager
def _connected(ray: ModuleType, address: str, device: str) -> Iterator[None]:
    """Connect to the cluster, or start one here; leave it at the end."""
    logging.getLogger("ray").setLevel(logging.ERROR)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    with contextlib.ExitStack() as ended:
        if address == LOCAL:
            # Short, for sockets lie there, whose paths may have about a hundred characters.
            folder = tempfile.mkdtemp(prefix="bz", dir="/tmp" if Path("/tmp").is_dir() else None)
            ended.callback(shutil.rmtree, folder, ignore_errors=True)
            cores = usable_cores(cpu_quota_cores())
            options |= {"include_dashboard": False, "_temp_dir": folder, "num_cpus": cores}
            options["num_gpus"] = torch.cuda.device_count() if device == "cuda" else 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                ray.init(address=address, **options)
            except (ConnectionError, RuntimeError, ValueError, OSError) as error:
                raise InputError(
                    f"no Ray cluster can be used at {address}: {_first_line(error)}"
                ) from None
        ended.callback(ray.shutdown)
        yield


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return in_one_line(lines[0]) if lines else type(error).__name__
