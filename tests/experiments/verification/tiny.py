"""A real sweep of two tiny networks, as its store has it: what there is to be falsified."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from blockzoo.core.errors import DivergenceError
from blockzoo.experiments.protocol import get_protocol
from blockzoo.experiments.sweep.failures import failed_records
from blockzoo.experiments.sweep.plan import SweepRequest, Trial
from blockzoo.experiments.sweep.run import run_sweep
from blockzoo.results.records import AnyRecord, CostRecord, LatencyRecord, TrainingRecord
from blockzoo.results.store.database import Store

FIRST, SECOND = "ConvBNAct", "InvertedResidual"
SEEDS = (0, 1, 2, 3)
FAILED_SEED = 2
"""Of the second block: it leaves the record of a failure."""
PROTOCOL = get_protocol("quick3").changed(
    width=4,
    depth=1,
    epochs=1,
    context="Identity",
    dataset="digits@16",
    blocks=(FIRST, SECOND),
    positions=("mid",),
    seeds=SEEDS,
    latency_processes=0,
)


@cache
def swept() -> tuple[AnyRecord, ...]:
    """Return two costs, two latencies, seven trainings and a failure."""
    request = SweepRequest(protocol=PROTOCOL, device="cpu")
    lost: list[Trial] = []

    def may_start(trial: Trial) -> bool:
        fails = (trial.blocks, trial.seed) == ((SECOND,), FAILED_SEED)
        lost.extend([trial] if fails else [])
        return not fails

    with TemporaryDirectory() as folder, Store(Path(folder) / "a.db", create=True) as store:
        run_sweep(request, store, may_start=may_start)
        store.put_all(failed_records(request, lost[0], DivergenceError("the loss is infinite")))
        return tuple(store.each())


def failure() -> TrainingRecord:
    return trained(SECOND, FAILED_SEED)


def trained(block: str, seed: int) -> TrainingRecord:
    return next(
        each
        for each in swept()
        if isinstance(each, TrainingRecord) and (each.block, each.seed) == (block, seed)
    )


def counted(block: str) -> CostRecord:
    return next(e for e in swept() if isinstance(e, CostRecord) and e.block == block)


def timed(block: str) -> LatencyRecord:
    return next(e for e in swept() if isinstance(e, LatencyRecord) and e.block == block)
