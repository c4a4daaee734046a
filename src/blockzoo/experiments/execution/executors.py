"""Which executor trainings get: in this process, a pool of processes, or a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch

from blockzoo.core.errors import InputError, UnknownNameError
from blockzoo.core.ranges import AT_ONCE
from blockzoo.experiments.execution.base import Executor
from blockzoo.experiments.execution.in_process import InProcessExecutor
from blockzoo.experiments.execution.pool import PoolExecutor
from blockzoo.experiments.execution.ray_executor import RayExecutor
from blockzoo.experiments.execution.user_blocks import TrialLimits
from blockzoo.measure.machine.devices import resolve_device

Name = Literal["in-process", "pool", "ray"]
NAMES: tuple[Name, ...] = get_args(Name)


@dataclass(frozen=True, kw_only=True)
class ExecutorChoice:
    """Where trainings are to run.

    Args:
        name: "in-process", "pool" or "ray"; None is a pool, or this process where one training at a
            time runs on the CPU.
        workers: How many at once; None is one, or in a cluster as many as it has room for.
        address: Of a Ray cluster: "auto", HOST:PORT, or "local" for one that is started here.
        limits: What one training may take.

    Raises:
        UnknownNameError: For another name.
        InputError: For what contradicts itself.

    Example:
        >>> ExecutorChoice(workers=3).at_once
        3
    """

    name: str | None = None
    workers: int | None = None
    address: str | None = None
    limits: TrialLimits = field(default_factory=TrialLimits)

    def __post_init__(self) -> None:
        if self.name is not None and self.name not in NAMES:
            raise UnknownNameError("executor", self.name, NAMES)
        if self.workers is not None:
            AT_ONCE.checked("workers", self.workers)
        if self.address is not None and self.name != "ray":
            raise InputError("--address is of a Ray cluster; give --executor ray with it")
        if self.name == "in-process" and self.at_once > 1:
            raise InputError(
                f"in-process runs one training at a time, not {self.workers}; use pool or ray"
            )

    @property
    def at_once(self) -> int:
        """How many trainings run at once as far as is known before they do."""
        return self.workers or 1


@contextmanager
def executor_for(choice: ExecutorChoice, device: str) -> Iterator[Executor]:
    """Provide the executor of that choice for trainings on that device.

    Workers of one machine share torch's threads out, and its GPUs where the device is "cuda". One
    training at a time on a CPU runs in this process unless a pool is asked for: a process of its
    own costs seconds and a copy of the data. On CUDA it does not, for one kernel that asserts would
    take the device from all that come after.

    Args:
        choice: Which executor.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        InputError: Where Ray is not installed, or the cluster is not there or is mixed.

    Example:
        >>> with executor_for(ExecutorChoice(), "cpu") as executor:
        ...     executor.submit(abs, -3).result()
        3
    """
    is_cpu = resolve_device(device).type == "cpu"
    name = choice.name or ("in-process" if is_cpu and choice.at_once == 1 else "pool")
    if name == "in-process":
        yield InProcessExecutor()
    elif name == "pool":
        # Together no more than one training would take.
        threads = max(1, torch.get_num_threads() // choice.at_once)
        gpus = 0 if is_cpu or ":" in device else torch.cuda.device_count()
        limits = choice.limits.of("training")
        with PoolExecutor(choice.at_once, threads=threads, gpus=gpus, limits=limits) as pool:
            yield pool
    else:
        with RayExecutor(
            address=choice.address, workers=choice.workers, device=device, limits=choice.limits
        ) as cluster:
            yield cluster
