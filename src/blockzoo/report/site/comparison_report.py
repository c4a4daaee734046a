"""One comparison as one page to send to a colleague: it loads nothing and needs no other file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from blockzoo.analysis.compare import Comparison
from blockzoo.analysis.curves import Curve, learning_curves
from blockzoo.analysis.groups import Terms
from blockzoo.report.site.block_pages import curve_figure, is_drawn
from blockzoo.report.site.differences import differences_drawing
from blockzoo.report.site.pages import filled
from blockzoo.report.site.parts import Cell, Fact, Figure, Table, facts_of, facts_of_json
from blockzoo.report.site.protocol_pages import terms_facts
from blockzoo.report.site.wording import (
    NOTHING,
    count_text,
    date_text,
    interval_text,
    number_text,
    plain,
)
from blockzoo.report.tables.comparison import (
    detail_lines,
    disagreement_lines,
    exploratory_line,
    sentence,
    undecided_lines,
)
from blockzoo.report.tables.summary import seeds_text
from blockzoo.results.environment import PASSING
from blockzoo.results.records import TrainingRecord


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The pairs of one track, and by what they were judged.

    Attributes:
        pairs: At all positions.
        margin: Within which blocks count as equal, a fraction of 1.
        level: Of the family, 0.05 without looks.
        track: To which budget blocks were fitted, in words; "" for none.
    """

    pairs: tuple[Comparison, ...]
    margin: float
    level: float
    track: str = ""


@dataclass(frozen=True, kw_only=True)
class _Section:
    """What the page shows of one track."""

    title: str
    sentences: tuple[str, ...]
    drawing: Markup
    table: Table
    lines: tuple[str, ...]


def comparison_report(compared: Sequence[Compared], trainings: Iterable[TrainingRecord]) -> str:
    """Return the page of a comparison.

    Args:
        compared: One for each track, of one block against the same others.
        trainings: At least those that were compared; others are passed over.

    Example:
        >>> comparison_report([], []).startswith("<!doctype html>")
        True
    """
    pairs = [pair for each in compared for pair in each.pairs]
    # By name in their order, the one that is compared first.
    first, *others = dict.fromkeys(plain(n) for p in pairs for n in (p.block, p.other)) or [""]
    kept = [record for record in trainings if _is_compared(record, pairs)]
    dated = date_text(max(each.created_at for each in kept)) if kept else ""
    terms = list(dict.fromkeys(pair.terms for pair in pairs if pair.terms is not None))
    values = {
        "title": f"{first} against {', '.join(others)}" if others else first,
        "dated": dated,
        "sections": [_section(each) for each in compared],
        "figures": tuple(_figures(kept, pairs)),
        "settings": [(plain(" · ".join(each.title)), _setting(each, kept)) for each in terms],
        "environments": _environments(kept),
    }
    return filled("report.html", values)


def _is_compared(record: TrainingRecord, pairs: Iterable[Comparison]) -> bool:
    terms = Terms.of(record)
    return any(
        pair.terms == terms
        and record.block in (pair.block, pair.other)
        and record.seed in pair.seeds
        for pair in pairs
    )


def _section(compared: Compared) -> _Section:
    pairs = compared.pairs
    lines = (
        *detail_lines(pairs),
        *undecided_lines(pairs),
        *disagreement_lines(pairs, compared.level),
        exploratory_line(pairs),
    )
    return _Section(
        title=plain(compared.track),
        sentences=tuple(plain(sentence(pair, compared.margin)) for pair in pairs),
        drawing=differences_drawing(pairs, compared.margin),
        table=_table(compared),
        lines=tuple(plain(line) for line in lines if line),
    )


def _table(compared: Compared) -> Table:
    return Table(
        caption="Verdicts",
        columns=(
            *(("position", "text"), ("block", "text"), ("against", "text"), ("verdict", "text")),
            *(("points", "number"), ("these images", "number"), ("new images", "number")),
            *(("p, Holm", "number"), ("seeds", "number"), ("latency ratio", "number")),
            *(("95%", "number"), ("MACs", "number"), ("of the other", "number")),
            *(("parameters", "number"), ("of the other", "number")),
        ),
        rows=tuple(map(_row, compared.pairs)),
        below="Points are hundredths of accuracy, block less other, mean over paired seeds on the "
        f"test set, with 95% intervals. Judged at {compared.level:g} over the family. Equal: the "
        f"90% interval lies within {100 * compared.margin:g} points. A latency ratio below 1 is "
        "faster. MACs and parameters are those of the stage that holds the block, deploy form.",
    )


def _row(pair: Comparison) -> tuple[Cell, ...]:
    found, latency = pair.difference, pair.latency
    low, high = (found.low, found.high) if found else (None, None)
    new_low, new_high = pair.new_images or (None, None)
    ratio_low, ratio_high = (latency.interval if latency else None) or (None, None)
    mine, theirs = pair.cost, pair.other_cost
    return (
        str(pair.position),
        plain(pair.block),
        plain(pair.other),
        pair.verdict + (" (exploratory)" if pair.exploratory else ""),
        NOTHING if found is None else f"{100 * found.mean:+.2f}",
        interval_text(low, high, scale=100),
        interval_text(new_low, new_high, scale=100),
        NOTHING if pair.p_holm is None else f"{pair.p_holm:.2g}",
        seeds_text(len(pair.seeds), pair.failed),
        NOTHING if latency is None else f"{number_text(latency.ratio, 3)} {latency.verdict}",
        interval_text(ratio_low, ratio_high, digits=3),
        count_text(mine.macs if mine else None),
        count_text(theirs.macs if theirs else None),
        count_text(mine.params_total if mine else None),
        count_text(theirs.params_total if theirs else None),
    )


def _figures(kept: Sequence[TrainingRecord], pairs: Iterable[Comparison]) -> Iterator[Figure]:
    """Yield a drawing of what each block learned, in the order of the pairs."""
    wanted = [(p.terms, p.position, name) for p in pairs for name in (p.block, p.other)]
    curves = {(c.terms, c.position, c.block): c for c in learning_curves(kept, "val_accuracy")}
    for key in dict.fromkeys(wanted):
        if key in curves and is_drawn(curves[key]):
            yield curve_figure(curves[key], _curve_text(curves[key]))


def _curve_text(curve: Curve) -> str:
    return f"{curve.block} at {curve.position}, {' · '.join(curve.terms.title)}"


def _setting(terms: Terms, kept: Iterable[TrainingRecord]) -> tuple[Fact, ...]:
    """Return what was held fixed, with the recipe of its trainings."""
    recipe = next((each.recipe for each in kept if Terms.of(each) == terms), {})
    return terms_facts(terms) + facts_of(recipe.items())


def _environments(kept: Iterable[TrainingRecord]) -> list[tuple[Fact, ...]]:
    texts = (each.environment.model_dump_json(exclude={*PASSING}) for each in kept)
    return [facts_of_json(text) for text in dict.fromkeys(texts)]
