"""How much of a GPU's time for a network is its wait for launches: eager against a CUDA graph.

A replayed graph is the same kernels without the CPU launching them one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from blockzoo.core.errors import InputError
from blockzoo.results.records import LatencyRecord
from blockzoo.stats.paired_rounds import Paired, paired


def launch_bound(records: Sequence[LatencyRecord]) -> dict[str, Paired]:
    """Return eager time over that of the CUDA graph, by trial id of both records.

    `records` are of one session. 1 means that launching costs nothing, 2 that the device waits half
    the time. Networks that were not timed both ways, all else alike, are left out.
    """
    timed = [record for record in records if record.median_ms is not None]
    graphs = {_network(record): record for record in timed if record.backend == "cudagraphs"}
    pairs = [
        (record, graphs[_network(record)])
        for record in timed
        if record.backend == "eager" and _network(record) in graphs
    ]
    found: dict[str, Paired] = {}
    for eager, graph in pairs:
        with suppress(InputError):  # a process was lost, and with it the rounds they share
            factor = paired(lambda eager_ms, graph_ms: eager_ms / graph_ms, eager, graph)
            found |= {eager.trial_id: factor, graph.trial_id: factor}
    return found


def _network(record: LatencyRecord) -> tuple[object, ...]:
    """Return what the two records of a network have in common."""
    return (
        record.block,
        record.positions,
        record.device,
        record.precision,
        record.channels_last,
        record.threads,
        record.cache,
        record.batch_size,
    )
