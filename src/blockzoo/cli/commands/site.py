"""`blockzoo site`: the board of a store, as pages that need no server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blockzoo.cli.app import examples


@examples("blockzoo site", "blockzoo site --results together --out board", "blockzoo site --serve")
def site(
    results: Annotated[
        str, typer.Option("--results", help="The results folder, or the store (file or URL).")
    ] = "results",
    out: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="Where the pages go; empty, or a site.")
    ] = Path("site"),
    serve: Annotated[
        bool, typer.Option("--serve", help="Then serve it to this machine, until Ctrl-C.")
    ] = False,
) -> None:
    """Write the board of a store: a table of all blocks, charts, a page for each block.

    The pages open from a file and load nothing. The same records give the same bytes.
    """
    from blockzoo.cli.actions import board as action

    action.write_site(results, out, serve=serve)
