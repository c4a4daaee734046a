"""How long a sweep still takes, from what its trials took and what the store says of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from blockzoo.core.position import Position
from blockzoo.results.records import CostRecord, Record

if TYPE_CHECKING:
    from blockzoo.experiments.sweep.plan import Trial

NOT_KNOWN = "time left known after a first training"
_Group = tuple[str, tuple[str, ...], Position]
"""Kind, blocks (of latencies: none) and position; trainings of one group differ by their seed."""


class TimeLeft:
    """Estimates the time left; each kind of trial has an estimate of its own.

    A trial takes what others of its block took at its position, or else at others, or else in the
    store (`by_block`, seconds of a training). Where none is known it takes what others of its kind
    took, in proportion to the MACs of a training step where these were counted. Before a first
    training has ended nothing is said of trainings: their guess would be off many times over.

    >>> from blockzoo.experiments.sweep.plan import Trial
    >>> trial = Trial(kind="training", blocks=("A",), position=Position.MID, trial_ids=("x",),
    ...               expected_s=10.0)
    >>> left = TimeLeft()
    >>> left.plan([trial] * 3)
    >>> str(left)
    'time left known after a first training'
    >>> left.finished(trial, 20.0)
    >>> str(left)
    '0:40 left'
    """

    def __init__(self, by_block: Mapping[str, float] | None = None, *, at_once: int = 1) -> None:
        self._by_block = dict(by_block or {})
        self._at_once = at_once
        self._taken: defaultdict[_Group, list[float]] = defaultdict(list)
        self._macs: dict[tuple[str, Position], int] = {}
        self._left: Counter[_Group] = Counter()
        self._expected: dict[_Group, float] = {}
        self._first_training_s: float | None = None

    def plan(self, trials: Iterable[Trial]) -> None:
        """Take in what is left to run; what is known of earlier trials stays known."""
        self._left.clear()
        for trial in trials:
            self._left[_group(trial)] += 1
            self._expected[_group(trial)] = trial.expected_s

    def finished(self, trial: Trial, seconds: float, records: Iterable[Record] = ()) -> None:
        """Learn that `trial` took `seconds`, and what its records say of the work of others."""
        self._left[_group(trial)] -= 1
        self._taken[_group(trial)].append(seconds)
        for record in records:
            if isinstance(record, CostRecord) and record.training_macs:
                for position in record.positions:
                    self._macs[record.block, position] = record.training_macs

    def gone(self, trial: Trial) -> None:
        """Learn that `trial` is not to be run here any more."""
        self._left[_group(trial)] -= 1

    def training_will_take(self, seconds: float) -> None:
        """Learn what the training in hand will take by its epochs so far."""
        self._first_training_s = seconds

    def of(self, trial: Trial) -> float | None:
        """Return the estimate for one trial that was planned, None where nothing is known."""
        return self._of_group(_group(trial))

    @property
    def seconds(self) -> float | None:
        """The estimate, None where nothing is known of a kind that is left."""
        total = 0.0
        for group, count in self._left.items():
            each = self._of_group(group) if count else 0.0
            if each is None:
                return None
            total += count * each / (self._at_once if group[0] == "training" else 1)
        return total

    def _of_group(self, group: _Group) -> float | None:
        kind, blocks, _ = group
        own = self._taken.get(group) or [
            seconds
            for (other, names, _), taken in self._taken.items()
            if (other, names) == (kind, blocks)
            for seconds in taken
        ]
        if own:
            return sum(own) / len(own)
        if kind == "training" and blocks[0] in self._by_block:
            return self._by_block[blocks[0]]
        return self._of_kind(group)

    def _of_kind(self, group: _Group) -> float | None:
        """Return what all others of the kind make likely, so that no single one makes it jump."""
        kind = group[0]
        taken = {other: each for other, each in self._taken.items() if other[0] == kind}
        weights = self._weights([group, *taken])
        work = sum(weights[other] * len(each) for other, each in taken.items())
        if work:
            return weights[group] * sum(map(sum, taken.values())) / work
        if kind == "training":
            known = [*self._by_block.values()]
            return sum(known) / len(known) if known else self._first_training_s
        return self._expected[group]

    def _weights(self, groups: Iterable[_Group]) -> dict[_Group, float]:
        of = list(groups)
        trainings = all(group[0] == "training" for group in of)
        macs = [
            self._macs.get((blocks[0], where)) if trainings else None for _, blocks, where in of
        ]
        known = {group: float(each) for group, each in zip(of, macs, strict=True) if each}
        return known if len(known) == len(of) else {group: self._expected[group] for group in of}

    def __str__(self) -> str:
        seconds = self.seconds
        return NOT_KNOWN if seconds is None else f"{_clock(seconds)} left"


def _group(trial: Trial) -> _Group:
    # What others have timed meanwhile leaves a session of latencies, so its blocks may be fewer.
    blocks = () if trial.kind == "latency" else trial.blocks
    return trial.kind, blocks, trial.position


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
