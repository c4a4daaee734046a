"""The verb `compare`: run what the store lacks, then say what it shows of pairs of blocks."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from blockzoo.analysis.compare import Comparison, compare_records
from blockzoo.blocks import BlockLike, get_block
from blockzoo.core.errors import InputError
from blockzoo.core.ranges import MARGIN as MARGIN_RANGE
from blockzoo.experiments.execution.base import Executor
from blockzoo.experiments.protocol import Protocol
from blockzoo.experiments.sweep.pace import Pace
from blockzoo.experiments.sweep.plan import Plan, SweepRequest, Trial, make_plan
from blockzoo.experiments.sweep.run import SweepListener, run_sweep
from blockzoo.experiments.sweep.timed_fits import fitted_by_timing
from blockzoo.results.families import Family
from blockzoo.results.store.database import Store
from blockzoo.stats.accuracy import ALPHA, LEAST_SEEDS, MARGIN
from blockzoo.stats.power import POWER, smallest_difference
from blockzoo.stats.spending import SpendingPlan

SEEDS_MAX = 100
"""More are not planned, however much time there is."""


@dataclass(frozen=True, kw_only=True)
class CompareRequest:
    """A block, those it is compared with, and what makes a difference.

    `sweep`: how and where all of them are run; its protocol's first block is the baseline of
    latencies. `margin`: within it accuracies are equal, a fraction of 1. With `looks` seeds are
    added look by look until every pair is decided. Raises `InputError` for a block that is compared
    with itself, and one seed.
    """

    sweep: SweepRequest
    block: str
    others: tuple[str, ...]
    margin: float = MARGIN
    looks: SpendingPlan | None = None

    def __post_init__(self) -> None:
        MARGIN_RANGE.checked("margin", self.margin)
        if self.block in self.others:
            raise InputError(f"{self.block} is compared with itself; name another block")
        if self.looks is None and len(self.sweep.protocol.seeds) < 2:
            raise InputError("one seed is given; a difference needs two or more, a verdict three")

    @property
    def planned_seeds(self) -> tuple[int, ...]:
        """The seeds of the first look, or all."""
        return self.sweep.protocol.seeds if self.looks is None else _first(self.looks.looks[0])

    @property
    def family(self) -> Family:
        """What is declared before looking."""
        protocol = self.sweep.protocol
        return Family(
            protocol=protocol.label,
            dataset=protocol.dataset,
            block=self.block,
            others=self.others,
            positions=tuple(str(position) for position in protocol.positions),
            margin=self.margin,
            levels=() if self.looks is None else tuple(self.looks.level_by_look.items()),
        )

    def with_seeds(self, seeds: Iterable[int]) -> CompareRequest:
        """Return the same comparison over other seeds."""
        return self.with_protocol(self.sweep.protocol.changed(seeds=tuple(seeds)))

    def with_protocol(self, protocol: Protocol) -> CompareRequest:
        """Return the same comparison by a protocol that was changed."""
        return replace(self, sweep=replace(self.sweep, protocol=protocol))


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was found at so many `seeds`, judged at `level`; `failed` trials of its run failed."""

    seeds: int
    level: float
    comparisons: tuple[Comparison, ...]
    failed: int

    @property
    def decided(self) -> bool:
        """Whether every pair has a verdict."""
        return all(each.verdict != "undecided" for each in self.comparisons)


def compare(
    block: BlockLike,
    others: Sequence[BlockLike] = (),
    *,
    protocol: Protocol,
    store: Store,
    margin: float = MARGIN,
    looks: SpendingPlan | None = None,
    device: str = "auto",
    listener: SweepListener | None = None,
) -> list[Comparison]:
    """Compare a block with others, by default with the protocol's context block.

    Trainings, timings and costs that `store` lacks are run first, over the protocol's seeds and
    positions.

    Args:
        block: A name or class.
        others: Names or classes.
        protocol: What is held fixed.
        store: Where results are looked for and put; the family is declared there before anything
            runs.
        margin: Within it accuracies are equal; a fraction of 1.
        looks: Adds seeds look by look until every pair is decided; by default all seeds are run.
        device: "auto", "cpu", "cuda" or "cuda:N".
        listener: Told of the sweep's plan and trials.

    Returns:
        A comparison for each position and other block.

    Raises:
        InputError: For what cannot be compared: a block with itself, one seed, other terms.
        UnknownNameError: For a block or data set that is not known.
        ResultsError: When the store cannot be written.

    Example:
        >>> import tempfile
        >>> from blockzoo.experiments.protocol import get_protocol
        >>> tiny = get_protocol("quick").changed(
        ...     positions=("mid",), seeds=(0, 1), width=4, depth=1, epochs=1, precision="fp32",
        ...     latency_budget_s=0.05, latency_processes=0,
        ... )
        >>> with tempfile.TemporaryDirectory() as folder, Store(folder, create=True) as store:
        ...     (found,) = compare("Identity", protocol=tiny, store=store, device="cpu")
        >>> found.other, found.seeds, found.verdict
        ('ResNetBasicBlock', (0, 1), 'undecided')
    """
    request = compare_request(
        SweepRequest(protocol=protocol, device=device), block, others, margin=margin, looks=looks
    )
    *_, last = run_compare(request, store, listener=listener)
    return list(last.comparisons)


