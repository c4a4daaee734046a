"""What records of others say that cannot be, and what they should say and do not.

Nothing is computed again here: these are contradictions within a record, between records of one
session, and holes in what was run. What agrees may still be false; see `experiments/verify.py`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from blockzoo.results.environment import PASSING, Environment
from blockzoo.results.records import AnyRecord, LatencyRecord, Record, TrainingRecord

_VERSION = re.compile(r"\d+(\.\w+)+([+.-][\w.+-]+)?|\d+\.\d+\w*")
_SKEW = timedelta(days=1)
"""By which a clock of another machine may be ahead."""
_OVER_CLOCK = 1.5
"""Times the highest clock; readings of virtual machines are coarse."""


def contradictions(records: Iterable[AnyRecord]) -> Iterator[str]:
    """Yield what contradicts itself in the records, a line each.

    Args:
        records: Whole ones, of one bundle.

    Example:
        >>> list(contradictions([]))
        []
    """
    sessions: dict[str, Environment] = {}
    now = datetime.now(timezone.utc) + _SKEW
    for record in records:
        where = f"record {record.trial_id}"
        if record.created_at > now:
            yield f"{where}: it was made in the future, {record.created_at:%Y-%m-%d}"
        yield from (f"{where}, environment: {each}" for each in _of_environment(record))
        if isinstance(record, TrainingRecord) and record.status == "ok":
            yield from (f"{where}: {each}" for each in _of_curve(record))
        if isinstance(record, LatencyRecord) and record.session:
            yield from _of_session(record, sessions, where)


def _of_environment(record: AnyRecord) -> Iterator[str]:
    it = record.environment
    for name in ("blockzoo", "python", "torch"):
        if not _VERSION.fullmatch(getattr(it, name)):
            yield f"{name} {getattr(it, name)!r} is no version"
    yield from _above(it, "cpu_min_mhz", "cpu_max_mhz")
    yield from _above(it, "cpu_mhz", "cpu_max_mhz", times=_OVER_CLOCK)
    yield from _above(it, "gpu_clock_default_mhz", "gpu_clock_max_mhz")
    for name in ("cores", "memory_bytes"):
        if getattr(it, name) == 0:
            yield f"{name} is 0"
    if _is_on_gpu(record) and it.accelerator is None:
        yield "the result is of a GPU, and there is none"
    if not _is_on_gpu(record) and it.accelerator is not None:
        yield f"the result is of the CPU, and names the GPU {it.accelerator}"
    if it.cudnn is not None and it.cuda is None:
        yield "there is cuDNN and no CUDA"


def _is_on_gpu(record: AnyRecord) -> bool:
    return getattr(record, "device", "cpu").startswith("cuda")


def _above(it: Environment, lower: str, upper: str, *, times: float = 1.0) -> Iterator[str]:
    least, most = getattr(it, lower), getattr(it, upper)
    if least is not None and most is not None and least > times * most:
        yield f"{lower} is {least:g}, above {upper}, {most:g}"


def _of_curve(record: TrainingRecord) -> Iterator[str]:
    """Yield where the curve is not that of the recipe or of the result."""
    planned, epochs = record.recipe.get("epochs"), record.epochs
    if not epochs:
        return
    if planned is not None and len(epochs) != planned:
        yield f"its curve has {len(epochs)} epochs, its recipe {planned}"
    best = next((each for each in epochs if each.epoch == record.best_epoch), None)
    if best is None:
        yield f"its best epoch, {record.best_epoch}, is not in its curve"
    elif best.val_accuracy != record.val_accuracy:
        yield f"its validation accuracy is not that of epoch {best.epoch}"


def _of_session(
    record: LatencyRecord, sessions: dict[str, Environment], where: str
) -> Iterator[str]:
    """Yield where networks timed in one session name two environments."""
    first = sessions.setdefault(record.session, record.environment)
    different = [
        name
        for name in Environment.model_fields
        if name not in PASSING and getattr(first, name) != getattr(record.environment, name)
    ]
    # Of a session on a CPU and a GPU at once the fields of the GPU are of one of them alone.
    if different and first.accelerator == record.environment.accelerator:
        yield f"{where}: others of its session have another {', '.join(different)}"


class Gap(NamedTuple):
    """A training that others of its protocol have, and that neither succeeded nor failed here."""

    block: str
    place: str
    protocol: str
    dataset: str
    seed: int

    @property
    def line(self) -> str:
        """What is missing, for people."""
        where = f"{self.block} at {self.place}, {self.protocol} on {self.dataset}"
        return f"missing: {where}, seed {self.seed}: neither a result nor a failure"


def gaps(records: Iterable[AnyRecord]) -> list[Gap]:
    """Return the trainings that the plan of a protocol has and the records lack.

    The plan is what the records themselves show: all blocks at their positions, with all seeds from
    0 to the highest that any of them has by that protocol on those data. Seeds beyond the published
    ones, 4242 of a tuning say, count where any block has them.

    Args:
        records: Of one bundle.

    Example:
        >>> gaps([])
        []
    """
    plans: dict[tuple[object, ...], list[TrainingRecord]] = defaultdict(list)
    for record in records:
        if isinstance(record, TrainingRecord):
            plans[_plan_of(record)].append(record)
    return [gap for trained in plans.values() for gap in _gaps_of(trained)]


def _plan_of(record: TrainingRecord) -> tuple[object, ...]:
    names = (record.protocol, record.dataset, record.dataset_fingerprint)
    return (*names, record.scaffold, record.device, record.compiled, record.identity)


def _gaps_of(trained: Sequence[TrainingRecord]) -> Iterator[Gap]:
    there = {(place, each.seed) for each in trained for place in _places(each)}
    seeds = sorted({seed for _, seed in there})
    # From the first on: seeds are counted, so one that no block has was taken out of all.
    run = {*seeds, *range(_counted_up_to(seeds))}
    first = trained[0]
    for block, place in dict.fromkeys(place for place, _ in sorted(there)):
        for seed in sorted(run):
            if ((block, place), seed) not in there:
                yield Gap(block, place, first.protocol, first.dataset, seed)


_MOST_COUNTED = 1000


def _counted_up_to(seeds: Sequence[int]) -> int:
    """Return the end of the seeds that were counted from 0 on; far ones were chosen by hand."""
    ends = [seed for seed in seeds if seed < _MOST_COUNTED]
    counted = bool(ends) and len(ends) > ends[-1] / 2
    return ends[-1] + 1 if counted else 0


def _places(record: Record) -> Iterator[tuple[str, str]]:
    return ((record.block, str(position)) for position in record.shown)
