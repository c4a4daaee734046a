"""What another way of running gains: each network's ways against each other, within one session.

The ratios between blocks, in records, are each run in one way. These are of one block, run in two:
ONNX Runtime in int8 against ONNX Runtime in fp32, or against eager. They are paired by round, and
judged, like those between blocks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from blockzoo.core.errors import InputError
from blockzoo.core.position import Position
from blockzoo.core.run_way import RunWay, differing_fields
from blockzoo.results.records import LatencyRecord, Record
from blockzoo.stats.medians import Interval
from blockzoo.stats.paired_rounds import mean_ratio, ratios_by_process
from blockzoo.stats.verdicts import Ratio, Verdict, judged

_USUAL = RunWay()
_OF_A_NETWORK = ("batch_size", "device")
"""What is no choice of one network's way: other images at once, or another machine."""


@dataclass(frozen=True, kw_only=True)
class WayRatio:
    """One network's latency, run in one way, over its latency run in another.

    Attributes:
        block: The block under test.
        positions: At which the network is this one.
        session: In which both were timed.
        way: How it was run.
        reference: What that is compared with.
        differing: The fields in which ways of the session differ.
        ratio: Below 1 where `way` is faster; None where it cannot be said.
        interval: 95%, over processes.
        verdict: "faster", "slower", "same" or "undecided".
        verdict_reason: Why there is no ratio, or why it is undecided.
    """

    block: str
    positions: tuple[Position, ...]
    session: str
    way: RunWay
    reference: RunWay
    differing: tuple[str, ...]
    ratio: float | None = None
    interval: Interval | None = None
    verdict: Verdict | None = None
    verdict_reason: str = ""


def way_ratios(records: Iterable[Record]) -> list[WayRatio]:
    """Return, for each network that was timed in several ways in one session, their ratios.

    The reference of a way has one of its choices as usual (eager, fp32, one thread, hot caches,
    folded norms, contiguous; where that was not timed, what came first), or all of them at once.

    Args:
        records: Records of any kind; timings that failed, and those from before sessions were kept,
            are left out.

    Returns:
        A ratio for each network, way and reference.

    Example:
        >>> from blockzoo import ScaffoldConfig, benchmark_blocks
        >>> from blockzoo.measure.timing.settings import LatencySettings
        >>> small = ScaffoldConfig(width=8, depth=1, input_shape=(3, 8, 8))
        >>> once = LatencySettings(processes=0, rounds_max=3, min_rounds=3, warmup_max_s=0.01)
        >>> ways = RunWay().crossed(precisions=["fp32", "bf16"])
        >>> records = benchmark_blocks(
        ...     ["Identity"], ["mid"], config=small, settings=once, ways=ways
        ... )
        >>> [(each.way.precision, each.reference.precision) for each in way_ratios(records)]
        [('bf16', 'fp32')]
    """
    sessions: dict[str, list[LatencyRecord]] = defaultdict(list)
    for record in records:
        if isinstance(record, LatencyRecord) and record.session:
            sessions[record.session].append(record)
    return [each for session in sessions.values() for each in _of_session(session)]


def _of_session(records: Sequence[LatencyRecord]) -> list[WayRatio]:
    # Also ways in which this network failed: the reference is then the same for all, or none.
    ways = [record.way for record in records]
    timed = {_run_as(record, record.way): record for record in records if record.median_ms}
    return [
        _compared(record, timed[_run_as(record, reference)], differing_fields(ways))
        for record in timed.values()
        for reference in references_of(record.way, ways)
        if _run_as(record, reference) in timed
    ]


def _run_as(record: LatencyRecord, way: RunWay) -> Hashable:
    """Return what tells the network of that record, run in that way, from all others."""
    return record.block, record.positions, record.scaffold, way


def references_of(way: RunWay, ways: Collection[RunWay]) -> list[RunWay]:
    """Return the ways that `way`, one of the `ways` of a session, is compared with, if timed.

    >>> int8 = RunWay(backend="onnxruntime", precision="int8")
    >>> ways = RunWay().crossed(backends=["eager", "onnxruntime"], precisions=["fp32", "int8"])
    >>> [reference.label(["backend", "precision"]) for reference in references_of(int8, ways)]
    ['int8, eager', 'fp32, onnxruntime', 'fp32, eager']
    """
    usual = {
        name: _usual(name, ways) for name in differing_fields(ways) if name not in _OF_A_NETWORK
    }
    undone = [_with(way, {name: value}) for name, value in usual.items()]
    found = dict.fromkeys([*undone, _with(way, usual)])
    return [reference for reference in found if reference != way]


def _usual(name: str, ways: Collection[RunWay]) -> object:
    values = [getattr(way, name) for way in ways]
    usual: object = getattr(_USUAL, name)
    return usual if usual in values else values[0]


def _with(way: RunWay, values: Mapping[str, object]) -> RunWay:
    changed: RunWay = replace(way, **values)  # type: ignore[arg-type]  # names are those of fields
    return changed


def _compared(
    record: LatencyRecord, reference: LatencyRecord, differing: tuple[str, ...]
) -> WayRatio:
    named = WayRatio(
        block=record.block,
        positions=tuple(p for p in record.positions if p in record.shown),
        session=record.session,
        way=record.way,
        reference=reference.way,
        differing=differing,
    )
    try:
        by_process = ratios_by_process(record, reference)
    except InputError as error:  # a process was lost, and with it the rounds they share
        return replace(named, verdict_reason=str(error))
    ratio, interval = mean_ratio(by_process)
    assert record.median_ms is not None
    assert reference.median_ms is not None
    verdict, reason = judged(
        Ratio(
            interval=interval,
            processes=len(by_process),
            of_medians=record.median_ms / reference.median_ms,
            flags=record.flags,
            like_calls=_like_calls(record, reference),
        )
    )
    return replace(named, ratio=ratio, interval=interval, verdict=verdict, verdict_reason=reason)


def _like_calls(record: LatencyRecord, reference: LatencyRecord) -> bool | None:
    """Tell whether samples of both are means of equally many calls; None where it was not kept."""
    if not record.calls_per_sample or not reference.calls_per_sample:
        return None
    return record.calls_per_sample == reference.calls_per_sample
