"""Where every block stands: what the board says of each at each position, on the same terms.

Failures are there too: a block of which every seed failed, and one that was measured and never
trained. Nothing is averaged or ranked here but by `analysis/ranks.py` and `stats/`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from blockzoo.analysis.groups import Terms, differences
from blockzoo.analysis.ranks import Ranked, Ranking
from blockzoo.analysis.trainings import Trained, with_failed_seeds
from blockzoo.core.errors import ResultsError
from blockzoo.core.position import Position
from blockzoo.results.answers import unpacked
from blockzoo.results.records import CostRecord, LatencyRecord, Record, ScaffoldSettings
from blockzoo.results.table.join import Measured, Measurements
from blockzoo.stats.accuracy import LEAST_SEEDS, possible, shown_interval
from blockzoo.stats.new_images import interval_for_new_images
from blockzoo.stats.paired_seeds import MeanInterval, mean_interval

Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A block at a position on the same terms; accuracies are fractions of 1.

    Attributes:
        block: Its name.
        position: Which stage holds it.
        scaffold: What is around it.
        terms: On what terms it was trained; None where it was not.
        variant: What tells the terms from others of the same names, in words.
        accuracy: Mean over seeds of the test set, without interval below three seeds; None where no
            seed has one.
        new_images: 95% interval for other seeds and images; None where the answers were not kept.
        seeds: Those that went well.
        failed: Those that did not.
        reasons: Why they did not, each once.
        ranked: Rank interval and tie groups among the blocks of these terms; None for one alone.
        trials: Ids of all trainings that count.
        cost: Counted; None where it was not.
        latency: Of the usual way of running.
        latencies: One for each way of running, by time.
        newest_at: When the newest of all this was made.
    """

    block: str
    position: Position
    scaffold: ScaffoldSettings
    terms: Terms | None = None
    variant: str = ""
    accuracy: MeanInterval | None = None
    new_images: Interval | None = None
    seeds: tuple[int, ...] = ()
    failed: int = 0
    reasons: tuple[str, ...] = ()
    ranked: Ranked | None = None
    trials: tuple[str, ...] = ()
    cost: CostRecord | None = None
    latency: LatencyRecord | None = None
    latencies: tuple[LatencyRecord, ...] = ()
    newest_at: datetime


def standings(
    kept: Sequence[Trained], beside: Iterable[Record], ranked: Iterable[Ranking]
) -> list[Standing]:
    """Return where every block stands, by data set, protocol, block and position.

    Args:
        kept: Of all trainings, their answers to test images among it where they were kept.
        beside: All costs and latencies.
        ranked: What `rankings_of` returned for the trainings.

    Example:
        >>> standings([], [], [])
        []
    """
    measurements = Measurements(beside)
    ranks = {(r.terms, r.position, row.block): row for r in ranked for row in r.rows}
    groups = with_failed_seeds(kept)
    variants = differences([group[0].terms for group in groups])
    found = [
        _trained(group, position, variant, ranks, measurements)
        for group, variant in zip(groups, variants, strict=True)
        for position in _asked(group)
    ]
    return found + [_untrained(each) for each in measurements.untrained()]


def _asked(group: Sequence[Trained]) -> list[Position]:
    """Return the positions at which any of the trainings was asked for."""
    asked = {position for each in group for position in each.shown}
    return sorted(asked, key=lambda position: position.stage_index)


def _trained(
    group: Sequence[Trained],
    position: Position,
    variant: str,
    ranks: dict[tuple[Terms, Position, str], Ranked],
    measurements: Measurements,
) -> Standing:
    well = [each for each in group if each.status == "ok"]
    # Of one that failed early the structure may not be known.
    like = well[-1] if well else group[-1]
    measured = measurements.of(like, position)
    failures = (each for each in group if each.status != "ok")
    return Standing(
        block=like.block,
        position=position,
        scaffold=like.scaffold,
        terms=like.terms,
        variant=variant,
        accuracy=_accuracy(well),
        new_images=_new_images(well),
        seeds=tuple(each.seed for each in well),
        failed=len(group) - len(well),
        reasons=tuple(dict.fromkeys(f.reason or "no reason was kept" for f in failures)),
        ranked=ranks.get((like.terms, position, like.block)),
        trials=tuple(each.trial_id for each in group),
        cost=measured.cost,
        latency=measured.latency,
        latencies=measured.latencies,
        newest_at=max(_times(group) + _times(_records(measured))),
    )


def _untrained(measured: Measured) -> Standing:
    records = _records(measured)
    failed = [each for each in records if each.status == "failed"]
    return Standing(
        block=records[0].block,
        position=measured.position,
        scaffold=records[0].scaffold,
        reasons=tuple(dict.fromkeys(each.reason or "no reason was kept" for each in failed)),
        cost=measured.cost,
        latency=measured.latency,
        latencies=measured.latencies,
        newest_at=max(_times(records)),
    )


def _records(measured: Measured) -> list[Record]:
    return [*([] if measured.cost is None else [measured.cost]), *measured.latencies]


def _times(made: Sequence[Trained] | Sequence[Record]) -> list[datetime]:
    return [each.created_at for each in made]


def _accuracy(well: Sequence[Trained]) -> MeanInterval | None:
    values = [each.test_accuracy for each in well if each.test_accuracy is not None]
    if not values:
        return None
    found = mean_interval(values)
    low, high = shown_interval(found) or (None, None)
    return replace(found, low=low, high=high)


def _new_images(well: Sequence[Trained]) -> Interval | None:
    """Return the interval of the accuracy for new images; None where it cannot be had."""
    kept = [(t.test_correct, t.test_images) for t in well if t.test_correct and t.test_images]
    if len(kept) < max(len(well), LEAST_SEEDS) or len({images for _, images in kept}) > 1:
        return None
    try:
        right = np.stack([unpacked(text, images) for text, images in kept])
    except ResultsError:
        return None  # `blockzoo results verify` says which
    # The difference from a block that answers nothing rightly is the accuracy itself.
    found = interval_for_new_images(right, np.zeros_like(right))
    return None if found is None else possible(found)
