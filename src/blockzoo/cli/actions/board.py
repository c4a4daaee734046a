"""What `site` does: write the board of a store, and serve it for a look."""

from __future__ import annotations

from pathlib import Path

from blockzoo.cli.actions.keeping import open_store
from blockzoo.cli.screen.consoles import output_console, say
from blockzoo.report.site.build import build_site
from blockzoo.report.site.corrections import read_corrections
from blockzoo.report.site.folder import check_folder
from blockzoo.report.site.serving import serve as serve_folder


def write_site(
    results: str, out: Path, *, corrections: Path | None, bundle: bool | None, serve: bool
) -> None:
    """Write the site and say where it begins."""
    check_folder(out)  # refused before anything is read
    log = () if corrections is None else read_corrections(corrections)
    with open_store(results, create=False) as store:
        files = build_site(store, out, log=log, bundle=bundle)
    console = output_console()
    console.print(f"wrote {len(files)} files; begin with {out / 'index.html'}", highlight=False)
    if serve:
        serve_folder(out, lambda address: say(f"{address} (Ctrl-C ends)"))
