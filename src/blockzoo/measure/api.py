"""`measure`: any modules of one's own, timed against each other the way BlockZoo times blocks."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from blockzoo.core.errors import InputError
from blockzoo.measure.backends import CellOptions
from blockzoo.measure.cells import Cell, measure_cells
from blockzoo.measure.environment import resolve_device
from blockzoo.measure.latency import LatencyResult, LatencySettings
from blockzoo.measure.sampling import Progress

_QUICK = LatencySettings(processes=1, budget_s=2.0)


def measure(
    models: Mapping[str, nn.Module],
    example: Tensor,
    *,
    baseline: str | None = None,
    backend: str = "eager",
    device: str = "auto",
    precision: str = "fp32",
    threads: int = 1,
    channels_last: bool = False,
    cache: str = "hot",
    processes: int = 3,
    quick: bool = False,
    settings: LatencySettings | None = None,
    progress: Progress | None = None,
) -> dict[str, LatencyResult]:
    """Time `models` on `example` (N, ...) side by side and return the result of each by its name.

    Every one of `processes` fresh processes samples all models in interleaved rounds. `baseline`
    names the model of the ratios. `cache` "cold" empties the caches before each call. `quick` takes
    one process and at most two seconds per model. `settings` says when to start and stop instead,
    its processes included; how the models run is said by the other arguments alone. Modules may be
    of any class, also one defined in a script or notebook, but nothing in them may be bound to this
    process (open files, locks).

    A model that cannot be run so, raises or kills its process has a `failure`; the others are
    measured. Raises `InputError` for no models, a value that is no module, or an unknown baseline
    or option, and `DeviceError` for a device that is not there.
    """
    _check(models, example, baseline)
    options = CellOptions(
        backend=backend,
        device=str(resolve_device(device)),
        precision=precision,
        channels_last=channels_last,
        threads=threads,
        cache=cache,
    )
    if settings is None:
        settings = _QUICK if quick else LatencySettings(processes=processes)
    cells = [
        Cell(name=name, model=model, example=example, options=options, baseline=baseline)
        for name, model in models.items()
    ]
    return measure_cells(cells, settings, progress=progress)


def _check(models: Mapping[str, nn.Module], example: Tensor, baseline: str | None) -> None:
    if not models:
        raise InputError("no models given; give at least one, by name")
    for name, model in models.items():
        if not isinstance(model, nn.Module):
            raise InputError(f"model {name!r} is a {type(model).__name__}; it must be an nn.Module")
    if not isinstance(example, Tensor) or not example.ndim or not len(example):
        raise InputError("example must be a tensor (N, ...) of at least one input")
    if baseline is not None and baseline not in models:
        raise InputError(f"baseline {baseline!r} is not among the models: {', '.join(models)}")
