"""What the page of charts draws: fronts of accuracy against each cost, and where blocks belong."""

from __future__ import annotations

from collections.abc import Sequence

from blockzoo.analysis.fronts import Candidate, CostName, Front, fronts
from blockzoo.analysis.specialisation import Specialisation, specialisations
from blockzoo.report.site.wording import file_stem, plain
from blockzoo.results.records import Record
from blockzoo.results.store.database import Store
from blockzoo.stats.accuracy import shown_interval

COSTS: dict[CostName, str] = {
    "latency": "Latency ratio",
    "macs": "MACs of the network",
    "params": "Parameters of the network",
}
"""The costs that may be chosen, with the titles of their axes."""


def charts_data(source: Store | Sequence[Record]) -> dict[str, object]:
    """Return all fronts and all gains by position, as the page of charts holds them.

    >>> charts_data([])
    {'costs': {'latency': 'Latency ratio', 'macs': 'MACs of the network', \
'params': 'Parameters of the network'}, 'fronts': [], 'positions': []}
    """
    drawn = [front for cost in COSTS for front in fronts(source, cost) if front.candidates]
    return {
        "costs": COSTS,
        "fronts": [_front(front) for front in drawn],
        "positions": [_by_position(each) for each in specialisations(source)],
    }


def _title(names: tuple[str, str], variant: str) -> str:
    title = plain(" · ".join(names))
    return f"{title} ({plain(variant)})" if variant else title


def _front(front: Front) -> dict[str, object]:
    return {
        "group": _title(front.terms.title, front.variant),
        "cost": front.cost,
        "timed": plain(front.timed),
        "left_out": [plain(name) for name in front.left_out],
        "points": [_point(each) for each in front.candidates],
    }


def _point(candidate: Candidate) -> dict[str, object]:
    low, high = shown_interval(candidate.accuracy) or (None, None)
    cost_low, cost_high = candidate.cost.interval or (None, None)
    return {
        "block": plain(candidate.block),
        "page": f"blocks/{file_stem(candidate.block)}.html",
        "position": candidate.place,
        "accuracy": candidate.accuracy.mean,
        "low": low,
        "high": high,
        "cost": candidate.cost.value,
        "cost_low": cost_low,
        "cost_high": cost_high,
        "on_front": candidate.on_front,
        "probability": candidate.probability if candidate.judged else None,
    }


def _by_position(found: Specialisation) -> dict[str, object]:
    return {
        "group": _title(found.terms.title, found.variant),
        "block": plain(found.block),
        "page": f"blocks/{file_stem(found.block)}.html",
        "verdict": found.verdict,
        "reason": plain(found.reason),
        "gains": {
            str(gain.position): {
                "mean": gain.over_context.mean,
                "low": gain.over_context.low,
                "high": gain.over_context.high,
                "n": gain.over_context.n,
            }
            for gain in found.gains
            if gain.over_context is not None
        },
    }
