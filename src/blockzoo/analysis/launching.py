"""How much of a latency is spent launching kernels: eager time over that of a CUDA graph."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from blockzoo.core.errors import InputError
from blockzoo.core.position import Position
from blockzoo.core.run_way import RunWay
from blockzoo.results.records import LatencyRecord
from blockzoo.stats.paired_rounds import Paired, paired


def launch_bound(records: Sequence[LatencyRecord]) -> dict[str, Paired]:
    """Return eager time over that of the CUDA graph, by trial id of both records.

    `records` are of one session. 1 means that launching costs nothing, 2 that the device waits half
    the time. Networks that were not timed both ways, all else alike, are left out.
    """
    timed = [record for record in records if record.median_ms is not None]
    graphs = {_run_eager(record): record for record in timed if record.backend == "cudagraphs"}
    pairs = [
        (record, graphs[_run_eager(record)])
        for record in timed
        if record.backend == "eager" and _run_eager(record) in graphs
    ]
    factors: dict[str, Paired] = {}
    for eager, graph in pairs:
        with suppress(InputError):  # a process was lost, and with it the rounds they share
            factor = paired(lambda eager_ms, graph_ms: eager_ms / graph_ms, eager, graph)
            factors |= {eager.trial_id: factor, graph.trial_id: factor}
    return factors


def _run_eager(record: LatencyRecord) -> tuple[str, tuple[Position, ...], RunWay]:
    """Return what the two records of a network have in common: the network, and all but backend."""
    return record.block, record.positions, replace(record.way, backend="eager")
