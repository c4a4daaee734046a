"""`benchmark_modules`: any modules of one's own, timed side by side as BlockZoo times blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor, nn

from blockzoo.core.errors import InputError
from blockzoo.core.ranges import BATCH
from blockzoo.core.run_way import RunWay
from blockzoo.measure.machine.devices import is_out_of_memory
from blockzoo.measure.timing.backends import get_backend
from blockzoo.measure.timing.latency import LatencyResult
from blockzoo.measure.timing.preparing import Network
from blockzoo.measure.timing.sampling import Progress
from blockzoo.measure.timing.session import measure_networks
from blockzoo.measure.timing.settings import LatencySettings, resolved_way

# One process cannot tell how far others would differ; that is the price of an answer in seconds.
_QUICK = LatencySettings(processes=1, budget_s=2.0)


def benchmark_modules(
    models: Mapping[str, nn.Module],
    example: Tensor | tuple[Tensor, ...] | Mapping[str, Tensor],
    *,
    baseline: str | None = None,
    way: RunWay | None = None,
    processes: int = 3,
    quick: bool = False,
    settings: LatencySettings | None = None,
    progress: Progress | None = None,
) -> dict[str, LatencyResult]:
    """Time any modules side by side on one input and return the result of each by its name.

    Every process samples all modules in interleaved rounds. They may be of any class, also one
    defined in a script or notebook, but nothing in them may be bound to this process (open files,
    generators). A module that cannot be run so, raises or kills its process has a `failure`; the
    others are measured.

    Args:
        models: The modules by name.
        example: The input (N, ...) of all of them. Several tensors are given as arguments, those of
            a mapping by name; the batch is that of the first. Tensors of whole or complex numbers
            stay such in every precision.
        baseline: The name of the module of the ratios.
        way: How all of them are run. Without it as `settings` says, without either in eager fp32,
            on the GPU if there is one; the batch is the example's.
        processes: Fresh processes; fewer than three give no verdict.
        quick: One process and at most two seconds per module; no verdict then.
        settings: When to start and stop instead, its processes included.
        progress: Called as `progress(fraction, text)`, the fraction an estimate from 0 to 1.

    Returns:
        The result of each module, in the order of `models`; each prints as one line.

    Raises:
        InputError: For no modules, a value that is no module, an example that is not made of
            tensors, or an unknown baseline.
        DeviceError: For a device that is not there.

    Example:
        >>> import torch
        >>> models = {"conv": nn.Conv2d(3, 4, 3), "relu": nn.ReLU()}
        >>> once = LatencySettings(processes=0, min_rounds=3, rounds_max=3, warmup_max_s=0.01)
        >>> example = torch.ones(2, 3, 8, 8)
        >>> results = benchmark_modules(models, example, baseline="conv", settings=once)
        >>> results["conv"].verdict, results["relu"].failure
        ('baseline', None)
    """
    names, tensors = _arguments(example)
    _check(models, tensors, baseline)
    if way is None:
        way = RunWay(device="auto") if settings is None else settings.way
    # Here, so that a device that is not there is refused and not the failure of each model.
    way = replace(resolved_way(way), batch_size=len(tensors[0]))
    get_backend(way.backend)
    if settings is None:
        settings = _QUICK if quick else LatencySettings(processes=processes)
    inputs = names, tensors
    networks = [_network(name, model, inputs, way, baseline) for name, model in models.items()]
    return measure_networks(networks, settings, progress=progress)


measure = benchmark_modules
"""The name that version 0.1 has in `blockzoo.measure`; at the top that is this package's name."""


def _network(
    name: str,
    model: nn.Module,
    inputs: tuple[tuple[str, ...], tuple[Tensor, ...]],
    way: RunWay,
    baseline: str | None,
) -> Network:
    names, (first, *others) = inputs
    called = _Called(model, names, others) if names or others else model
    return Network(name=name, model=called, example=first, way=way, baseline=baseline, foreign=True)


class _Called(nn.Module):
    """A model of several arguments as one of the first of them; the others are its buffers."""

    def __init__(self, model: nn.Module, names: Sequence[str], others: Sequence[Tensor]) -> None:
        super().__init__()
        self.model, self.names, self.others = model, names, len(others)
        for index, value in enumerate(others):
            self.register_buffer(f"other_{index}", value)

    def forward(self, first: Tensor) -> object:
        """Call the model with all its arguments."""
        values = (first, *(getattr(self, f"other_{index}") for index in range(self.others)))
        if self.names:
            return self.model(**dict(zip(self.names, values, strict=True)))
        return self.model(*values)


