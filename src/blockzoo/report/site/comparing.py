"""What the page that sets blocks side by side holds: each block's numbers, and verdicts of pairs.

Verdicts are made here, never in the page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from blockzoo.analysis.compare import Comparison
from blockzoo.analysis.curves import Curve
from blockzoo.analysis.groups import Terms
from blockzoo.analysis.standings import Standing
from blockzoo.core.position import Position
from blockzoo.report.site.columns import group_title, ties_text
from blockzoo.report.site.corrections import Correction, mark_of
from blockzoo.report.site.wording import file_stem, plain
from blockzoo.results.records import LatencyRecord
from blockzoo.results.table.values import hardware

MOST_POINTS = 40
"""Of a curve: more than a drawing of this size can show."""
_Place = tuple[Terms, Position]


def comparing_data(
    standings: Iterable[Standing],
    comparisons: Iterable[Comparison],
    curves: Iterable[Curve],
    log: Sequence[Correction] = (),
) -> dict[str, object]:
    """Return what the page holds: entries of blocks by group and position, and pairs of them.

    Args:
        standings: Of all blocks.
        comparisons: Of pairs, the family of each position and what is exploratory.
        curves: Of validation accuracy.
        log: Of corrections, the oldest first.

    Example:
        >>> comparing_data([], [], [])
        {'positions': ['early', 'mid', 'late'], 'groups': [], 'entries': [], 'pairs': []}
    """
    trained = [each for each in standings if each.terms is not None]
    titles = {each.terms: plain(group_title(each)) for each in trained}
    drawn = {(each.terms, each.position, each.block): each for each in curves}
    return {
        "positions": [str(position) for position in Position],
        "groups": list(dict.fromkeys(titles.values())),
        "entries": [
            _entry(each, drawn.get((each.terms, each.position, each.block)), titles, log)
            for each in trained
            if each.terms is not None
        ],
        "pairs": [_pair(each, titles) for each in comparisons if each.terms in titles],
    }


def _entry(
    standing: Standing,
    curve: Curve | None,
    titles: Mapping[Terms | None, str],
    log: Sequence[Correction],
) -> dict[str, object]:
    accuracy, ranked, cost = standing.accuracy, standing.ranked, standing.cost
    stage = None if cost is None else cost.stage_at(standing.position)
    new_low, new_high = standing.new_images or (None, None)
    deploy = None if cost is None else cost.deploy
    memory = None if cost is None else cost.memory_inference
    mark, why = mark_of(log, standing, None)
    return {
        "group": titles[standing.terms],
        "block": plain(standing.block),
        "page": f"blocks/{file_stem(standing.block)}.html",
        "position": str(standing.position),
        "accuracy": accuracy.mean if accuracy else None,
        "low": accuracy.low if accuracy else None,
        "high": accuracy.high if accuracy else None,
        "new_low": new_low,
        "new_high": new_high,
        "ranks": None if ranked is None else [ranked.best, ranked.worst],
        "ties": ties_text(standing),
        "seeds": len(standing.seeds),
        "failed": standing.failed,
        "stage_macs": None if stage is None else stage.deploy.macs,
        "stage_params": None if stage is None else stage.deploy.params_total,
        "macs": None if deploy is None else deploy.macs,
        "params": None if deploy is None else deploy.params_total,
        "memory_mb": None if memory is None else memory.peak_bytes / 1e6,
        "latencies": [_latency(each) for each in standing.latencies],
        "mark": "" if mark == "clean" else f"{mark}: {plain(why)}",
        "curve": [] if curve is None else _points(curve),
    }


def _latency(latency: LatencyRecord) -> dict[str, object]:
    low, high = latency.ratio_interval or (None, None)
    return {
        "way": plain(latency.way.label()),
        "device": plain(hardware(latency, latency.device)),
        "ratio": latency.ratio,
        "low": low,
        "high": high,
        "baseline": plain(latency.baseline or ""),
        "verdict": latency.verdict if latency.status == "ok" else "failed",
        "ms": latency.median_ms,
    }


def _points(curve: Curve) -> list[list[float | None]]:
    """Return epoch, mean and interval in percent, of so many epochs as can be told apart."""
    count = len(curve.points)
    step = -(-count // MOST_POINTS)
    # The last always: it is what the curve comes to.
    kept = [*curve.points[:-1:step], curve.points[-1]] if count else []
    return [
        [point.x, *(_percent(end) for end in (point.y.mean, point.y.low, point.y.high))]
        for point in kept
    ]


def _percent(value: float | None) -> float | None:
    return None if value is None else round(100 * min(max(value, 0.0), 1.0), 2)


def _pair(pair: Comparison, titles: Mapping[Terms | None, str]) -> dict[str, object]:
    found, latency, judged = pair.difference, pair.latency, pair.judgement
    new_low, new_high = pair.new_images or (None, None)
    low, high = (latency.interval if latency else None) or (None, None)
    improvement = pair.improvement
    return {
        "group": titles[pair.terms],
        "position": str(pair.position),
        "block": plain(pair.block),
        "other": plain(pair.other),
        "verdict": pair.verdict,
        "seeds": len(pair.seeds),
        "mean": found.mean if found else None,
        "low": found.low if found else None,
        "high": found.high if found else None,
        "new_low": new_low,
        "new_high": new_high,
        "p": pair.p_holm,
        "comparisons": pair.comparisons,
        "detectable": judged.detectable if judged else None,
        "seeds_needed": judged.seeds_needed if judged else None,
        "improvement": improvement.probability if improvement else None,
        "ratio": latency.ratio if latency else None,
        "ratio_low": low,
        "ratio_high": high,
        "ratio_verdict": latency.verdict if latency else None,
        "reason": plain(pair.reason),
        "exploratory": plain(pair.exploratory),
    }
