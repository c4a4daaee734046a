"""What `site` does: write the board of a store, and serve it for a look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from blockzoo.cli.actions.keeping import open_store
from blockzoo.cli.screen.consoles import output_console, say
from blockzoo.report.site.build import build_site
from blockzoo.report.site.corrections import read_corrections
from blockzoo.report.site.folder import check_folder
from blockzoo.report.site.serving import serve as serve_folder
from blockzoo.results.store.database import Store
from blockzoo.results.submissions.board import Submission, read_board


def write_site(
    shown: str | Path, out: Path, *, corrections: Path | None, bundle: bool | None, serve: bool
) -> None:
    """Write the site and say where it begins; `shown` is a store, or the folder of a board."""
    check_folder(out)  # refused before anything is read
    log = () if corrections is None else read_corrections(corrections)
    with _opened(shown) as (store, submissions):
        files = build_site(store, out, log=log, submissions=submissions, bundle=bundle)
    console = output_console()
    console.print(f"wrote {len(files)} files; begin with {out / 'index.html'}", highlight=False)
    if serve:
        serve_folder(out, lambda address: say(f"{address} (Ctrl-C ends)"))


@contextmanager
def _opened(shown: str | Path) -> Iterator[tuple[Store, Sequence[Submission]]]:
    if isinstance(shown, str):
        with open_store(shown, create=False) as store:
            yield store, ()
        return
    with TemporaryDirectory() as folder, Store(Path(folder), create=True) as store:
        yield store, read_board(shown, store)
