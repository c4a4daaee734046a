"""Matched latency: blocks are fitted by timing them, on one machine, and the fits are kept.

What is matched is what a stage takes: the latency of the scaffold less that of the scaffold with
`Identity` in its place, as a share of the same for the context block. Each is told by its ratio to
the scaffold of the context block, timed in one session. The search asks the store for each latency
before it is measured, so that the same command finds the same fits again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import hypot, inf

from blockzoo.core.errors import BlockError, InputError
from blockzoo.core.names import published_name, settings_of
from blockzoo.core.position import Position
from blockzoo.experiments.benchmark import benchmark_blocks
from blockzoo.experiments.matching import DEEPEST, MOST, TOLERANCE, Fit, fit
from blockzoo.experiments.sweep.plan import SweepRequest
from blockzoo.experiments.trial_identity import latency_trial_id, machine_digest
from blockzoo.results.budgets import Match
from blockzoo.results.records import LatencyRecord
from blockzoo.results.store.database import Store
from blockzoo.scaffold.placement import NO_CONTEXT

SESSIONS = 6
"""In which blocks are timed at a position, at most; latencies that grow evenly take three."""
_STRIDE = 2.0
"""By what factor a knob is turned at once where only one side of the target is known."""

OnSession = Callable[[Position, int, int], None]
"""Told the position, which session it is, from 1, and how many networks it times."""


@dataclass(frozen=True, kw_only=True)
class _Share:
    """What a stage takes, as a share of the context block's, and half its 95% interval."""

    of: float
    half_width: float


def fitted_by_timing(
    request: SweepRequest,
    store: Store,
    *,
    measure: bool = True,
    on_session: OnSession = lambda *_: None,
) -> SweepRequest:
    """Return the request with its blocks fitted; as it is where they are not matched by latency.

    What the store lacks is timed and kept there; without `measure` it is a request whose `timed`
    lacks a position where that would be needed. Raises `InputError` where the fits asked for are
    another machine's, and what `fit` and `benchmark_blocks` raise.

    >>> import tempfile
    >>> from blockzoo.experiments.protocol import get_protocol
    >>> request = SweepRequest(protocol=get_protocol("quick+macs"), device="cpu")
    >>> with tempfile.TemporaryDirectory() as folder, Store(folder, create=True) as store:
    ...     fitted_by_timing(request, store) is request
    True
    """
    match = request.protocol.match
    if match is None or is_fitted(request):
        return request
    here = machine_digest(request.latency)
    if match.machine not in ("", here):
        raise InputError(
            f"blocks are asked for as they were fitted on machine {match.machine}; this is {here}, "
            f"and what takes as long there need not here"
        )
    protocol = request.protocol.changed(match=replace(match, machine=here))
    timer = _Timer(request=request, store=store, measure=measure, on_session=on_session)
    timed = {
        position: fits
        for position in protocol.positions
        if (fits := _fits(request, position, match, timer)) is not None
    }
    return replace(request, protocol=protocol, timed=timed)


def is_fitted(request: SweepRequest) -> bool:
    """Tell whether no block is matched by latency, or all of them were timed at every position.

    >>> from blockzoo.experiments.protocol import get_protocol
    >>> is_fitted(SweepRequest(protocol=get_protocol("quick+latency"), device="cpu"))
    False
    """
    match = request.protocol.match
    if match is None or match.cost != "latency":
        return True
    timed = (request.timed.get(position, ()) for position in request.protocol.positions)
    return all({fit.block for fit in fits} >= {*request.protocol.blocks} for fits in timed)


def _fits(
    request: SweepRequest, position: Position, match: Match, timer: _Timer
) -> tuple[Fit, ...] | None:
    """Return the blocks fitted there; None where that takes timing and none is to be done."""
    searches = [_Search.of(request, block, position, match) for block in request.protocol.blocks]
    for session in range(1, SESSIONS + 1):
        names = dict.fromkeys(filter(None, (search.proposal for search in searches)))
        if not names:
            break
        shares = timer.shares(names, position, session)
        if shares is None:
            return None
        searches = [search.told(shares) for search in searches]
    return tuple(search.best for search in searches)


@dataclass(frozen=True, kw_only=True)
class _Timer:
    """Times stages of the request's scaffold, or finds in the store what they took."""

    request: SweepRequest
    store: Store
    measure: bool
    on_session: OnSession

    def shares(
        self, blocks: Iterable[str], position: Position, session: int
    ) -> dict[str, _Share | str] | None:
        """Return by name what each stage takes, or why that is not known; None if none is timed."""
        ids = {name: self._id(name, position) for name in (NO_CONTEXT, *blocks)}
        known = self.store.ok_ids(ids.values())
        lacking = [name for name, identity in ids.items() if identity not in known]
        failed: dict[str, str] = {}
        if lacking:
            if not self.measure:
                return None
            self.on_session(position, session, len(lacking))
            failed = self._time(lacking, position)
        records = {name: self._record(ids[name]) for name in ids if name not in failed}
        empty = records.pop(NO_CONTEXT, None)
        if empty is None:
            raise BlockError(f"the scaffold without a block cannot be timed: {failed[NO_CONTEXT]}")
        return {**failed, **{name: _share(each, empty) for name, each in records.items()}}

    def _id(self, block: str, position: Position) -> str:
        context = self.request.placement(self.request.scaffold.context, position)
        placement = self.request.placement(block, position)
        return latency_trial_id(placement, settings=self.request.latency, baseline=context)

    def _time(self, blocks: Sequence[str], position: Position) -> dict[str, str]:
        """Time the blocks and keep their latencies; returns why some failed."""
        records = benchmark_blocks(
            blocks,
            [position],
            config=self.request.scaffold,
            settings=self.request.latency,
            baseline=self.request.scaffold.context,
        )
        self.store.put_all(records)
        return {each.block: each.reason for each in records if each.reason}

    def _record(self, identity: str) -> LatencyRecord:
        record = self.store.get(identity)
        assert isinstance(record, LatencyRecord)
        return record


