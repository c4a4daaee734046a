"""Write the page of findings: what the published bundles say, computed from them.

    python scripts/make_findings.py [BUNDLE...] [--check]

Bundles are those of docs/board/bundles by default. Without any there is no page. With --check
nothing is written; the exit status is 1 if the page is not current.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from blockzoo.analysis.compare import Comparison, compare_records
from blockzoo.analysis.ranks import Ranking, agreements, rankings
from blockzoo.analysis.specialisation import specialisations
from blockzoo.core.position import POSITIONS, Position
from blockzoo.core.run_way import RunWay
from blockzoo.results.records import AnyRecord, LatencyRecord, TrainingRecord
from blockzoo.results.store.database import Store
from blockzoo.results.submissions.bundle import read_bundle
from blockzoo.stats.ranks import Agreement, rank_agreement

ROOT = Path(__file__).resolve().parent.parent
PAGE, BUNDLES = ROOT / "docs" / "findings.md", ROOT / "docs/board/bundles"
PROTOCOL = "lite"
LEAST_RANKED = 5
"""Blocks that two backends must both have timed before their rankings are held together."""
CLAIMS = {
    "MobileOneBlock": "exceptional",
    "InvertedResidual": "consistently high",
    "RepMixer": "limited",
    "DYMicroBlock": "limited",
}
"""What the early version's README concluded of its blocks of these names."""
_TURNED = {"better": "worse", "worse": "better"}
_HEAD = """\
<!-- Written by scripts/make_findings.py; do not edit. -->
# Findings

What the published trainings and timings say. Every number is computed from the bundles in
`docs/board/bundles`: `python scripts/make_findings.py`. Import them to ask more:
"""
_IMPORT = """
```sh
blockzoo results import docs/board/bundles/*.bundle.zip --into published
```
"""
_FAMILY = """\
Test accuracy of each block less that of {context}, in points, with its 95% interval over seeds that
both have. The family of a position is all its blocks, Holm's rule over them.
`blockzoo compare BLOCK {context} --protocol {protocol} --results published`."""
_RANKS = """\
Mean test accuracy in per cent with its 95% interval, and the ranks that are possible: no rank
depends on chance at 95%. `blockzoo ranks published`."""
_LIMITS = """\
* The protocol is a reduced one. How far its ranks agree with those of trainings of five times its
  epochs is measured apart.
* Intervals are of seeds, on these test images. For new images they are wider.
* A verdict holds for a pair at a position. Nothing is averaged over positions."""


