"""What the page of charts draws: fronts of accuracy against each cost, and where blocks belong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from blockzoo.analysis.errors import ErrorMap, error_maps
from blockzoo.analysis.fronts import Candidate, CostName, Front, fronts_of
from blockzoo.analysis.specialisation import Specialisation, specialisations_of
from blockzoo.analysis.trainings import Seeds, Trained
from blockzoo.report.site.wording import file_stem, plain
from blockzoo.results.records import Record
from blockzoo.results.table.join import measured_beside
from blockzoo.stats.accuracy import shown_interval

COSTS: dict[CostName, str] = {
    "latency": "Latency ratio",
    "macs": "MACs of the network",
    "params": "Parameters of the network",
}
"""The costs that may be chosen, with the titles of their axes."""


def charts_data(
    every: Sequence[Seeds[Trained]], beside: Iterable[Record], kept: Iterable[Trained] = ()
) -> dict[str, object]:
    """Return fronts, gains by position and maps of errors, as the page of charts holds them.

    Args:
        every: All trainings by block, place and terms.
        beside: All costs and latencies.
        kept: All trainings, with their answers.

    Example:
        >>> found = charts_data([], [])
        >>> list(found), found["costs"]["macs"]
        (['costs', 'fronts', 'positions', 'errors'], 'MACs of the network')
    """
    find = measured_beside(beside)
    drawn = [front for cost in COSTS for front in fronts_of(every, find, cost) if front.candidates]
    return {
        "costs": COSTS,
        "fronts": [_front(front) for front in drawn],
        "positions": [_by_position(each) for each in specialisations_of(every, find)],
        "errors": [_errors(each) for each in error_maps(kept)],
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
        "band": [[each.cost, *map(_rounded, each[1:])] for each in front.attained],
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


def _rounded(value: float | None) -> float | None:
    """Return a fraction as exactly as a drawing can show it."""
    return None if value is None else round(value, 5)


def _errors(found: ErrorMap) -> dict[str, object]:
    """Return a map, its cells row by row from each block on: kappa, least, most and pairs."""
    pairs = found.cells.values()
    return {
        "group": _title(found.terms.title, found.variant),
        "position": str(found.position),
        "blocks": [plain(name) for name in found.blocks],
        "pages": [f"blocks/{file_stem(name)}.html" for name in found.blocks],
        "accuracies": [_rounded(each) for each in found.accuracies],
        "images": found.images,
        "kappa": [None if each is None else round(each.kappa, 3) for each in pairs],
        "least": [None if each is None else round(each.least, 3) for each in pairs],
        "most": [None if each is None else round(each.most, 3) for each in pairs],
        "pairs": [0 if each is None else each.pairs for each in pairs],
    }
