"""The page of one protocol: on what terms its blocks were trained, and how they rank."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from blockzoo.analysis.groups import Terms
from blockzoo.analysis.ranks import Ranked, Ranking, RankingsAgreement
from blockzoo.analysis.standings import Standing
from blockzoo.report.site.block_pages import rank_text
from blockzoo.report.site.columns import group_title
from blockzoo.report.site.parts import Cell, Fact, Link, Table, facts_of
from blockzoo.report.site.wording import file_stem, interval_text, percent_text, plain
from blockzoo.report.tables.ranks import agreement_lines, tie_letter
from blockzoo.report.tables.summary import seeds_text
from blockzoo.results.ranges import RecipeValues
from blockzoo.stats.accuracy import LEAST_SEEDS, shown_interval

_SILENT = ("dataset", "protocol", "identity", "micro_batch_size")
_WORDS = {"num_blocks": "depth", "base_channels": "width", "out_dim": "classes"}
"""What terms are called whose columns have the early version's names."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Trainings of the protocol on the same terms: what was held fixed, and the rankings."""

    title: str
    terms: tuple[Fact, ...]
    recipe: tuple[Fact, ...]
    rankings: tuple[Table, ...]


@dataclass(frozen=True, kw_only=True)
class ProtocolPage:
    """All that the page of a protocol shows."""

    name: str
    settings: tuple[Setting, ...]
    agreements: tuple[str, ...]
    path: str


def protocol_pages(
    standings: Iterable[Standing],
    rankings: Sequence[Ranking],
    agreements: Sequence[RankingsAgreement],
    recipes: Mapping[Terms, RecipeValues],
) -> list[ProtocolPage]:
    """Return a page for each protocol, by name.

    Args:
        standings: Of all blocks.
        rankings: All there are.
        agreements: Of them.
        recipes: Of the trainings, by their terms.

    Example:
        >>> protocol_pages([], [], [], {})
        []
    """
    by_protocol: dict[str, dict[Terms, list[Standing]]] = {}
    for each in standings:
        if each.terms is not None:
            of_protocol = by_protocol.setdefault(each.terms.protocol, {})
            of_protocol.setdefault(each.terms, []).append(each)
    return [
        ProtocolPage(
            name=plain(name),
            settings=tuple(
                _setting(terms, of_terms, rankings, recipes)
                for terms, of_terms in sorted(by_protocol[name].items())
            ),
            agreements=tuple(
                plain(line)
                for line in agreement_lines([each for each in agreements if _is_of(each, name)])
            ),
            path=f"protocols/{file_stem(name)}.html",
        )
        for name in sorted(by_protocol)
    ]


def _is_of(agreement: RankingsAgreement, protocol: str) -> bool:
    return protocol in (agreement.first.terms.protocol, agreement.second.terms.protocol)


def _setting(
    terms: Terms,
    standings: Sequence[Standing],
    rankings: Iterable[Ranking],
    recipes: Mapping[Terms, RecipeValues],
) -> Setting:
    return Setting(
        title=plain(group_title(standings[0])),
        terms=facts_of(
            (_WORDS.get(name, name).replace("_", " "), value)
            for name, value in terms._asdict().items()
            if name not in _SILENT
        ),
        recipe=facts_of(recipes.get(terms, {}).items()),
        rankings=tuple(_ranking_table(each) for each in rankings if each.terms == terms),
    )


def _ranking_table(ranking: Ranking) -> Table:
    pairs = len(ranking.rows) * (len(ranking.rows) - 1) // 2
    return Table(
        caption=f"Ranks at {ranking.position}",
        columns=(
            *(("ranks", "number"), ("block", "text"), ("accuracy, %", "number")),
            *(("95% interval", "number"), ("seeds", "number"), ("tie group", "text")),
        ),
        rows=tuple(map(_ranking_row, ranking.rows)),
        below=f"Paired t, Holm over {pairs} pairs. Of blocks that share a letter none is surely "
        f"better. With fewer than {LEAST_SEEDS} seeds nothing is concluded.",
    )


def _ranking_row(row: Ranked) -> tuple[Cell, ...]:
    low, high = shown_interval(row.accuracy) or (None, None)
    return (
        rank_text(row.best, row.worst),
        Link(plain(row.block), f"../blocks/{file_stem(row.block)}.html"),
        percent_text(row.accuracy.mean),
        interval_text(low, high, scale=100),
        seeds_text(row.accuracy.n, row.failed),
        " ".join(map(tie_letter, row.groups)),
    )