def compare_request(
    sweep: SweepRequest,
    block: BlockLike,
    others: Sequence[BlockLike] = (),
    *,
    margin: float = MARGIN,
    looks: SpendingPlan | None = None,
) -> CompareRequest:
    """Return the request by the names of the blocks, the others first, as the baseline is one."""
    mine = get_block(block).name
    names = [get_block(each).name for each in others or (sweep.protocol.context,)]
    theirs = tuple(dict.fromkeys(names))
    protocol = sweep.protocol.changed(blocks=(*theirs, mine))
    return CompareRequest(
        sweep=replace(sweep, protocol=protocol),
        block=mine,
        others=theirs,
        margin=margin,
        looks=looks,
    )


def run_compare(
    request: CompareRequest,
    store: Store,
    *,
    trainers: Executor | None = None,
    listener: SweepListener | None = None,
    csv_path: Path | None = None,
    may_start: Callable[[Trial], bool] | None = None,
) -> Iterator[Look]:
    """Yield what was found at each look, after running what the store lacks for it.

    Without `looks` there is one, at all seeds of the protocol. Ends when all is decided or the last
    look is past. The family is declared in the store before anything runs; one that was declared
    when trainings of the block were there is exploratory. Of a look some of whose trials may not
    start, see `run_sweep`, nothing is judged, and it is the last.
    """
    request = replace(request, sweep=fitted_by_timing(request.sweep, store))
    declared_at = store.declare(request.family)
    levels = {len(request.sweep.protocol.seeds): ALPHA}
    if request.looks is not None:
        levels = request.looks.level_by_look
    for seeds, level in levels.items():
        of_look = request if request.looks is None else request.with_seeds(_first(seeds))
        plan = make_plan(of_look.sweep, store)
        ran = run_sweep(
            of_look.sweep,
            store,
            # Of a large store the file takes as long as the answer, which adds nothing to it.
            csv_path=csv_path if plan.trials else None,
            trainers=trainers,
            listener=listener,
            may_start=may_start,
        )
        if ran.left_out:
            return
        found = _found(of_look, store, plan, level, declared_at)
        look = Look(seeds=seeds, level=level, comparisons=found, failed=ran.failed)
        yield look
        if look.decided:
            return


def _first(seeds: int) -> tuple[int, ...]:
    return tuple(range(seeds))


def _found(
    request: CompareRequest, store: Store, plan: Plan, level: float, declared_at: datetime
) -> tuple[Comparison, ...]:
    # By identity, so that whatever else the store holds is not mixed in.
    wanted = map(store.get, plan.asked)
    kept = [record for record in wanted if record is not None]
    found: list[Comparison] = []
    for position in request.sweep.protocol.positions:
        fits = {each.block: each for each in request.sweep.fits(position)}
        missed = {block: each.reason for block, each in fits.items() if not each.reached}
        names = {block: each.fitted for block, each in fits.items()}
        mine = request.block
        pairs = [other for other in request.others if not {mine, other} & missed.keys()]
        found += compare_records(
            kept,
            names.get(mine, mine),
            [names.get(other, other) for other in pairs],
            [position],
            margin=request.margin,
            alpha=level,
            declared_at=declared_at,
        )
        found += [
            Comparison(
                position=position,
                block=mine,
                other=other,
                reason="; ".join(filter(None, map(missed.get, (mine, other)))),
            )
            for other in request.others
            if other not in pairs
        ]
    return tuple(found)


def could_find(request: CompareRequest, deviation: float | None) -> float | None:
    """Return the true difference that the planned seeds find with 80% power, a fraction of 1.

    `deviation`: as in `Pace`. None where that is not known, and for two seeds.
    """
    level = ALPHA if request.looks is None else request.looks.levels[0]
    return detectable_by(deviation, len(request.planned_seeds), len(request.others), level=level)


def detectable_by(
    deviation: float | None, seeds: int, comparisons: int, *, level: float = ALPHA
) -> float | None:
    """Return the true difference that so many seeds find with 80% power, a fraction of 1.

    `deviation`: as in `Pace`; `comparisons`: how many a family has. None where the deviation is not
    known, for fewer than three seeds, and without any comparison.

    >>> round(detectable_by(0.01, 3, 2), 3), detectable_by(None, 3, 2)
    (0.046, None)
    """
    if not deviation or seeds < LEAST_SEEDS or not comparisons:
        return None
    return smallest_difference(deviation, seeds, level / comparisons, POWER)


def within_time(request: CompareRequest, store: Store, budget_s: float) -> CompareRequest:
    """Return the comparison over as many seeds as about that time allows, two at least."""
    pace = Pace.of(store, request.sweep.protocol)

    def seconds(seeds: int) -> float:
        return pace.expected_s(plan_of(request.with_seeds(_first(seeds)), store))

    fitting = bisect_right(range(SEEDS_MAX + 1), budget_s, lo=3, key=seconds) - 1
    return request.with_seeds(_first(fitting))


def plan_of(request: CompareRequest, store: Store) -> Plan:
    """Return what the store lacks for the first look."""
    return make_plan(request.with_seeds(request.planned_seeds).sweep, store)