def _arguments(example: object) -> tuple[tuple[str, ...], tuple[Tensor, ...]]:
    """Return names, where there are any, and tensors; raises `InputError` for anything else."""
    names: tuple[str, ...] = ()
    values: tuple[object, ...] = (example,)
    if isinstance(example, tuple | list):
        values = tuple(example)
    elif isinstance(example, Mapping):
        names, values = tuple(example), tuple(example.values())
    tensors = tuple(value for value in values if isinstance(value, Tensor))
    if not values or len(tensors) < len(values):
        kinds = ", ".join(type(value).__name__ for value in values) or "nothing"
        raise InputError(
            f"example holds {kinds}; it must be a tensor (N, ...), or a tuple or mapping of "
            f"tensors: put whatever else a model takes into a module around it"
        )
    return names, tensors


def _check(
    models: Mapping[str, nn.Module], tensors: Sequence[Tensor], baseline: str | None
) -> None:
    if not models:
        raise InputError("no models given; give at least one, by name")
    for name, model in models.items():
        if not isinstance(model, nn.Module):
            raise InputError(f"model {name!r} is a {type(model).__name__}; it must be an nn.Module")
    first = tensors[0]
    if not first.ndim or not len(first):
        raise InputError(
            f"example has shape {tuple(first.shape)}; it must be (N, ...) of at least one input"
        )
    if baseline is not None and baseline not in models:
        raise InputError(f"baseline {baseline!r} is not among the models: {', '.join(models)}")


Stop = Literal["no gain", "out of memory", "largest batch"]
# Two doublings: kernels change with the batch size, so that a single one may lose by chance.
_GAIN = 0.02
_PATIENCE = 2


@dataclass(frozen=True, kw_only=True)
class ThroughputPoint:
    """One batch size that was tried: milliseconds per batch and images per second."""

    batch_size: int
    latency_ms: float

    @property
    def images_per_s(self) -> float:
        """Images per second."""
        return self.batch_size / self.latency_ms * 1e3


@dataclass(frozen=True, kw_only=True)
class ThroughputSearch:
    """The points tried, in order, and why the search ended; `best` is the fastest point."""

    points: tuple[ThroughputPoint, ...]
    stopped_by: Stop

    @property
    def best(self) -> ThroughputPoint:
        """The point of most images per second."""
        return max(self.points, key=lambda point: point.images_per_s)


def search_throughput(
    latency_ms: Callable[[int], float], *, largest_batch: int = 4096
) -> ThroughputSearch:
    """Double the batch from 1 until it no longer pays, memory ends or `largest_batch` is passed.

    `latency_ms(batch_size)` returns the milliseconds of one batch. It no longer pays when two
    doublings in a row gain less than 2% on the best images per second before them. Raises
    `InputError` for a largest batch below 1, and what `latency_ms` raises where that is not a lack
    of memory, or where even one image does not fit.

    >>> search = search_throughput(lambda batch_size: max(4.0, batch_size / 2))
    >>> [point.batch_size for point in search.points], search.stopped_by
    ([1, 2, 4, 8, 16, 32], 'no gain')
    >>> search.best.images_per_s
    2000.0
    """
    BATCH.checked("largest batch", largest_batch)
    points: list[ThroughputPoint] = []
    batch_size, without_gain = 1, 0
    stopped_by: Stop = "largest batch"
    while batch_size <= largest_batch:
        try:
            point = ThroughputPoint(batch_size=batch_size, latency_ms=latency_ms(batch_size))
        except (MemoryError, RuntimeError) as error:
            # Where not even the first batch fits there is no best one to return.
            if not points or not is_out_of_memory(error):
                raise
            stopped_by = "out of memory"
            break
        # Two in a row: the time of a batch has steps, where a kernel for the next size takes over.
        best = max((p.images_per_s for p in points), default=0.0)
        without_gain = 0 if point.images_per_s > best * (1 + _GAIN) else without_gain + 1
        points.append(point)
        if without_gain == _PATIENCE:
            stopped_by = "no gain"
            break
        batch_size *= 2
    return ThroughputSearch(points=tuple(points), stopped_by=stopped_by)
