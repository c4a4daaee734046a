"""The verb benchmark: scaffolded blocks in deploy form, gated, then timed against each other.

Batch norms of the deploy form are folded into the layers before them, unless the way says not to.

All networks that pass their gate, see `timed_placements.py`, are interleaved in one session, and
each is compared with the baseline block at its own position, run in the same way.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Literal
from uuid import uuid4

from torch import nn

from blockzoo.blocks import BlockLike
from blockzoo.core.errors import BlockError, InputError
from blockzoo.core.position import Position
from blockzoo.core.run_way import RunWay, differing_fields
from blockzoo.experiments.recording import common_fields
from blockzoo.experiments.timed_placements import (
    TimedPlacement,
    gate,
    random_images,
    timed_placements,
)
from blockzoo.experiments.trial_identity import resolved
from blockzoo.measure.machine.environment import describe_environment
from blockzoo.measure.timing.backends import get_backend
from blockzoo.measure.timing.events import Listener, Networks
from blockzoo.measure.timing.further import Further
from blockzoo.measure.timing.latency import LatencyResult
from blockzoo.measure.timing.preparing import Network
from blockzoo.measure.timing.sampling import Progress
from blockzoo.measure.timing.session import measure_networks
from blockzoo.measure.timing.settings import LatencySettings, resolved_way
from blockzoo.results.records import Environment, LatencyRecord
from blockzoo.scaffold.net import ScaffoldConfig
from blockzoo.scaffold.placement import Placement


@dataclass(frozen=True, kw_only=True)
class BenchmarkOptions:
    """What of a benchmark changes no latency.

    Args:
        on_error: A network that cannot be built, fails its gate or raises becomes a failed record
            with its reason, or with "raise" an exception.
        listener: Hears of the networks by trial id before the timing, then what the measuring
            processes send.
        memory: Whether the peak memory of running each network is measured after the timing, in a
            fresh process each, on a CPU.
        energy: Whether the energy per image is measured after the timing, of hot caches; that takes
            39 s a network, and nothing where no counter can be read.
        experiment_name: Copied into the records.
        notes: Copied into the records.

    Example:
        >>> BenchmarkOptions(notes="fan at full speed").on_error
        'record'
    """

    on_error: Literal["record", "raise"] = "record"
    listener: Listener | None = None
    memory: bool = False
    energy: bool = False
    experiment_name: str = ""
    notes: str = ""


def benchmark_blocks(
    blocks: Sequence[BlockLike],
    positions: Sequence[str | Position],
    *,
    config: ScaffoldConfig | None = None,
    settings: LatencySettings | None = None,
    ways: Sequence[RunWay] = (),
    baseline: BlockLike | None = None,
    progress: Progress | None = None,
    options: BenchmarkOptions | None = None,
) -> list[LatencyRecord]:
    """Time all blocks at all positions in one session; one record per network and way to run it.

    A network that is the same at several positions, with a baseline that is too, is measured once
    and its record lists the positions.

    Args:
        blocks: Names, paths, classes or specs, see `get_block`.
        positions: Which stages hold them: "early", "mid", "late".
        config: The scaffold around them; by default `ScaffoldConfig()`.
        settings: When to start and stop, and how networks are run unless `ways` says so.
        ways: The ways to run each network; `RunWay.crossed` makes several. A ratio is to the
            baseline run in the same way.
        baseline: The block of the ratios, by default the first. One that is not among `blocks` is
            measured and returned too, before them.
        progress: Called as `progress(fraction, text)`, the fraction an estimate from 0 to 1.
        options: What changes no latency: errors, memory, energy, labels.

    Returns:
        The records, in milliseconds per call.

    Raises:
        UnknownNameError: For an unknown block, position, context or backend.
        InputError: When no block or no position is given.
        DeviceError: For a device that is not there.

    Example:
        >>> small = ScaffoldConfig(width=8, depth=1, input_shape=(3, 8, 8))
        >>> once = LatencySettings(processes=0, rounds_max=3, min_rounds=3, warmup_max_s=0.01)
        >>> blocks = ["ConvBNAct", "Identity"]
        >>> records = benchmark_blocks(blocks, ["mid"], config=small, settings=once)
        >>> [(record.block, record.baseline, record.median_ms is None) for record in records]
        [('ConvBNAct', 'ConvBNAct', False), ('Identity', 'ConvBNAct', False)]
    """
    if not blocks or not positions:
        raise InputError(f"{len(blocks)} blocks and {len(positions)} positions given; give some")
    options = options or BenchmarkOptions()
    settings = resolved(settings or LatencySettings())
    places = [Position.parse(str(position)) for position in positions]
    first = blocks[0] if baseline is None else baseline
    # At any position: what is resolved once, a user's file among it, is moved to the others.
    planned = timed_placements(
        [Placement.of(block, places[0], config).spec for block in blocks],
        places,
        baseline=Placement.of(first, places[0], config),
        settings=settings,
        ways=_known(ways or (settings.way,)),
    )
    gated = [gate(each, settings, raises=options.on_error == "raise") for each in planned]
    # Before the clock starts on any of them, so that nothing is built between two rounds.
    results = _time_together(gated, settings, progress, options)
    session = uuid4().hex[:12]  # by chance: what runs have in common their records say otherwise
    return [_record(each, results, options, session) for each in gated]


def _known(ways: Sequence[RunWay]) -> list[RunWay]:
    """Return the ways with their devices by name; raises for a backend or device that is not."""
    for way in ways:
        get_backend(way.backend)
    return [resolved_way(way) for way in ways]


def _time_together(
    gated: Sequence[TimedPlacement],
    settings: LatencySettings,
    progress: Progress | None,
    options: BenchmarkOptions,
) -> dict[str, LatencyResult]:
    """Time all networks that passed their gate, and return the results by trial id."""
    listener = options.listener
    passed = {each.trial_id: each for each in gated if each.network is not None}
    if listener is not None:
        listener(Networks(labels=_labels(gated, passed)))
    networks = [
        _under_test(each, each.network, settings, passed)
        for each in passed.values()
        if each.network is not None
    ]
    further = Further(memory=options.memory, energy=options.energy)
    return measure_networks(
        networks, settings, progress=progress, listener=listener, further=further
    )


def _labels(gated: Sequence[TimedPlacement], passed: Container[str]) -> dict[str, str]:
    """Return block and position by trial id, and of the way to run it what is not always alike."""
    differing, labels = differing_fields(each.way for each in gated), {}
    for each in gated:
        if each.trial_id in passed:
            place = f"{each.placement.spec.name} {'/'.join(map(str, each.asked))}"
            labels[each.trial_id] = f"{place} {each.way.label(differing)}".rstrip()
    return labels


def _under_test(
    timed: TimedPlacement,
    network: nn.Module | bytes,
    settings: LatencySettings,
    passed: Container[str] = (),
) -> Network:
    return Network(
        name=timed.trial_id,
        model=network,
        example=random_images(timed.way.batch_size, timed.placement.scaffold, settings.seed),
        way=timed.way,
        # A baseline that failed its gate is not there to be paired with; medians remain.
        baseline=timed.baseline_id if timed.baseline_id in passed else None,
        foreign=not timed.placement.spec.from_zoo,
    )


_SHARED = {field.name for field in fields(LatencyResult)} & set(LatencyRecord.model_fields)
"""What a record keeps of a result: all that it calls by the same name."""


def _record(
    timed: TimedPlacement,
    results: Mapping[str, LatencyResult],
    options: BenchmarkOptions,
    session: str,
) -> LatencyRecord:
    """Return the record of a network; raises `BlockError` if it failed and `on_error` says so."""
    placement = timed.placement
    result = results.get(
        timed.trial_id, LatencyResult(failure=timed.reason, traceback=timed.traceback)
    )
    if result.failure is not None and options.on_error == "raise":
        raise BlockError(f"block {placement.label}: {result.failure}")
    measured = {name: getattr(result, name) for name in _SHARED}
    if result.failure is None and timed.baseline_id not in results:
        measured["flags"] = (*result.flags, "no baseline")
    return LatencyRecord(
        trial_id=timed.trial_id,
        status="ok" if result.failure is None else "failed",
        reason=result.failure,
        # Fewer positions than the placement's own, where the baseline is not the same at all.
        **common_fields(placement, _environment(timed.way), timed.positions, timed.asked),
        session=session,
        baseline=timed.baseline.spec.name,
        parity_error=timed.parity_error,
        params_folded=timed.params_folded,
        experiment_name=options.experiment_name,
        notes=options.notes,
        # Flat, as records have the way's fields.
        **vars(timed.way),
        **measured,
    )


def _environment(way: RunWay) -> Environment:
    # The threads of the way, not those of this process, are what the network ran on.
    described = {**describe_environment(way.device), "threads": way.threads}
    return Environment.model_validate(described)