def main() -> None:
    """Write or check the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("bundles", type=Path, nargs="*")
    parser.add_argument("--check", action="store_true", help="only say whether it is current")
    options = parser.parse_args()
    bundles = options.bundles or sorted(BUNDLES.glob("*.bundle.zip"))
    page = findings(records_of(bundles)) if bundles else None
    if not options.check:
        if page is None:
            sys.exit(f"there is no bundle in {BUNDLES}, so there is no page")
        PAGE.write_text(page, encoding="utf-8")
    elif page != (PAGE.read_text(encoding="utf-8") if PAGE.exists() else None):
        sys.exit(f"{PAGE.name} is not current; run python scripts/make_findings.py")


def records_of(bundles: Iterable[Path]) -> list[AnyRecord]:
    """Return all records of the bundles, of each trial one."""
    with tempfile.TemporaryDirectory() as folder, Store(folder, create=True) as store:
        for bundle in bundles:
            read_bundle(bundle, store)
        return store.records()


def findings(records: Sequence[AnyRecord], protocol: str = PROTOCOL) -> str:
    """Return the page of those records."""
    trainings = [
        each for each in records if isinstance(each, TrainingRecord) and each.protocol == protocol
    ]
    latencies = [each for each in records if isinstance(each, LatencyRecord)]
    lines = [_HEAD, *_IMPORT.splitlines()[1:], "", *_extent(records, trainings)]
    if trainings:
        lines += _of_trainings(trainings)
    if latencies:
        lines += _of_latencies(latencies)
    return "\n".join([*lines, "## What this cannot say", "", _LIMITS]) + "\n"


def _extent(records: Sequence[AnyRecord], trainings: Sequence[TrainingRecord]) -> Iterator[str]:
    yield from ("## What was run", "")
    for kind in ("cost", "latency", "training"):
        of_kind = [each for each in records if each.kind == kind]
        failed = sum(each.status == "failed" for each in of_kind)
        yield f"* {len(of_kind)} records of kind {kind}, of which {failed} failed."
    seeds: dict[tuple[str, Position], set[int]] = defaultdict(set)
    for each in (t for t in trainings if t.status == "ok"):
        for position in each.positions:
            seeds[each.block, position].add(each.seed)
    if counts := [len(found) for found in seeds.values()]:
        yield (
            f"* {len(counts)} placements trained by `{trainings[0].protocol}`, each with "
            f"{_range(counts)} seeds."
        )
    processors = {each.environment.named_processor for each in records}
    yield f"* On {', '.join(sorted(processors))}."
    yield ""


def _range(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return f"{low}" if low == high else f"{low} to {high}"


def _of_trainings(trainings: Sequence[TrainingRecord]) -> Iterator[str]:
    context = next(each.scaffold.context for each in trainings if each.scaffold)
    others = sorted({each.block for each in trainings} - {context})
    pairs = compare_records(trainings, context, others, POSITIONS) if others else []
    yield from (f"## Against {context}", "")
    yield _FAMILY.format(context=context, protocol=trainings[0].protocol)
    yield ""
    yield from _against(pairs, others)
    yield from _early_conclusions(pairs)
    found = rankings(trainings)
    yield from ("## Ranks", "", _RANKS, "")
    for ranking in found:
        yield from _ranking(ranking)
    yield from _positions(found)
    yield from _specialists(trainings)


def _against(pairs: Sequence[Comparison], others: Sequence[str]) -> Iterator[str]:
    cells = {(pair.other, pair.position): _cell(pair) for pair in pairs}
    yield f"| block | {' | '.join(map(str, POSITIONS))} |"
    yield f"|---|{'---|' * len(POSITIONS)}"
    for block in others:
        yield f"| `{block}` | {' | '.join(cells[block, p] for p in POSITIONS)} |"
    yield ""


def _cell(pair: Comparison) -> str:
    """Return the difference turned round: the other block less the context."""
    found = pair.difference
    if found is None:
        return pair.reason or "-"
    points = _points(-found.mean)
    if found.low is not None and found.high is not None:
        points += f" [{_points(-found.high)}, {_points(-found.low)}]"
    return f"{points}, {_TURNED.get(pair.verdict, pair.verdict)}, n = {len(pair.seeds)}"


def _points(fraction: float) -> str:
    # Zero added after rounding, for else there would be a minus before a nought.
    return f"{round(100 * fraction, 2) + 0.0:+.2f}"


def _early_conclusions(pairs: Sequence[Comparison]) -> Iterator[str]:
    yield from ("## The early version's conclusions", "")
    yield (
        "It concluded from one training each, on the images that also chose the checkpoint, of "
        "blocks that were mostly not what their names say. Here are faithful ones, against the "
        "context block."
    )
    yield ""
    for block, claim in CLAIMS.items():
        mine = [pair for pair in pairs if pair.other == block]
        if mine:
            cells = "; ".join(f"{pair.position} {_cell(pair)}" for pair in mine)
            yield f"* `{block}`, called {claim}: {cells}."
    yield ""


def _ranking(ranking: Ranking) -> Iterator[str]:
    variant = f" ({ranking.variant})" if ranking.variant else ""
    yield from (f"### {ranking.position}{variant}", "", "| block | accuracy | rank | n |")
    yield "|---|---|---|---:|"
    for row in ranking.rows:
        mean, low, high = row.accuracy.mean, row.accuracy.low, row.accuracy.high
        interval = "" if low is None or high is None else f" ({100 * low:.1f} to {100 * high:.1f})"
        ranks = _range([row.best, row.worst])
        yield f"| `{row.block}` | {100 * mean:.1f}{interval} | {ranks} | {row.accuracy.n} |"
    yield ""


def _positions(found: Sequence[Ranking]) -> Iterator[str]:
    yield from ("## Does the position matter?", "")
    for each in agreements(found):
        if each.by == "position":
            pair = f"{each.first.position} and {each.second.position}"
            yield f"* Rankings {pair}: {_tau(each.agreement)}."
    yield ""


def _tau(agreement: Agreement) -> str:
    low, high = agreement.low, agreement.high
    interval = "" if low is None or high is None else f" [{low:.2f}, {high:.2f}]"
    return f"Kendall's tau {agreement.tau:.2f}{interval}, n = {agreement.n} blocks"


def _specialists(trainings: Sequence[TrainingRecord]) -> Iterator[str]:
    found = specialisations(trainings)
    if found:
        yield "| block | early less late, points | verdict |"
        yield "|---|---|---|"
        for each in found:
            index = each.index
            points = "-" if index is None else _points(index.mean)
            if index is not None and index.low is not None and index.high is not None:
                points += f" [{_points(index.low)}, {_points(index.high)}]"
            yield f"| `{each.block}` | {points} | {each.verdict} |"
        yield from ("", "`blockzoo specialisation published`.", "")


def _of_latencies(latencies: Sequence[LatencyRecord]) -> Iterator[str]:
    """Yield how far ways of running rank blocks alike, by the ratios of each to its baseline."""
    yield from ("## Does the backend change ranks?", "")
    # Latencies of two processors are never held together.
    ratios: dict[tuple[Position, str], dict[RunWay, dict[str, float]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    for each in latencies:
        if each.status == "ok" and each.ratio is not None:
            for position in each.positions:
                place = position, each.environment.named_processor
                ratios[place][each.way][each.block] = each.ratio
    for (position, processor), by_way in sorted(ratios.items()):
        first, *others = by_way.items()
        for other in others:
            yield from _same_ranks(f"{position}, {processor}", first, other)
    yield ""


def _same_ranks(
    place: str,
    first: tuple[RunWay, dict[str, float]],
    second: tuple[RunWay, dict[str, float]],
) -> Iterator[str]:
    both = sorted(first[1].keys() & second[1].keys())
    if len(both) < LEAST_RANKED:
        return
    agreement = rank_agreement(*([ratios[name] for name in both] for _, ratios in (first, second)))
    names = [way.label(["backend", "precision"]) for way, _ in (first, second)]
    yield f"* {place}, {names[0]} against {names[1]}: {_tau(agreement)}."


if __name__ == "__main__":
    main()
