"""The verb roofline: how close scaffolded blocks come to what the machine can do, and what binds.

The peaks are measured before and after the blocks, and the better of both counts; latency is that
of `benchmark_blocks`, of the whole scaffold in deploy form; FLOPs and bytes are those of the same
network, known from its structure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from blockzoo.analysis.roofline import Achieved, Roof, place_under
from blockzoo.blocks import BlockLike
from blockzoo.blocks.user_errors import describe_error
from blockzoo.core.errors import InputError
from blockzoo.core.position import Position
from blockzoo.core.processes import Send
from blockzoo.core.run_way import RunWay
from blockzoo.experiments.benchmark import benchmark_blocks
from blockzoo.experiments.timed_placements import merge_into
from blockzoo.experiments.trial_identity import resolved
from blockzoo.measure.costs.traffic import Traffic, measure_traffic
from blockzoo.measure.timing.peaks import Peaks, PeakSettings, measure_peaks
from blockzoo.measure.timing.sampling import Progress
from blockzoo.measure.timing.settings import DTYPES, LatencySettings
from blockzoo.results.records import LatencyRecord
from blockzoo.scaffold.net import ScaffoldConfig
from blockzoo.scaffold.placement import Placement, meta_deploy

_SHARE_OF_PEAKS = 0.1
"""Of the progress that is reported, at each end."""


@dataclass(frozen=True, kw_only=True)
class RooflineRow:
    """One network; `traffic` and `achieved` are None where its record is a failed one."""

    record: LatencyRecord
    traffic: Traffic | None = None
    achieved: Achieved | None = None


@dataclass(frozen=True, kw_only=True)
class RooflineResult:
    """All networks of one session, and the peaks of the machine they ran on."""

    peaks: Peaks
    rows: tuple[RooflineRow, ...]

    @property
    def roof(self) -> Roof:
        """The roof that the peaks make."""
        return Roof(flops_per_s=self.peaks.flops_per_s, bytes_per_s=self.peaks.bytes_per_s)


def measure_roofline(
    blocks: Sequence[BlockLike],
    positions: Sequence[str | Position],
    *,
    config: ScaffoldConfig | None = None,
    settings: LatencySettings | None = None,
    peak_settings: PeakSettings | None = None,
    progress: Progress | None = None,
) -> RooflineResult:
    """Time the blocks at the positions and place each network under the machine's roof.

    The bytes are those of eager PyTorch, so no other backend is taken. A block that fails leaves a
    failed record, and the others go on. Raises `InputError` for another backend or precision, and
    what `benchmark_blocks` and `measure_peaks` raise.

    >>> small = ScaffoldConfig(width=8, depth=1, input_shape=(3, 8, 8))
    >>> once = LatencySettings(processes=0, rounds_max=3, min_rounds=3, warmup_max_s=0.01)
    >>> tiny = PeakSettings(matrix_side=64, copy_bytes=2**16, repeats=1)
    >>> (row,) = measure_roofline(
    ...     ["ConvBNAct"], ["mid"], config=small, settings=once, peak_settings=tiny
    ... ).rows
    >>> row.record.block, row.achieved is None
    ('ConvBNAct', False)
    """
    config, settings = config or ScaffoldConfig(), settings or LatencySettings()
    _require_eager(settings.way)
    settings = resolved(settings)
    # Names are resolved before the peaks, which take a while; where each is, its record says.
    placements = [Placement.of(block, Position.MID, config) for block in blocks]
    places = [Position.parse(str(position)) for position in positions]
    report = progress or (lambda fraction, text: None)

    def within(fraction: float, text: str) -> None:
        report(_SHARE_OF_PEAKS + (1 - 2 * _SHARE_OF_PEAKS) * fraction, text)

    # Before and after: what disturbs one measurement of a peak seldom disturbs both.
    report(0.0, "peaks")
    before = _peaks(settings, peak_settings)
    specs = [placement.spec for placement in placements]
    records = benchmark_blocks(specs, places, config=config, settings=settings, progress=within)
    report(1 - _SHARE_OF_PEAKS, "peaks again")
    peaks = before.best(_peaks(settings, peak_settings))
    bare = RooflineResult(peaks=peaks, rows=())
    by_name = {placement.spec.name: placement for placement in placements}
    # The network is the same at all positions asked for, so the first will do.
    rows = (
        _row(record, by_name[record.block].at(record.shown[0]), bare.roof) for record in records
    )
    return replace(bare, rows=tuple(rows))


def _require_eager(way: RunWay) -> None:
    if way.backend != "eager":
        raise InputError(f"backend is {way.backend!r}; bytes moved are known for eager only")
    if way.precision not in DTYPES:
        raise InputError(f"precision is {way.precision!r}; allowed: {', '.join(DTYPES)}")


def _peaks(settings: LatencySettings, peak_settings: PeakSettings | None) -> Peaks:
    return measure_peaks(
        settings.way.device,
        threads=settings.way.threads,
        precision=settings.way.precision,
        settings=peak_settings,
    )


def _row(record: LatencyRecord, placement: Placement, roof: Roof) -> RooflineRow:
    if record.median_ms is None:  # it failed, and its record says why
        return RooflineRow(record=record)
    try:
        elsewhere = placement.elsewhere
        if elsewhere is None:
            traffic = _traffic(placement, record.way)
        else:
            task = (placement.spec.name, placement.position, placement.scaffold, record.way)
            traffic = elsewhere(_traffic_there, task, kind="cost")
    except Exception as error:  # noqa: BLE001 - a block is foreign code; the others go on
        failure = {"status": "failed", "reason": describe_error(error)}
        return RooflineRow(record=record.model_copy(update=failure))
    achieved = place_under(
        roof,
        flops=traffic.flops,
        moved_bytes=traffic.moved_bytes,
        least_bytes=traffic.least_bytes,
        latency_ms=record.median_ms,
    )
    return RooflineRow(record=record, traffic=traffic, achieved=achieved)


def _traffic_there(task: tuple[str, Position, ScaffoldConfig, RunWay], _: Send) -> Traffic:
    block, position, scaffold, way = task
    return _traffic(Placement.of(block, position, scaffold), way)


def _traffic(placement: Placement, way: RunWay) -> Traffic:
    """Return what the network that was timed computes and moves in one call."""
    dtype = DTYPES[way.precision]
    shape = placement.scaffold.input_shape
    network = meta_deploy(placement.meta().eval())
    merge = merge_into(way.form, torch.empty(1, *shape, device="meta"))
    return measure_traffic(merge(network).to(dtype), shape, way.batch_size, dtype)
