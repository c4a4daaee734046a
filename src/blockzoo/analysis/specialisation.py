"""Where in a network a block belongs: its gain by position, and whether it depends on that.

Gain is over the context block, which stands in the other stages, and over Identity, which stands
for no block at all. The contrast of two positions is taken within a block and a seed, where all
that the context and the seed bring along cancels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

from blockzoo.analysis.groups import Terms
from blockzoo.analysis.trainings import by_seeds
from blockzoo.core.position import POSITIONS, Position
from blockzoo.core.ranges import MARGIN as MARGIN_RANGE
from blockzoo.results.records import CostRecord, LatencyRecord, Record, TrainingRecord
from blockzoo.stats.accuracy import ALPHA, LEAST_SEEDS, MARGIN, accuracy_verdict
from blockzoo.stats.families import holm
from blockzoo.stats.paired_seeds import PairedDifference, paired_difference

IDENTITY = "Identity"
SpecialistVerdict = Literal[
    "early specialist", "mid specialist", "late specialist", "generalist", "undecided"
]
_BySeed = Mapping[int, float]


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
    contrasts of its table. A generalist is equal at all three within the margin.
    """

    block: str
    terms: Terms
    gains: tuple[Gain, ...]
    contrasts: tuple[Contrast, ...] = ()
    verdict: SpecialistVerdict = "undecided"
    reason: str = ""

    @property
    def index(self) -> PairedDifference | None:
        """The contrast of early and late: above zero a block belongs early."""
        ends = (Position.EARLY, Position.LATE)
        return next((c.difference for c in self.contrasts if (c.first, c.second) == ends), None)


def specialisations(
    records: Iterable[Record], *, margin: float = MARGIN, alpha: float = ALPHA
) -> list[Specialisation]:
    """Return every block that was trained at two positions or more, by terms and name.

    Raises `InputError` for a margin that is none.
    """
    MARGIN_RANGE.checked("margin", margin)
    kept = list(records)
    places: dict[Terms, dict[str, dict[Position, _BySeed]]] = defaultdict(lambda: defaultdict(dict))
    for seeds in by_seeds(r for r in kept if isinstance(r, TrainingRecord)):
        accuracies = {r.seed: r.test_accuracy for r in seeds.records if r.test_accuracy is not None}
        for position in seeds.records[0].positions:
            places[seeds.terms][seeds.records[0].block][position] = accuracies
    costs = _stage_macs(kept)
    found = []
    for terms, blocks in places.items():
        each = [
            _of_block(name, terms, blocks, costs, kept)
            for name, by_position in blocks.items()
            # The context block makes one network, whatever position it is said to be at.
            if len(by_position) > 1 and name != terms.context
        ]
        found += _judged(each, margin, alpha)
    return sorted(found, key=lambda each: (each.terms, each.block))


def _of_block(
    name: str,
    terms: Terms,
    blocks: Mapping[str, Mapping[Position, _BySeed]],
    costs: Mapping[tuple[str, Position], int],
    records: Sequence[Record],
) -> Specialisation:
    own = blocks[name]
    gains = []
    for position in POSITIONS:
        if position not in own:
            continue
        over_context, over_identity = (
            _paired(own[position], blocks.get(other, {}).get(position, {}))
            if other != name
            else None
            for other in (terms.context, IDENTITY)
        )
        gain = Gain(position=position, over_context=over_context, over_identity=over_identity)
        gains.append(_per_cost(gain, name, costs.get((name, position)), records))
    contrasts = [
        Contrast(first=first, second=second, difference=difference)
        for first, second in combinations([p for p in POSITIONS if p in own], 2)
        if (difference := _paired(own[first], own[second])) is not None
    ]
    return Specialisation(block=name, terms=terms, gains=tuple(gains), contrasts=tuple(contrasts))


def _paired(first: _BySeed, second: _BySeed) -> PairedDifference | None:
    both = sorted(first.keys() & second.keys())
    if not both:
        return None
    return paired_difference([first[seed] for seed in both], [second[seed] for seed in both])


def _per_cost(gain: Gain, block: str, macs: int | None, records: Sequence[Record]) -> Gain:
    if gain.over_identity is None:
        return gain
    points, longer_ms = gain.over_identity.mean, _longer_ms(block, gain.position, records)
    return replace(
        gain,
        per_100_mmacs=points / (macs / 1e8) if macs else None,
        per_ms=points / longer_ms if longer_ms is not None and longer_ms > 0 else None,
    )


def _stage_macs(records: Iterable[Record]) -> dict[tuple[str, Position], int]:
    return {
        (record.block, position): stage.deploy.macs
        for record in records
        if isinstance(record, CostRecord)
        for position in record.positions
        if (stage := record.stage_at(position)) is not None
    }


def _longer_ms(block: str, position: Position, records: Sequence[Record]) -> float | None:
    """Return by how much the block takes longer than Identity, of the newest session of both."""
    sessions: dict[tuple[object, ...], dict[str, float]] = defaultdict(dict)
    for record in records:
        if (
            isinstance(record, LatencyRecord)
            and record.block in (block, IDENTITY)
            and position in record.positions
            and record.median_ms is not None
        ):
            sessions[record.session, record.way][record.block] = record.median_ms
    both = [timed for timed in sessions.values() if len(timed) == 2]
    return both[-1][block] - both[-1][IDENTITY] if both else None


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
