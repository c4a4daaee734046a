"""The site written: every page, and the files for whoever wants the records themselves.

No page says when it was built. The same records give the same bytes, in whichever folder.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from blockzoo.analysis.compare import compare_with_context
from blockzoo.analysis.curves import Curve, accuracy_curves
from blockzoo.analysis.ranks import Ranking, agreements, rankings_of
from blockzoo.analysis.standings import Standing, standings
from blockzoo.analysis.trainings import Seeds, Trained, by_seeds
from blockzoo.core.errors import InputError
from blockzoo.report.site.block_pages import block_page
from blockzoo.report.site.charts import charts_data
from blockzoo.report.site.columns import board_data, board_rows
from blockzoo.report.site.comparing import comparing_data
from blockzoo.report.site.corrections import Correction, count_of
from blockzoo.report.site.device_pages import DevicePage, device_pages
from blockzoo.report.site.downloads import Downloads, write_downloads
from blockzoo.report.site.embedding import embedded
from blockzoo.report.site.facts import block_facts
from blockzoo.report.site.folder import LISTING, files_of_site, list_files, write_page
from blockzoo.report.site.gathering import Gathered
from blockzoo.report.site.pages import PLOT_STYLE, filled
from blockzoo.report.site.parts import Link, Table
from blockzoo.report.site.protocol_pages import ProtocolPage, protocol_pages
from blockzoo.report.site.wording import NOTHING, date_text, file_stem, plain
from blockzoo.results.store.database import Store
from blockzoo.results.submissions.board import Submission
from blockzoo.results.submissions.verification import Tier
from blockzoo.stats.accuracy import ALPHA, LEAST_SEEDS
from blockzoo.stats.verdicts import SAME_WITHIN


@dataclass(frozen=True, kw_only=True)
class Board:
    """What of a store all pages are made of."""

    gathered: Gathered
    standings: tuple[Standing, ...]
    rankings: tuple[Ranking, ...]
    every: tuple[Seeds[Trained], ...]
    log: tuple[Correction, ...] = ()
    submissions: tuple[Submission, ...] = ()

    @property
    def dated(self) -> str:
        """The day of the newest record."""
        return date_text(max(each.newest_at for each in self.standings))

    @cached_property
    def by_block(self) -> dict[str, list[Standing]]:
        """The standings of each block, by name."""
        found: dict[str, list[Standing]] = defaultdict(list)
        for each in self.standings:
            found[each.block].append(each)
        return dict(sorted(found.items()))

    @property
    def tiers(self) -> dict[str, Tier]:
        """How far each record is to be trusted, by trial id; of those that came in bundles."""
        return {trial: each.tier for each in self.submissions for trial in each.trial_ids}

    @cached_property
    def curves(self) -> list[Curve]:
        """What each block learned, epoch by epoch."""
        return accuracy_curves(self.every)


def board_of(
    gathered: Gathered,
    log: Sequence[Correction] = (),
    submissions: Sequence[Submission] = (),
) -> Board:
    """Return what all pages are made of, of a store whose trainings were read.

    Args:
        gathered: Of the store.
        log: Of corrections, the oldest first.
        submissions: The bundles that the store was made of, if it was.

    Example:
        >>> with Store("results", create=True) as store:
        ...     board_of(Gathered(store)).standings
        ()
    """
    rankings = rankings_of(gathered.kept)
    return Board(
        gathered=gathered,
        standings=tuple(standings(gathered.kept, gathered.beside, rankings)),
        rankings=tuple(rankings),
        every=tuple(by_seeds(gathered.kept)),
        log=tuple(log),
        submissions=tuple(submissions),
    )


def build_site(
    store: Store,
    folder: str | Path,
    *,
    log: Sequence[Correction] = (),
    submissions: Sequence[Submission] = (),
    bundle: bool | None = None,
) -> list[Path]:
    """Write the site of a store and return its files.

    A site that is there already is replaced: files that the new one does not have are removed.

    Args:
        store: What is shown.
        folder: Where to; empty, missing, or a site.
        log: Of corrections, the oldest first.
        submissions: The bundles that the store was made of, if it was.
        bundle: Whether all records go along in one file; by default where they are not too many.

    Raises:
        InputError: For a folder that holds something else, and a store without records.
        ResultsError: When a file cannot be written.

    Example:
        >>> build_site.__name__
        'build_site'
    """
    target = Path(folder)
    before = files_of_site(target)
    if store.is_empty:
        raise InputError(f"{store.location} holds no records; a site takes some")
    # First, so that a folder whose writing was stopped is known to be a site.
    list_files(target, before)
    gathered = Gathered(store)
    downloads = write_downloads(store, gathered, target / "downloads", bundle=bundle)
    made = [*downloads.files]
    for path, text in _pages(board_of(gathered, log, submissions), downloads):
        write_page(target / path, text)
        made.append(path)
    for path in sorted(before - {*made}):
        (target / path).unlink(missing_ok=True)
    list_files(target, made)
    return [target / path for path in (*made, LISTING)]


def _pages(board: Board, downloads: Downloads) -> Iterator[tuple[str, str]]:
    common = {"dated": board.dated}
    protocols, devices = _protocols(board), device_pages(board.standings)
    yield "index.html", _index(board, downloads, protocols, devices)
    yield "charts.html", _charts(board)
    yield "compare.html", _compare(board)
    yield "methods.html", filled("methods.html", {**common, **_LIMITS, "title": "Methods"})
    changes = {
        **common,
        "title": "What changed",
        "listed": _log_table(board),
        "submissions": _submissions_table(board.submissions),
    }
    yield "changes.html", filled("changes.html", changes)
    blocks = _blocks_table(board)
    yield "blocks.html", filled("blocks.html", {**common, "title": "Blocks", "listed": blocks})
    yield from _block_pages(board)
    for protocol in protocols:
        values = {**common, "title": f"Protocol {protocol.name}", "page": protocol}
        yield protocol.path, filled("protocol.html", values, root="../")
    for device in devices:
        values = {**common, "title": device.name, "page": device}
        yield device.path, filled("device.html", values, root="../")


def _index(
    board: Board,
    downloads: Downloads,
    protocols: Sequence[ProtocolPage],
    devices: Sequence[DevicePage],
) -> str:
    values = {
        "dated": board.dated,
        "title": "Blocks compared",
        "data": embedded(board_data(board_rows(board.standings, board.log, board.tiers))),
        "blocks": len(board.by_block),
        "protocols": protocols,
        "devices": devices,
        "downloads": downloads,
    }
    return filled("index.html", values, script="board.js")


def _charts(board: Board) -> str:
    gathered = board.gathered
    data = charts_data(board.every, gathered.beside, gathered.kept)
    values = {"dated": board.dated, "title": "Charts", "data": embedded(data)}
    return filled("charts.html", values, script="charts.js", styles=(PLOT_STYLE,))


def _compare(board: Board) -> str:
    pairs = compare_with_context(board.every, board.gathered.beside)
    data = comparing_data(board.standings, pairs, board.curves, board.log)
    values = {"dated": board.dated, "title": "Compare", "data": embedded(data)}
    return filled("compare.html", values, script="compare.js")


def _block_pages(board: Board) -> Iterator[tuple[str, str]]:
    curves: dict[str, list[Curve]] = defaultdict(list)
    for curve in board.curves:
        curves[curve.block].append(curve)
    for name, of_block in board.by_block.items():
        page = block_page(
            name,
            of_block,
            noted=sorted(board.gathered.noted[name]),
            curves=curves[name],
            robust=board.gathered.robust,
            log=board.log,
        )
        values = {"dated": board.dated, "title": page.name, "page": page}
        yield page.path, filled("block.html", values, root="../")


_LIMITS = {"least_seeds": LEAST_SEEDS, "alpha": ALPHA, "same_percent": f"{100 * SAME_WITHIN:g}"}
"""What the page of methods says of when something is concluded."""


def _protocols(board: Board) -> list[ProtocolPage]:
    agreeing = agreements(board.rankings)
    return protocol_pages(board.standings, board.rankings, agreeing, board.gathered.recipes)


def _blocks_table(board: Board) -> Table:
    rows = []
    for name, of_block in board.by_block.items():
        known = block_facts(name)
        rows.append(
            (
                Link(plain(name), f"blocks/{file_stem(name)}.html"),
                plain(known.family) if known else NOTHING,
                str(known.year) if known and known.year else NOTHING,
                plain(known.licence) if known else NOTHING,
                str(len(of_block)),
                date_text(max(each.newest_at for each in of_block)),
            )
        )
    return Table(
        caption="All blocks of this board",
        columns=(
            *(("block", "text"), ("family", "text"), ("year", "number")),
            *(("licence", "text"), ("results", "number"), ("newest", "text")),
        ),
        rows=tuple(rows),
    )


def _submissions_table(submissions: Sequence[Submission]) -> Table:
    return Table(
        caption="Submissions",
        columns=(
            *(("bundle", "text"), ("by", "text"), ("what", "text"), ("records", "number")),
            *(("trust", "text"), ("checked last", "text")),
        ),
        rows=tuple(
            (
                plain(each.name),
                plain(each.origin.by) or NOTHING,
                plain(each.origin.about) or NOTHING,
                f"{len(each.trial_ids):,}",
                each.tier.value,
                each.verified_at or NOTHING,
            )
            for each in submissions
        ),
    )


def _log_table(board: Board) -> Table:
    return Table(
        caption="Corrections, the newest first",
        columns=(
            *(("date", "text"), ("mark", "text"), ("results", "number")),
            *(("of", "text"), ("reason", "text")),
        ),
        rows=tuple(
            (
                entry.date.isoformat(),
                entry.mark,
                str(count_of(entry, board.standings)),
                plain(", ".join(f"{name} {value}" for name, value in entry.of.items())),
                plain(entry.reason),
            )
            for entry in reversed(board.log)
        ),
    )
