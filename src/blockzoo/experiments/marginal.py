"""Marginal latency: what a block adds to the scaffold, and whether what is added adds up.

The marginal latency of a block at a position is that of the scaffold with the block less that of
the scaffold with `Identity` in its place, round by round. Additivity asks whether marginals predict
a network: with the other stages empty, base + the marginals at the three positions against the
network that has the block in all three.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from torch import nn

from blockzoo.blocks import BlockLike
from blockzoo.core.errors import BlockError, InputError
from blockzoo.core.position import POSITIONS, Position
from blockzoo.core.processes import Send
from blockzoo.core.run_way import RunWay
from blockzoo.experiments.benchmark import benchmark_blocks
from blockzoo.experiments.timed_placements import merge_into, random_images
from blockzoo.experiments.trial_identity import resolved
from blockzoo.measure.timing.latency import LatencyResult
from blockzoo.measure.timing.preparing import Network, prepared
from blockzoo.measure.timing.sampling import Progress
from blockzoo.measure.timing.session import measure_networks
from blockzoo.measure.timing.settings import LatencySettings
from blockzoo.results.records import LatencyRecord
from blockzoo.scaffold.net import ScaffoldConfig
from blockzoo.scaffold.placement import NO_CONTEXT, Placement
from blockzoo.stats.medians import Interval
from blockzoo.stats.paired_rounds import paired


@dataclass(frozen=True, kw_only=True)
class Marginal:
    """Milliseconds that a block adds at a position, with the 95% interval, or why not known.

    `network_ms` and `identity_ms` are medians of the two scaffolds.
    """

    block: str
    position: Position
    marginal_ms: float | None = None
    interval_ms: Interval | None = None
    network_ms: float | None = None
    identity_ms: float | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Additivity:
    """Base and marginals summed against the network with the block in all stages.

    `error` is predicted / measured - 1, with its 95% interval.
    """

    block: str
    predicted_ms: float
    measured_ms: float
    error: float
    error_interval: Interval


def marginal_latencies(
    blocks: Sequence[BlockLike],
    positions: Sequence[str | Position] = POSITIONS,
    *,
    config: ScaffoldConfig | None = None,
    settings: LatencySettings | None = None,
    progress: Progress | None = None,
) -> list[Marginal]:
    """Return what each block adds at each position; all are timed in one session.

    A block that fails is returned with its reason. Raises what `benchmark_blocks` raises.

    >>> small = ScaffoldConfig(width=8, depth=1, input_shape=(3, 8, 8))
    >>> once = LatencySettings(processes=0, rounds_max=3, min_rounds=3, warmup_max_s=0.01)
    >>> (added,) = marginal_latencies(["ConvBNAct"], ["mid"], config=small, settings=once)
    >>> added.block, str(added.position), added.reason
    ('ConvBNAct', 'mid', None)
    """
    if not blocks:
        raise InputError("no block given; name one or more")
    records = benchmark_blocks(
        blocks,
        positions,
        config=config,
        settings=settings,
        # As the baseline it is in every session and has samples of the same rounds.
        baseline=NO_CONTEXT,
        progress=progress,
    )
    empty = {
        p: record for record in records if record.block == NO_CONTEXT for p in record.positions
    }
    return [
        _marginal(record, empty[position], position)
        for record in records
        if record.block != NO_CONTEXT
        for position in record.shown
    ]


def _marginal(record: LatencyRecord, empty: LatencyRecord, position: Position) -> Marginal:
    # Without the scaffold's own latency there is nothing to subtract.
    reason = record.reason or empty.reason
    if reason is not None:
        return Marginal(block=record.block, position=position, reason=reason)
    # Within rounds: the difference of two medians would have the noise of both.
    added = paired(lambda network, identity: network - identity, record, empty)
    return Marginal(
        block=record.block,
        position=position,
        marginal_ms=added.value,
        interval_ms=added.interval,
        network_ms=record.median_ms,
        identity_ms=empty.median_ms,
    )


def check_additivity(
    blocks: Sequence[BlockLike],
    *,
    config: ScaffoldConfig | None = None,
    settings: LatencySettings | None = None,
    progress: Progress | None = None,
) -> list[Additivity]:
    """Return for each block how well its marginals predict the network that is all of it.

    All networks are in deploy form, in one session. Raises `BlockError` for a block that cannot be
    built or timed, and `DeviceError`.

    >>> small = ScaffoldConfig(width=8, depth=1, input_shape=(3, 8, 8))
    >>> once = LatencySettings(processes=0, rounds_max=3, min_rounds=3, warmup_max_s=0.01)
    >>> (added_up,) = check_additivity(["ConvBNAct"], config=small, settings=once)
    >>> added_up.block, added_up.measured_ms > 0  # so few rounds say no more
    ('ConvBNAct', True)
    """
    settings = resolved(settings or LatencySettings())
    empty = replace(config or ScaffoldConfig(), context=NO_CONTEXT)
    placements = [Placement.of(block, Position.MID, empty) for block in blocks]
    # The base is shared by all blocks, and so is the session: its noise is the same for all.
    parts = {"base": Placement.of(NO_CONTEXT, Position.MID, empty)}
    for placement in placements:
        parts |= dict(_with_block(placement))
    results = measure_networks(
        [_network(name, part, settings) for name, part in parts.items()],
        settings,
        progress=progress,
    )
    for name, result in results.items():
        if result.failure is not None:
            raise BlockError(f"{name}: {result.failure}")
    return [_additivity(placement.spec.name, results) for placement in placements]


def _with_block(alone: Placement) -> Iterator[tuple[str, Placement]]:
    """Yield the block alone at each position, all other stages empty, then in all of them."""
    name = alone.spec.name
    for position in POSITIONS:
        yield f"{name} {position}", alone.at(position)
    yield f"{name} all", replace(alone, scaffold=replace(alone.scaffold, context=name))


def _network(name: str, placement: Placement, settings: LatencySettings) -> Network:
    way = settings.way
    example = random_images(way.batch_size, placement.scaffold, settings.seed)
    elsewhere = placement.elsewhere
    if elsewhere is None:
        model: nn.Module | bytes = merge_into(way.form, example)(placement.build())
    else:
        task = (placement.spec.name, placement.position, placement.scaffold, way, settings.seed)
        model = elsewhere(_prepared_there, task, kind="latency")
    foreign = not placement.spec.from_zoo
    return Network(name=name, model=model, example=example, way=way, foreign=foreign)


def _prepared_there(task: tuple[str, Position, ScaffoldConfig, RunWay, int], _: Send) -> bytes:
    block, position, scaffold, way, seed = task
    example = random_images(way.batch_size, scaffold, seed)
    network = merge_into(way.form, example)(Placement.of(block, position, scaffold).build())
    return prepared(network, example, way)


def _additivity(block: str, results: dict[str, LatencyResult]) -> Additivity:
    alone = [results[f"{block} {position}"] for position in POSITIONS]
    base, whole = results["base"], results[f"{block} all"]

    def predicted(base_ms: float, *alone_ms: float) -> float:
        # Each of the three holds the base, which counts once.
        return sum(alone_ms) - (len(POSITIONS) - 1) * base_ms

    def error(whole_ms: float, base_ms: float, *alone_ms: float) -> float:
        return predicted(base_ms, *alone_ms) / whole_ms - 1

    off = paired(error, whole, base, *alone)
    assert whole.median_ms is not None
    return Additivity(
        block=block,
        predicted_ms=paired(predicted, base, *alone).value,
        measured_ms=whole.median_ms,
        error=off.value,
        error_interval=off.interval,
    )
