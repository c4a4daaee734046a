"""The site written: every page, and the files for whoever wants the records themselves.

No page says when it was built. The same records give the same bytes, in whichever folder.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from blockzoo.analysis.ranks import Ranking, agreements, rankings_of
from blockzoo.analysis.standings import Standing, standings
from blockzoo.analysis.trainings import trained
from blockzoo.core.errors import BundleError, InputError, ResultsError
from blockzoo.core.files import replacing
from blockzoo.report.site.block_pages import block_page
from blockzoo.report.site.charts import charts_data
from blockzoo.report.site.columns import board_data, board_rows, spec_of
from blockzoo.report.site.embedding import embedded
from blockzoo.report.site.pages import PLOT_STYLE, filled
from blockzoo.report.site.parts import Link, Table
from blockzoo.report.site.protocol_pages import ProtocolPage, protocol_pages
from blockzoo.report.site.wording import NOTHING, date_text, file_stem, plain
from blockzoo.results.records import TrainingRecord
from blockzoo.results.store.database import Store
from blockzoo.results.submissions.bundle import write_bundle
from blockzoo.results.table.csv import write_latencies_csv, write_results_csv
from blockzoo.stats.accuracy import ALPHA, LEAST_SEEDS
from blockzoo.stats.verdicts import SAME_WITHIN

LISTING = "pages.txt"
"""The file that says what a site holds, so that the next one there replaces it and nothing else."""
BUNDLE = "records.bundle.zip"


@dataclass(frozen=True, kw_only=True)
class Board:
    """What of a store all pages are made of."""

    standings: tuple[Standing, ...]
    rankings: tuple[Ranking, ...]

    @property
    def dated(self) -> str:
        """The day of the newest record."""
        return date_text(max(each.newest_at for each in self.standings))

    def by_block(self) -> dict[str, list[Standing]]:
        """Return the standings of each block, by name."""
        found: dict[str, list[Standing]] = defaultdict(list)
        for each in self.standings:
            found[each.block].append(each)
        return dict(sorted(found.items()))


def read_board(store: Store) -> Board:
    """Return what a store says of all blocks; raises `InputError` where it holds nothing to show.

    >>> with Store("results", create=True) as store:
    ...     read_board(store)
    Traceback (most recent call last):
    blockzoo.core.errors.InputError: results/blockzoo.db holds no records; a site takes some
    """
    beside = list(store.listed("cost", "latency"))
    # Whole, because the interval for new images needs the answers to them.
    whole = (r for r in store.each(kind="training") if isinstance(r, TrainingRecord))
    kept = list(trained(whole))
    rankings = rankings_of(kept)
    found = standings(kept, beside, rankings)
    if not found:
        raise InputError(f"{store.location} holds no records; a site takes some")
    return Board(standings=tuple(found), rankings=tuple(rankings))


def build_site(store: Store, folder: str | Path) -> list[Path]:
    """Write the site of a store and return its files.

    A site that is there already is replaced: files that the new one does not have are removed.

    Args:
        store: What is shown.
        folder: Where to; empty, missing, or a site.

    Raises:
        InputError: For a folder that holds something else, and a store without records.
        ResultsError: When a file cannot be written.

    Example:
        >>> build_site.__name__
        'build_site'
    """
    target = Path(folder)
    before = _files_of_site(target)
    board = read_board(store)
    # First, so that a folder whose writing was stopped is known to be a site.
    _list_files(target, before)
    downloads = _downloads(store, target / "downloads")
    made = [*downloads.files]
    for path, text in _pages(store, board, downloads):
        _write(target / path, text)
        made.append(path)
    for path in sorted(before - {*made}):
        (target / path).unlink(missing_ok=True)
    _list_files(target, made)
    return [target / path for path in (*made, LISTING)]


def check_folder(folder: str | Path) -> None:
    """Raise `InputError` for a folder that holds something else than a site.

    >>> check_folder("no-such-folder")
    """
    _files_of_site(Path(folder))


def _files_of_site(folder: Path) -> set[str]:
    """Return the files of the site that is there; raises `InputError` where there is another."""
    if not folder.exists():
        return set()
    if not folder.is_dir():
        raise InputError(f"--out is {folder}; that is no folder")
    listing = folder / LISTING
    if not listing.is_file():
        if any(folder.iterdir()):
            raise InputError(f"--out is {folder}; it holds files that are no site")
        return set()
    try:
        lines = listing.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ResultsError(f"{listing} cannot be read: {error}") from None
    # Whoever wrote the list, nothing outside the folder is removed.
    inside = (line for line in lines if _is_of_site(line))
    return set(inside)


_FOLDERS = {"": (".html",), "blocks": (".html",), "protocols": (".html",)}


def _is_of_site(line: str) -> bool:
    parent, _, name = line.rpartition("/")
    suffixes = _FOLDERS.get(parent, (".csv", ".zip") if parent == "downloads" else ())
    return name.endswith(suffixes) and not name.startswith(".") if suffixes else False


def _list_files(folder: Path, files: Iterable[str]) -> None:
    _write(folder / LISTING, "".join(f"{path}\n" for path in sorted(files)))


def _write(path: Path, text: str) -> None:
    with replacing(path) as scratch:
        scratch.write_bytes(text.encode("utf-8"))  # line ends are the same on every system


def _pages(store: Store, board: Board, downloads: Downloads) -> Iterator[tuple[str, str]]:
    common = {"dated": board.dated}
    protocols = _protocols(store, board)
    yield "methods.html", filled("methods.html", {**common, **_LIMITS, "title": "Methods"})
    yield (
        "index.html",
        filled(
            "index.html",
            {
                **common,
                "title": "Blocks compared",
                "data": embedded(board_data(board_rows(board.standings))),
                "blocks": len(board.by_block()),
                "protocols": protocols,
                "downloads": downloads,
            },
            script="board.js",
        ),
    )
    yield (
        "charts.html",
        filled(
            "charts.html",
            {**common, "title": "Charts", "data": embedded(charts_data(store))},
            script="charts.js",
            styles=(PLOT_STYLE,),
        ),
    )
    blocks = _blocks_table(board)
    yield "blocks.html", filled("blocks.html", {**common, "title": "Blocks", "listed": blocks})
    for name, of_block in board.by_block().items():
        page = block_page(name, of_block, store.records(block=name))
        values = {**common, "title": page.name, "page": page}
        yield page.path, filled("block.html", values, root="../")
    for protocol in protocols:
        values = {**common, "title": f"Protocol {protocol.name}", "page": protocol}
        yield protocol.path, filled("protocol.html", values, root="../")


_LIMITS = {"least_seeds": LEAST_SEEDS, "alpha": ALPHA, "same_percent": f"{100 * SAME_WITHIN:g}"}
"""What the page of methods says of when something is concluded."""


def _protocols(store: Store, board: Board) -> list[ProtocolPage]:
    return protocol_pages(
        board.standings, board.rankings, agreements(board.rankings), _examples(store, board)
    )


def _examples(store: Store, board: Board) -> Mapping[str, TrainingRecord]:
    """Return a training of each terms, by its id."""
    ids = {each.terms: each.trials[0] for each in board.standings if each.terms is not None}
    found = (store.get(trial) for trial in ids.values())
    return {r.trial_id: r for r in found if isinstance(r, TrainingRecord)}


def _blocks_table(board: Board) -> Table:
    rows = []
    for name, of_block in board.by_block().items():
        spec = spec_of(name)
        rows.append(
            (
                Link(plain(name), f"blocks/{file_stem(name)}.html"),
                plain(spec.family) if spec else NOTHING,
                str(spec.year) if spec and spec.year else NOTHING,
                plain(spec.licence) if spec else NOTHING,
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


@dataclass(frozen=True, kw_only=True)
class Downloads:
    """The files beside the pages that hold all records; `no_bundle` says why there is no bundle."""

    files: tuple[str, ...]
    no_bundle: str = ""


def _downloads(store: Store, folder: Path) -> Downloads:
    rows = (folder / "results.csv", folder / "latencies.csv")
    write_results_csv(store, rows[0])
    write_latencies_csv(store, rows[1])
    files = tuple(f"{folder.name}/{path.name}" for path in rows)
    try:
        write_bundle(store, folder / BUNDLE)
    except BundleError as error:  # one that nobody could import
        return Downloads(files=files, no_bundle=plain(error))
    return Downloads(files=(*files, f"{folder.name}/{BUNDLE}"))
