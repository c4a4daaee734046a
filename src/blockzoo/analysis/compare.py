"""Mine against theirs: what trainings, timings and costs of a store say of pairs of blocks.

A family is declared before looking: one block against each of the others, within one data set,
protocol and position. Its p values are adjusted for all of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import combinations, combinations_with_replacement

import numpy as np

from blockzoo.analysis.groups import Terms, differences
from blockzoo.analysis.trainings import Seeds, Trained, Training, by_seeds
from blockzoo.core.display import Displayed, Facts, number, ranged
from blockzoo.core.errors import InputError, ResultsError
from blockzoo.core.names import published_name
from blockzoo.core.position import Position
from blockzoo.core.ranges import MARGIN as MARGIN_RANGE
from blockzoo.results.answers import answers_of
from blockzoo.results.records import CostRecord, FormCost, LatencyRecord, Record, TrainingRecord
from blockzoo.stats.accuracy import (
    ALPHA,
    LEAST_SEEDS,
    MARGIN,
    AccuracyJudgement,
    judged_accuracy,
)
from blockzoo.stats.families import holm, max_t
from blockzoo.stats.improvement import Improvement, probability_of_improvement
from blockzoo.stats.medians import Interval
from blockzoo.stats.new_images import interval_for_new_images
from blockzoo.stats.paired_seeds import PairedDifference, paired_difference
from blockzoo.stats.verdicts import verdict_of

MOST_PAIRS = 300
"""Of one position; more are more than anybody looks at, and their answers take long to compare."""


@dataclass(frozen=True, kw_only=True)
class LatencyRatio:
    """Latency of a block over that of another, timed in one session.

    Attributes:
        ratio: Below 1 where the block is faster.
        interval: 95%; None where one of the two has none.
        verdict: "faster", "slower", "same" or "undecided".
    """

    ratio: float
    interval: Interval | None
    verdict: str


@dataclass(frozen=True, kw_only=True, repr=False)
class Comparison(Displayed):
    """A block less another at one position; accuracies are fractions of 1.

    Attributes:
        position: Which stage holds the blocks.
        block: The one that is compared.
        other: The one that it is compared with.
        terms: On what terms both were trained; None without trainings.
        comparisons: How many the family has.
        seeds: Those of both that went well.
        failed: How many seeds of either did not go well.
        images: Test images that both answered; None where that was not kept.
        difference: Over the common seeds; None without any.
        new_images: 95% interval for other seeds and images.
        new_images_reason: Why there is none.
        p_holm: The p value adjusted for the family, by Holm.
        p_max_t: Beside it, by joint sign flips.
        judgement: The verdict, and what would have decided.
        improvement: The probability that the block does better with a new seed, with its interval.
        latency: The ratio of latencies; None where they were not timed together.
        cost: Of the block's stage, in deploy form.
        other_cost: Of the other's stage.
        reason: Why there is no difference; "" where there is one.
        exploratory: Why nothing is confirmed: neither block is the context, or trainings of the
            block were there when the family was declared; "" where neither holds.
    """

    position: Position
    block: str
    other: str
    terms: Terms | None = None
    comparisons: int = 1
    seeds: tuple[int, ...] = ()
    failed: int = 0
    images: int | None = None
    difference: PairedDifference | None = None
    new_images: Interval | None = None
    new_images_reason: str = ""
    p_holm: float | None = None
    p_max_t: float | None = None
    judgement: AccuracyJudgement | None = None
    improvement: Improvement | None = None
    latency: LatencyRatio | None = None
    cost: FormCost | None = None
    other_cost: FormCost | None = None
    reason: str = ""
    exploratory: str = ""

    @property
    def verdict(self) -> str:
        """better, worse, equal or undecided."""
        return "undecided" if self.judgement is None else self.judgement.verdict

    def _facts(self) -> Facts:
        latency = self.latency
        return {
            "block": self.block,
            "other": self.other,
            "position": str(self.position),
            "verdict": self.verdict,
            "difference": self._points(),
            "seeds": number(len(self.seeds)),
            "latency ratio": ranged(latency.ratio, latency.interval) if latency else None,
            "reason": self.reason,
        }

    def _points(self) -> str | None:
        """Return the difference in points, hundredths of accuracy, with its interval."""
        found = self.difference
        if found is None:
            return None
        mean = f"{100 * found.mean:+.2f} points"
        if found.low is None or found.high is None:
            return mean
        return f"{mean} [{100 * found.low:+.2f}, {100 * found.high:+.2f}]"


def compare_records(
    records: Iterable[Record],
    block: str,
    others: Sequence[str],
    positions: Iterable[Position],
    *,
    margin: float = MARGIN,
    alpha: float = ALPHA,
    declared_at: datetime | None = None,
) -> list[Comparison]:
    """Compare `block` with each of `others`, names as in records, at each position.

    `declared_at`: when that was decided, None for before anything was seen. All trainings must be
    of one data set and protocol, on the same terms. Raises `InputError` for a margin that is none,
    and where terms differ, with what differs.
    """
    MARGIN_RANGE.checked("margin", margin)
    kept = list(records)
    found = [
        each
        for position in positions
        for each in _family(kept, block, others, position, margin, alpha)
    ]
    seen = declared_at is not None and any(
        isinstance(r, TrainingRecord) and r.block == block and r.created_at < declared_at
        for r in kept
    )
    return [replace(each, exploratory=_exploratory(each, seen)) for each in found]


def compare_with_context(
    every: Iterable[Seeds[Trained]], beside: Iterable[Record], *, most_pairs: int = MOST_PAIRS
) -> list[Comparison]:
    """Compare each block with the context block, on each terms at each position, and then others.

    The family is each block against the context, by Holm. Pairs of two others are exploratory; by
    Holm over all pairs of their position, where these are no more than `most_pairs`, else left out.

    Args:
        every: The trainings of all blocks.
        beside: Latencies, by time; other records are passed over.
        most_pairs: Of one position.

    Example:
        >>> compare_with_context([], [])
        []
    """
    places: defaultdict[tuple[Terms, Position], dict[str, Seeds[Trained]]] = defaultdict(dict)
    for seeds in every:
        for position in seeds.records[0].positions:
            places[seeds.terms, position][seeds.block] = seeds
    kept = [record for record in beside if isinstance(record, LatencyRecord)]
    sessions = {position: _sessions(kept, position) for position in Position}
    return [
        replace(each, latency=_ratio_within(each, sessions[position]))
        for (terms, position), found in sorted(places.items(), key=lambda place: place[0])
        for each in _place(terms, position, found, most_pairs)
    ]


def _place(
    terms: Terms, position: Position, found: Mapping[str, Seeds[Trained]], most_pairs: int
) -> list[Comparison]:
    """Return the family of a position and, where they are few, all other pairs."""
    names = sorted(found)
    context = [name for name in names if published_name(name) == terms.context][:1]
    others = [name for name in names if name not in context]
    family = [_pair(name, context[0], position, found) for name in others if context]
    count = len(names) * (len(names) - 1) // 2
    rest = combinations(others, 2) if count <= most_pairs else ()
    pairs = [_pair(first, second, position, found) for first, second in rest]
    adjusted = _declared([*family, *pairs])[len(family) :]
    return [
        *_judged_family(family, found, MARGIN, ALPHA),
        *(
            replace(
                _judged(replace(pair, comparisons=count), p, MARGIN, ALPHA),
                exploratory=_exploratory(pair, seen=False),
            )
            for pair, p in zip(pairs, adjusted, strict=True)
        ),
    ]


def _exploratory(pair: Comparison, seen: bool) -> str:
    """Return why a pair confirms nothing; `seen`: the family was declared after trainings."""
    reasons = []
    # Fitted to a budget, the context block is the context still.
    names = map(published_name, (pair.block, pair.other))
    if pair.terms is not None and pair.terms.context not in names:
        reasons.append(f"neither block is the context, {pair.terms.context}")
    if seen:
        reasons.append(f"trainings of {pair.block} were there when the family was declared")
    return " and ".join(reasons)


def _family(
    records: Sequence[Record],
    block: str,
    others: Sequence[str],
    position: Position,
    margin: float,
    alpha: float,
) -> list[Comparison]:
    trainings = [r for r in records if isinstance(r, TrainingRecord) and position in r.positions]
    found = _one_each(by_seeds(trainings), (block, *others))
    pairs = [_pair(block, other, position, found) for other in others]
    judged = _judged_family(pairs, found, margin, alpha)
    return [_with_costs(pair, records) for pair in judged]


def _judged_family(
    pairs: Sequence[Comparison],
    found: Mapping[str, Seeds[Training]],
    margin: float,
    alpha: float,
) -> list[Comparison]:
    flipped = _by_flips(pairs, found)
    return [
        _judged(
            replace(pair, comparisons=len(pairs), p_max_t=flipped.get((pair.block, pair.other))),
            p,
            margin,
            alpha,
        )
        for pair, p in zip(pairs, _declared(pairs), strict=True)
    ]


def _declared(pairs: Sequence[Comparison]) -> list[float]:
    """Return the p values by Holm; one without a difference counts as one without any."""
    return [
        float(p)
        for p in holm([1.0 if p.difference is None else p.difference.p_value for p in pairs])
    ]


def _judged(pair: Comparison, p: float, margin: float, alpha: float) -> Comparison:
    if pair.difference is None:
        return pair
    judgement = judged_accuracy(
        pair.difference, p, comparisons=pair.comparisons, margin=margin, alpha=alpha
    )
    return replace(pair, p_holm=p, judgement=judgement)


def _one_each(
    groups: Iterable[Seeds[TrainingRecord]], blocks: Sequence[str]
) -> dict[str, Seeds[TrainingRecord]]:
    """Return the seeds of each block; raises `InputError` where they are not on the same terms."""
    of_blocks = [group for group in groups if group.records[0].block in blocks]
    terms = list(dict.fromkeys(group.terms for group in of_blocks))
    if len(terms) > 1:
        titles = {each.title for each in terms}
        words = differences(terms) if len(titles) == 1 else [", ".join(t.title) for t in terms]
        raise InputError(
            f"the trainings were not on the same terms ({'; '.join(words)}); they are not compared"
        )
    return {group.records[0].block: group for group in of_blocks}


def _pair(
    block: str, other: str, position: Position, found: Mapping[str, Seeds[Training]]
) -> Comparison:
    pair = Comparison(position=position, block=block, other=other)
    missing = [name for name in (block, other) if name not in found]
    if missing:
        return replace(pair, reason=f"no training of {' and '.join(missing)} went well")
    mine, theirs = (found[name].accuracies for name in (block, other))
    both = sorted(mine.keys() & theirs.keys())
    pair = replace(
        pair,
        terms=found[block].terms,
        seeds=tuple(both),
        failed=found[block].failed + found[other].failed,
    )
    if not both:
        return replace(pair, reason="no seed is in both")
    first, second = ([accuracies[seed] for seed in both] for accuracies in (mine, theirs))
    pair = replace(
        pair,
        difference=paired_difference(first, second),
        improvement=probability_of_improvement(first, second),
        reason="" if len(both) > 1 else "one seed is in both; a difference needs two",
    )
    return _with_images(pair, found[block], found[other])


def typical_deviation(trainings: Iterable[Training]) -> float | None:
    """Return by how much paired differences of two blocks deviate over seeds: the median pair's.

    A fraction of 1, of blocks in one place on the same terms that share three seeds or more; None
    without such.
    """
    places: defaultdict[tuple[Position, Terms], _BySeeds] = defaultdict(lambda: defaultdict(list))
    for seeds in by_seeds(trainings):
        known = dict(sorted(seeds.accuracies.items()))
        for position in seeds.records[0].positions:
            places[position, seeds.terms][tuple(known)].append(list(known.values()))
    found = [each for blocks in places.values() for each in _deviations(blocks)]
    return float(np.median(found)) if found else None


_BySeeds = defaultdict[tuple[int, ...], list[list[float]]]
"""Accuracies of blocks, in the order of the seeds that they have."""


def _deviations(blocks: _BySeeds) -> Iterator[float]:
    """Yield by how much the differences of every two blocks deviate that share enough seeds."""
    # Most blocks have the same seeds, and of many blocks there are very many pairs.
    for first, second in combinations_with_replacement(blocks, 2):
        shared = np.intersect1d(first, second, assume_unique=True)
        if len(shared) < LEAST_SEEDS:
            continue
        mine = np.array(blocks[first])[:, np.isin(first, shared)]
        theirs = np.array(blocks[second])[:, np.isin(second, shared)]
        deviations = np.std(mine[:, None] - theirs[None], axis=-1, ddof=1)
        # Of blocks with the same seeds each pair is there twice, and each block beside itself.
        once = np.triu_indices(len(mine), k=1)
        yield from (deviations[once] if first == second else deviations.ravel()).tolist()


def _with_images(pair: Comparison, mine: Seeds[Training], theirs: Seeds[Training]) -> Comparison:
    """Return the pair with its interval for new images, or with why there is none."""
    sides = []
    for seeds in (mine, theirs):
        of_seed = {record.seed: record for record in seeds.records}
        try:
            answers = [answers_of(of_seed[seed]) for seed in pair.seeds]
        except ResultsError as error:
            return replace(pair, new_images_reason=str(error))
        kept = [bits for bits in answers if bits is not None]
        if len(kept) < len(answers):
            lacking = len(answers) - len(kept)
            why = f"{lacking} of {len(answers)} trainings of {seeds.records[0].block}"
            return replace(pair, new_images_reason=f"{why} kept no answers to test images")
        sides.append(np.stack(kept))
    images = sides[0].shape[1]
    if len(pair.seeds) < 2:
        return replace(pair, images=images, new_images_reason="one seed")
    return replace(pair, images=images, new_images=interval_for_new_images(*sides))


def _by_flips(
    pairs: Sequence[Comparison], found: Mapping[str, Seeds[Training]]
) -> dict[tuple[str, str], float]:
    """Return the p of joint sign flips by pair, over the seeds that all pairs have."""
    paired = [pair for pair in pairs if pair.difference is not None]
    common = set.intersection(*(set(pair.seeds) for pair in paired)) if paired else set()
    if len(common) < 2:
        return {}
    rows = []
    for pair in paired:
        mine, theirs = found[pair.block].accuracies, found[pair.other].accuracies
        rows.append([mine[seed] - theirs[seed] for seed in sorted(common)])
    adjusted = max_t(rows)
    return {(pair.block, pair.other): float(p) for pair, p in zip(paired, adjusted, strict=True)}


def _with_costs(pair: Comparison, records: Sequence[Record]) -> Comparison:
    costs = {name: _stage_cost(name, pair.position, records) for name in (pair.block, pair.other)}
    latency = _latency_ratio(pair, records)
    return replace(pair, cost=costs[pair.block], other_cost=costs[pair.other], latency=latency)


def _stage_cost(block: str, position: Position, records: Sequence[Record]) -> FormCost | None:
    """Return the deploy form's cost of the stage at that position, of the newest record."""
    for record in reversed(records):
        if isinstance(record, CostRecord) and (record.block, record.status) == (block, "ok"):
            # Of a network that is the same at several positions each has a stage of its own.
            stage = record.stage_at(position)
            if stage is not None:
                return stage.deploy
    return None


