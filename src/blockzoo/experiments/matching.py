"""Matched budgets: a block's capacity is fitted until its stage costs what another's does.

What is fitted is the deploy form of the stage under test, position by position, by the knob that
the block declares. The target is a share of what the stage of the context block costs there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from blockzoo.blocks import BlockSpec, get_block
from blockzoo.core.errors import BlockError
from blockzoo.core.position import Position
from blockzoo.experiments.part_costs import stage_cost
from blockzoo.results.budgets import Match
from blockzoo.scaffold.net import ScaffoldConfig
from blockzoo.scaffold.placement import Placement

TOLERANCE = 0.03
"""How far from the target a stage may be; channels are whole, and some come in steps of 8."""
_STEPS = 20
"""Values tried within the octave; costs that grow evenly are met by the third."""
_NEAR = 0.002
"""So near the target no nearer value is looked for."""
DEEPEST = 100
MOST = 256.0
"""Knobs are tried from its inverse to it."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A block at one position, fitted: what it is then called, and what its stage costs.

    `fitted` is the block's own name where it needs no fitting. `knob` is "depth" for one that
    declares none, the last resort; a stage whose knob ends above the target has fewer blocks too,
    which `fitted` says. `cost` is in MACs or parameters; a latency is told as a share of
    what the stage of the context block takes, and `half_width` is that of its 95% interval.
    `failure`: why no cost is known, "" where one is.
    """

    block: str
    position: Position
    fitted: str
    knob: str
    cost: float
    target: float
    half_width: float = 0.0
    failure: str = ""

    @property
    def off(self) -> float:
        """How far the cost is from the target, as a share of it; negative below."""
        return self.cost / self.target - 1

    @property
    def reached(self) -> bool:
        """Whether the cost is near enough, with all of its interval."""
        return not self.failure and abs(self.off) + self._off_half_width <= TOLERANCE

    @property
    def reason(self) -> str:
        """Why the target is not reached, "" where it is.

        >>> named = {"block": "A", "position": Position.MID, "fitted": "A[depth=1]"}
        >>> Fit(**named, knob="depth", cost=9, target=6).reason
        'A cannot reach the target; nearest is A[depth=1], +50.0%'
        >>> Fit(**named, knob="depth", cost=9, target=6, half_width=0.6).reason
        'A cannot reach the target; nearest is A[depth=1], +50.0%'
        """
        if self.reached:
            return ""
        if self.failure:
            return f"{self.block} cannot be fitted: {self.failure}"
        if self.is_uncertain:
            return (
                f"{self.fitted} is off by {self.off:+.1%} +-{self._off_half_width:.1%}, and all of "
                f"that must be within {TOLERANCE:.0%}, so give latencies more processes, or a "
                f"larger budget"
            )
        return f"{self.block} cannot reach the target; nearest is {self.fitted}, {self.off:+.1%}"

    @property
    def is_uncertain(self) -> bool:
        """Whether longer timing could still tell that the target is reached."""
        # What is far off stays so however long it is timed.
        near = abs(self.off) - self._off_half_width <= TOLERANCE
        return not self.failure and not self.reached and near

    @property
    def _off_half_width(self) -> float:
        return self.half_width / self.target


# Of a block, all that is asked is asked several times: for the plan, the trials and the answer.
@lru_cache(maxsize=4096)
def fit(placement: Placement, match: Match) -> Fit:
    """Return the block fitted so that its stage costs what `match` asks for.

    Raises what `stage_cost` raises, for the block as published and for the context block.

    >>> found = fit(Placement.of("InvertedResidual", "mid"), Match(cost="macs"))
    >>> found.reached, found.fitted.partition("=")[0]
    (True, 'InvertedResidual[expansion')
    """
    if placement.elsewhere is not None:
        task = (placement.spec.name, placement.position, placement.scaffold, match)
        return placement.elsewhere(_fit_there, task, kind="cost")
    scaffold, position = placement.scaffold, placement.position

    def cost(spec: BlockSpec) -> int:
        return match.of(stage_cost(spec, position, scaffold).deploy)

    spec = placement.spec
    target = match.budget * cost(get_block(scaffold.context))
    published = Fit(
        block=spec.name,
        position=position,
        fitted=spec.name,
        knob=spec.knob or "depth",
        cost=cost(spec),
        target=target,
    )
    if published.off == 0:
        return published
    found = published
    for tried in _tries(spec, scaffold.depth, cost, target):
        fitted = (replace(published, fitted=name, cost=its) for name, its in tried)
        found = min((found, *fitted), key=lambda each: abs(each.off))
        if found.reached or found.off < 0:
            break
    return found


def _tries(
    spec: BlockSpec, depth: int, cost: Callable[[BlockSpec], int], target: float
) -> Iterator[Iterator[tuple[str, int]]]:
    """Yield ways to the target, each as names and costs; what comes later is for what costs more.

    The knob, then the knob in ever shallower stages; depth alone where there is no knob.
    """
    if not spec.knob:
        yield _stacked(spec, cost, target)
        return
    yield _turned(spec, cost, target)
    for fewer in range(depth - 1, 0, -1):
        yield _turned(spec.at_depth(fewer), cost, target)


def _stacked(
    spec: BlockSpec, cost: Callable[[BlockSpec], int], target: float
) -> Iterator[tuple[str, int]]:
    """Yield name and cost of the block in stages of about as many as the target asks for."""
    one, two = (cost(spec.at_depth(blocks)) for blocks in (1, 2))
    more = (target - one) / (two - one) if two > one else 0
    for blocks in (1 + math.floor(more), 1 + math.ceil(more)):
        deep = spec.at_depth(min(max(blocks, 1), DEEPEST))
        yield deep.name, cost(deep)


def _turned(
    spec: BlockSpec, cost: Callable[[BlockSpec], int], target: float
) -> Iterator[tuple[str, int]]:
    """Yield name and cost of the block at ever nearer values of its knob, which costs follow."""
    costs: dict[float, int] = {}

    def is_below(value: float) -> bool:
        turned = spec.at_capacity(value)
        try:
            costs[value] = cost(turned)
        except BlockError:  # too narrow to be built, or too wide
            return value < 1
        return costs[value] < target

    low = high = 1.0
    while high < MOST and is_below(high):
        low, high = high, 2 * high
    while low > 1 / MOST and not is_below(low):
        low, high = low / 2, low
    for step in range(_STEPS):
        if any(abs(its / target - 1) <= _NEAR for its in costs.values()):
            break
        middle = _between(low, high, costs, target) if step % 3 else (low + high) / 2
        low, high = (middle, high) if is_below(middle) else (low, middle)
    for value, its in costs.items():
        yield spec.at_capacity(value).name, its


def _between(low: float, high: float, costs: Mapping[float, int], target: float) -> float:
    """Return where the target is if costs grow evenly; the middle where a cost is not known."""
    below, above = costs.get(low), costs.get(high)
    if below is None or above is None or below == above:
        return (low + high) / 2
    return low + (high - low) * (target - below) / (above - below)


def _fit_there(
    task: tuple[str, Position, ScaffoldConfig, Match], _: Callable[[object], None]
) -> Fit:
    block, position, scaffold, match = task
    return fit(Placement.of(block, position, scaffold), match)
