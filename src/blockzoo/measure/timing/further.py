"""What else is measured of a network once it was timed: memory and energy, backend by backend.

Both are of the very bytes that were timed, in a fresh process for each network, after all timing.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from blockzoo.core.errors import BlockZooError, ModelError, one_line
from blockzoo.core.processes import Answer, Ended, Limits, Raised, Worker
from blockzoo.measure.machine.peak_memory import (
    GIVING_BACK_FREED_MEMORY,
    resident_bytes,
    rise_of_process,
)
from blockzoo.measure.timing.backends import get_backend
from blockzoo.measure.timing.driver import KEEPING_FREED_MEMORY
from blockzoo.measure.timing.energy import EnergyResult, find_counter, measure_network_energy
from blockzoo.measure.timing.events import Listener, State
from blockzoo.measure.timing.latency import LatencyResult
from blockzoo.measure.timing.preparing import LONGEST_S, Network
from blockzoo.measure.timing.worker import PackedNetwork

_CALLS = 3
"""Runtimes lay out their memory by what the first calls took."""
_Value = TypeVar("_Value")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Further:
    """What is measured beside latency: process memory (on a CPU) and energy per image."""

    memory: bool = False
    energy: bool = False


def measured_further(
    result: LatencyResult,
    network: PackedNetwork,
    further: Further,
    *,
    here: bool = False,
    listener: Listener | None = None,
) -> LatencyResult:
    """Return the result with what was asked for; what cannot be had stays None, which is logged.

    `here`: energy is measured in this process. Of cold caches there is no energy: emptying them
    takes most of it.
    """
    way = network.way
    if further.memory and not way.on_cuda:
        _tell(listener, State(name=network.name, stage="memory"))
        result = replace(result, process_memory_bytes=_or_none(run_memory, network))
    # Asked here, so that no process is started where there is no counter.
    if further.energy and way.cache == "hot" and find_counter(way.device) is not None:
        _tell(listener, State(name=network.name, stage="energy"))
        measured = _or_none(_energy if here else _energy_elsewhere, network)
        if measured is not None:
            result = replace(
                result,
                energy_j_per_image=measured.joules_per_image,
                energy_counter=measured.counter,
                energy_interval_j=measured.interval,
                energy_repetitions_j=measured.repetitions,
            )
    return result


def run_memory(network: PackedNetwork) -> int:
    """Return the bytes that a process holds for the network and, at its peak, for running it.

    Beyond what it held before: the process has loaded the network and run it once already, so that
    the runtime and its code are not counted. What loading takes for a while is not either.
    Raises `ModelError`, in one line, where the process fails or the system does not tell.
    """
    return _in_fresh_process(_rise, network, GIVING_BACK_FREED_MEMORY)


def _rise(network: PackedNetwork) -> int:
    backend = get_backend(network.way.backend)
    once = backend.load(network.payload, network.example, network.way)
    once.call()
    once.close()
    del once
    gc.collect()
    before = resident_bytes()
    loaded = backend.load(network.payload, network.example, network.way)
    gc.collect()

    def run() -> None:
        for _ in range(_CALLS):
            loaded.call()

    rise = rise_of_process(run, above_bytes=before)
    loaded.close()
    return max(rise, 0)


def _energy_elsewhere(network: PackedNetwork) -> EnergyResult | None:
    return _in_fresh_process(_energy, network, KEEPING_FREED_MEMORY)


def _energy(network: PackedNetwork) -> EnergyResult | None:
    return measure_network_energy(
        Network(name=network.name, model=network.payload, example=network.example, way=network.way)
    )


def _in_fresh_process(
    function: Callable[[PackedNetwork], _Value],
    network: PackedNetwork,
    environment: dict[str, str],
) -> _Value:
    with Worker(environment=environment) as process:
        outcome = process.ask(function, network, limits=Limits(silence_s=LONGEST_S))
    match outcome:
        case Answer(value=value):
            return value
        case Raised(error=error):
            raise ModelError(one_line(error, first_line_only=True))
        case Ended(reason=reason):
            raise ModelError(f"the measuring process {reason}")


def _or_none(measure: Callable[[PackedNetwork], _Value], network: PackedNetwork) -> _Value | None:
    try:
        return measure(network)
    except Exception as error:  # noqa: BLE001 - a block is foreign code; its latency is kept
        what = "memory" if measure is run_memory else "energy"
        text = str(error) if isinstance(error, BlockZooError) else one_line(error)
        _log.warning("%s of %s was not measured: %s", what, network.way.label(), text)
        return None


def _tell(listener: Listener | None, event: State) -> None:
    if listener is not None:
        listener(event)
