"""Where in a network a block belongs: its gain by position, and whether it depends on that.

Gain is over the context block, which stands in the other stages, and over Identity, which stands
for no block at all. The contrast of two positions is taken within a block and a seed, where all
that the context and the seed bring along cancels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

from blockzoo.analysis.groups import Terms, differences
from blockzoo.analysis.trainings import Seeds, Trained, by_seeds, trained
from blockzoo.core.position import POSITIONS, Position
from blockzoo.core.ranges import MARGIN as MARGIN_RANGE
from blockzoo.results.records import CostRecord, LatencyRecord, Record
from blockzoo.results.store.database import Store
from blockzoo.results.table.join import measured_beside, parted
from blockzoo.stats.accuracy import ALPHA, LEAST_SEEDS, MARGIN, accuracy_verdict
from blockzoo.stats.families import holm
from blockzoo.stats.paired_seeds import PairedDifference, paired_difference

IDENTITY = "Identity"
SpecialistVerdict = Literal[
    "early specialist", "mid specialist", "late specialist", "generalist", "undecided"
]
_Measured = Callable[[Trained, Position], tuple[CostRecord | None, LatencyRecord | None]]


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """Accuracy at the first position less that at the second, by seed; `p` is of its family."""

    first: Position
    second: Position
    difference: PairedDifference
    p: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Gain:
    """What a block brings at one position, in fractions of 1; None where it is not known.

    `per_100_mmacs`: gain over Identity for each 100 million MACs of its stage in deploy form.
    `per_ms`: the same for each millisecond that it takes longer than Identity, of one session.
    """

    position: Position
    over_context: PairedDifference | None = None
    over_identity: PairedDifference | None = None
    per_100_mmacs: float | None = None
    per_ms: float | None = None


@dataclass(frozen=True, kw_only=True)
class Specialisation:
    """A block by position. `index`: its contrast of early and late, None where it has none.

    A specialist is better at its position than at both others, by paired t with Holm over all
    contrasts of its table. A generalist is equal at all three within the margin. `variant` says in
    words what tells its terms from others of the same names.
    """

    block: str
    terms: Terms
    gains: tuple[Gain, ...]
    contrasts: tuple[Contrast, ...] = ()
    verdict: SpecialistVerdict = "undecided"
    reason: str = ""
    variant: str = ""

    @property
    def index(self) -> PairedDifference | None:
        """The contrast of early and late: above zero a block belongs early."""
        ends = (Position.EARLY, Position.LATE)
        return next((c.difference for c in self.contrasts if (c.first, c.second) == ends), None)


def specialisations(
    source: Store | Iterable[Record], *, margin: float = MARGIN, alpha: float = ALPHA
) -> list[Specialisation]:
    """Return every block that was trained at two positions or more, by terms and name.

    Raises `InputError` for a margin that is none.
    """
    beside, trainings = parted(source)
    every = by_seeds(trained(trainings))
    return specialisations_of(every, measured_beside(beside), margin=margin, alpha=alpha)


def specialisations_of(
    every: Iterable[Seeds[Trained]],
    measured: _Measured,
    *,
    margin: float = MARGIN,
    alpha: float = ALPHA,
) -> list[Specialisation]:
    """Return what `specialisations` does, of trainings that were read and what finds their costs.

    >>> specialisations_of([], measured_beside([]))
    []
    """
    MARGIN_RANGE.checked("margin", margin)
    places: dict[Terms, dict[str, dict[Position, Seeds[Trained]]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    for seeds in every:
        for position in seeds.records[0].positions:
            places[seeds.terms][seeds.records[0].block][position] = seeds
    found = []
    for terms, blocks in places.items():
        each = [
            _of_block(name, terms, blocks, measured)
            for name, by_position in blocks.items()
            # The context block makes one network, whatever position it is said to be at.
            if len(by_position) > 1 and name != terms.context
        ]
        found += _judged(each, margin, alpha)
    variants = differences([each.terms for each in found])
    told = [replace(e, variant=variant) for e, variant in zip(found, variants, strict=True)]
    return sorted(told, key=lambda each: (each.terms, each.block))


def _of_block(
    name: str,
    terms: Terms,
    blocks: Mapping[str, Mapping[Position, Seeds[Trained]]],
    measured: _Measured,
) -> Specialisation:
    own = blocks[name]
    gains = []
    for position in (p for p in POSITIONS if p in own):
        context, identity = (
            blocks.get(other, {}).get(position) if other != name else None
            for other in (terms.context, IDENTITY)
        )
        gain = Gain(
            position=position,
            over_context=_paired(own[position], context),
            over_identity=_paired(own[position], identity),
        )
        gains.append(_per_cost(gain, own[position], identity, measured))
    contrasts = [
        Contrast(first=first, second=second, difference=difference)
        for first, second in combinations([p for p in POSITIONS if p in own], 2)
        if (difference := _paired(own[first], own[second])) is not None
    ]
    return Specialisation(block=name, terms=terms, gains=tuple(gains), contrasts=tuple(contrasts))


def _paired(first: Seeds[Trained], second: Seeds[Trained] | None) -> PairedDifference | None:
    theirs = {} if second is None else second.accuracies
    both = sorted(first.accuracies.keys() & theirs.keys())
    if not both:
        return None
    return paired_difference([first.accuracies[s] for s in both], [theirs[s] for s in both])


def _per_cost(
    gain: Gain, own: Seeds[Trained], identity: Seeds[Trained] | None, measured: _Measured
) -> Gain:
    if gain.over_identity is None or identity is None:
        return gain
    cost, timed = measured(own.records[-1], gain.position)
    _, empty = measured(identity.records[-1], gain.position)
    stage = None if cost is None else cost.stage_at(gain.position)
    points, longer_ms = gain.over_identity.mean, _longer_ms(timed, empty)
    return replace(
        gain,
        per_100_mmacs=points / (stage.deploy.macs / 1e8) if stage and stage.deploy.macs else None,
        per_ms=points / longer_ms if longer_ms is not None and longer_ms > 0 else None,
    )


def _longer_ms(mine: LatencyRecord | None, theirs: LatencyRecord | None) -> float | None:
    """Return by how much the first takes longer; None but for two of one session and way."""
    if mine is None or theirs is None or mine.median_ms is None or theirs.median_ms is None:
        return None
    together = (mine.session, mine.way) == (theirs.session, theirs.way)
    return mine.median_ms - theirs.median_ms if together else None


def _judged(found: Sequence[Specialisation], margin: float, alpha: float) -> list[Specialisation]:
    adjusted = iter(holm([c.difference.p_value for each in found for c in each.contrasts]))
    judged = []
    for each in found:
        contrasts = tuple(replace(c, p=float(next(adjusted))) for c in each.contrasts)
        verdict, reason = _verdict(contrasts, margin, alpha)
        judged.append(replace(each, contrasts=contrasts, verdict=verdict, reason=reason))
    return judged


def _verdict(
    contrasts: Sequence[Contrast], margin: float, alpha: float
) -> tuple[SpecialistVerdict, str]:
    if len(contrasts) < len(POSITIONS):
        return "undecided", "it was not trained at all three positions with common seeds"
    if min(contrast.difference.n for contrast in contrasts) < LEAST_SEEDS:
        return "undecided", f"a verdict takes {LEAST_SEEDS} seeds"
    beats: dict[Position, int] = defaultdict(int)
    verdicts = [accuracy_verdict(c.difference, c.p, margin=margin, alpha=alpha) for c in contrasts]
    for contrast, verdict in zip(contrasts, verdicts, strict=True):
        if verdict in ("better", "worse"):
            beats[contrast.first if verdict == "better" else contrast.second] += 1
    names: dict[Position, SpecialistVerdict] = {
        Position.EARLY: "early specialist",
        Position.MID: "mid specialist",
        Position.LATE: "late specialist",
    }
    for position, count in beats.items():
        if count == len(POSITIONS) - 1:
            return names[position], ""
    if all(verdict == "equal" for verdict in verdicts):
        return "generalist", ""
    return "undecided", "no position is surely better than both others, nor are all surely equal"