def _latency_ratio(pair: Comparison, records: Sequence[Record]) -> LatencyRatio | None:
    """Return the ratio of the newest session that timed both, to one baseline."""
    return _ratio_within(pair, _sessions(records, pair.position))


def _sessions(records: Iterable[Record], position: Position) -> list[dict[str, LatencyRecord]]:
    """Return what was timed together there, by block, the newest session last."""
    sessions: dict[tuple[object, ...], dict[str, LatencyRecord]] = {}
    for record in records:
        if not isinstance(record, LatencyRecord) or record.status != "ok":
            continue
        # A baseline that is the same network at several positions is timed at one of them.
        if position in record.positions or record.verdict == "baseline":
            key = (record.session, record.baseline, record.way)
            sessions.setdefault(key, {})[record.block] = record
    return list(sessions.values())


def _ratio_within(
    pair: Comparison, sessions: Sequence[Mapping[str, LatencyRecord]]
) -> LatencyRatio | None:
    for timed in reversed(sessions):
        found = _quotient(pair, timed.get(pair.block), timed.get(pair.other))
        if found is not None:
            return found
    return None


def _quotient(
    pair: Comparison, mine: LatencyRecord | None, theirs: LatencyRecord | None
) -> LatencyRatio | None:
    # Of a baseline the other's record is enough: where it is the same network at several
    # positions, the store keeps the baseline's own of one session alone.
    if mine is not None and mine.baseline == pair.other and mine.ratio is not None:
        return LatencyRatio(
            ratio=mine.ratio, interval=mine.ratio_interval, verdict=mine.verdict or "undecided"
        )
    if (
        theirs is not None
        and theirs.baseline == pair.block
        and theirs.ratio
        and theirs.ratio_interval
    ):
        low, high = theirs.ratio_interval
        turned = {"faster": "slower", "slower": "faster"}
        verdict = theirs.verdict or "undecided"
        return LatencyRatio(
            ratio=1 / theirs.ratio,
            interval=(1 / high, 1 / low),
            verdict=turned.get(verdict, verdict),
        )
    if mine is None or theirs is None or mine.ratio is None or theirs.ratio is None:
        return None
    ratio = mine.ratio / theirs.ratio
    if mine.ratio_interval is None or theirs.ratio_interval is None:
        return LatencyRatio(ratio=ratio, interval=None, verdict="undecided")
    # Wider than it need be: both ends at once are rarer than one.
    (low, high), (their_low, their_high) = mine.ratio_interval, theirs.ratio_interval
    interval = low / their_high, high / their_low
    doubted = mine.verdict_reason or theirs.verdict_reason
    verdict = "undecided" if doubted else verdict_of(interval)
    return LatencyRatio(ratio=ratio, interval=interval, verdict=verdict)