def _share(record: LatencyRecord, empty: LatencyRecord) -> _Share | str:
    """Return what a stage takes; both ratios are to the scaffold of the context block."""
    (ratio, error), (least, its_error) = _ratio(record), _ratio(empty)
    if least + its_error >= 1:
        return "the context block's own stage is not told from none; give latencies more processes"
    share = (ratio - least) / (1 - least)
    # The two are of different sessions; near the context block the second plays no part.
    half_width = hypot(error, (share - 1) * its_error) / (1 - least)
    return _Share(of=share, half_width=half_width)


def _ratio(record: LatencyRecord) -> tuple[float, float]:
    """Return the ratio to the baseline and half of its interval, infinite where it has none."""
    assert record.ratio is not None
    low, high = record.ratio_interval or (-inf, inf)
    return record.ratio, (high - low) / 2


@dataclass(frozen=True, kw_only=True)
class _Search:
    """One block's way to the target: what its stage took, or why not, by value of its knob.

    `published`: the block as it is, of which no cost is known but of the context block's. `depth`:
    of a stage that is shallower besides, for its knob ends above the target.
    """

    published: Fit
    start: float
    depth: float | None = None
    tried: Mapping[float, _Share | str] = field(default_factory=dict)

    @classmethod
    def of(cls, request: SweepRequest, block: str, position: Position, match: Match) -> _Search:
        """Begin where the MACs are matched; the name of the knob comes with it."""
        counted = fit(request.placement(block, position), Match(cost="macs", budget=match.budget))
        settings = settings_of(counted.fitted)
        plain = request.scaffold.depth if counted.knob == "depth" else 1.0
        is_there = block == request.scaffold.context and match.budget == 1
        published = replace(
            counted,
            fitted=block,
            cost=1.0 if is_there else 0.0,
            target=match.budget,
            failure="" if is_there else "it was not timed",
        )
        return cls(
            published=published,
            start=settings.pop(counted.knob, plain),
            depth=settings.get("depth"),
        )

    @property
    def proposal(self) -> str | None:
        """The name under which the block is to be timed next; None where the search has ended."""
        value = self._next()
        return None if value is None else self._name(value)

    def told(self, shares: Mapping[str, _Share | str]) -> _Search:
        """Return the search with what the session found of its proposal."""
        value = self._next()
        if value is None:
            return self
        return replace(self, tried={**self.tried, value: shares[self._name(value)]})

    @property
    def best(self) -> Fit:
        """The nearest of what was timed."""
        found = [
            replace(
                self.published,
                fitted=self._name(value),
                cost=share.of,
                half_width=share.half_width,
                failure="",
            )
            for value, share in self._timed.items()
        ]
        failures = [each for each in self.tried.values() if isinstance(each, str)]
        without = replace(self.published, failure=failures[-1]) if failures else self.published
        return min(found, key=lambda each: abs(each.off), default=without)

    @property
    def _timed(self) -> dict[float, _Share]:
        return {v: each for v, each in self.tried.items() if isinstance(each, _Share)}

    def _name(self, value: float) -> str:
        stacked = "" if self.depth is None else f"[depth={self.depth:.0f}]"
        block = published_name(self.published.block)
        return f"{block}[{self.published.knob}={value:.4g}]{stacked}"

    def _next(self) -> float | None:
        """Return the value to try next, None where it would bring nothing nearer."""
        target, timed = self.published.target, self._timed
        off = {value: each.of / target - 1 for value, each in timed.items()}
        if not self.published.failure or any(abs(each) <= TOLERANCE / 2 for each in off.values()):
            return None
        value = self._allowed(_even(off) or self._beyond())
        return None if value in self.tried else value

    def _beyond(self) -> float:
        """Return where to begin; what cannot be built is taken for too narrow."""
        return _STRIDE * max(self.tried) if self.tried else self.start

    def _allowed(self, value: float) -> float:
        if self.published.knob == "depth":
            return float(min(max(round(value), 1), DEEPEST))
        return float(f"{min(max(value, 1 / MOST), MOST):.4g}")


def _even(off: Mapping[float, float]) -> float | None:
    """Return where the target is if latencies grow evenly; None where nothing was timed.

    Between its neighbours, or beyond the two nearest values, a stride away at most.
    """
    below = sorted(value for value, each in off.items() if each < 0)
    above = sorted(value for value, each in off.items() if each >= 0)
    if below and above:
        between = (below[-1] + above[0]) / 2  # noise may have turned them round
        return _crossing(off, below[-1], above[0]) or between
    if not off:
        return None
    nearest = below[-1] if below else above[0]
    # Part of what a block takes does not follow its knob, so one value alone tells little.
    others = below[-2:-1] or above[1:2] or [0.0]
    least, most = nearest / _STRIDE, nearest * _STRIDE
    crossing = _crossing({0.0: -1.0, **off}, others[0], nearest)
    return min(max(crossing, least), most) if crossing is not None else (most if below else least)


def _crossing(off: Mapping[float, float], first: float, second: float) -> float | None:
    """Return where the line through both reaches the target; None where it falls, or is level."""
    rise = (off[second] - off[first]) / (second - first)
    return second - off[second] / rise if rise > 0 else None
