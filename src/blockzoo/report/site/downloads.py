"""The files beside the pages that hold all records: rows as CSV and Parquet, and a bundle."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from blockzoo.core.errors import BundleError
from blockzoo.core.files import replacing
from blockzoo.report.site.gathering import Gathered
from blockzoo.report.site.wording import plain
from blockzoo.results.store.database import Store
from blockzoo.results.submissions.bundle import write_bundle
from blockzoo.results.table.columns import COLUMNS
from blockzoo.results.table.csv import write_latencies_csv, write_rows
from blockzoo.results.table.join import joined_rows
from blockzoo.results.table.parquet import has_parquet, rows_through_parquet

BUNDLE = "records.bundle.zip"
MOST_BUNDLED = 20_000
"""Records; more take longer than all pages together, and make a file that few would want."""


@dataclass(frozen=True, kw_only=True)
class Downloads:
    """The files beside the pages; `no_bundle` says why there is no bundle."""

    files: tuple[str, ...]
    no_bundle: str = ""

    @property
    def parquet(self) -> bool:
        """Whether the rows are there as Parquet."""
        return any(path.endswith(".parquet") for path in self.files)


def write_downloads(
    store: Store, gathered: Gathered, folder: Path, *, bundle: bool | None = None
) -> Downloads:
    """Write the files and return what there is; reads all trainings, which are then gathered.

    Args:
        store: Whose records they are.
        gathered: Of the store, its trainings not read yet.
        folder: Where to.
        bundle: Whether all records go along in one file; by default where they are not too many.
    """
    results, table = folder / "results.csv", folder / "results.parquet"
    with ExitStack() as stack:
        rows = joined_rows(gathered.beside, gathered.trainings())
        if has_parquet():
            scratch = stack.enter_context(replacing(table))
            rows = rows_through_parquet(rows, scratch, COLUMNS)
        write_rows(rows, stack.enter_context(replacing(results)), COLUMNS)
    latencies = folder / "latencies.csv"
    write_latencies_csv(gathered.beside, latencies)
    written = [results, *([table] if has_parquet() else []), latencies]
    count = len(gathered.beside) + len(gathered.kept)
    why_not = _bundle(store, folder / BUNDLE, bundle, count)
    written += [] if why_not else [folder / BUNDLE]
    files = tuple(f"{folder.name}/{path.name}" for path in written)
    return Downloads(files=files, no_bundle=why_not)


def _bundle(store: Store, path: Path, wanted: bool | None, records: int) -> str:
    """Write the bundle; return why there is none, "" where there is."""
    if wanted is False:
        return "it was not asked for"
    if wanted is None and records > MOST_BUNDLED:
        return f"of {records:,} records it would be very large"
    try:
        write_bundle(store, path)
    except BundleError as error:
        return plain(f"nobody could import it: {error}")
    return ""
