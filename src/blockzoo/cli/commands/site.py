"""`blockzoo site`: the board of a store, as pages that need no server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blockzoo.cli.app import examples


@examples(
    "blockzoo site",
    "blockzoo site --results together --out public",
    "blockzoo site --serve",
    "blockzoo site --corrections corrections.toml --no-bundle",
    "blockzoo site --board board --out public",
)
def site(
    results: Annotated[
        str, typer.Option("--results", help="The results folder, or the store (file or URL).")
    ] = "results",
    board: Annotated[
        Path | None,
        typer.Option(
            "--board",
            metavar="FOLDER",
            help="Of a folder of bundles, in the place of results: says how far each is trusted.",
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="Where the pages go; empty, or a site.")
    ] = Path("site"),
    corrections: Annotated[
        Path | None,
        typer.Option(
            "--corrections",
            metavar="FILE.toml",
            help="The log of corrections: results that are suspect, withdrawn, or clean again.",
        ),
    ] = None,
    bundle: Annotated[
        bool | None,
        typer.Option(
            "--bundle/--no-bundle",
            help="Whether whole records go along in one file.",
            show_default="up to 20,000 records",
        ),
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Then serve it to this machine, until Ctrl-C.")
    ] = False,
) -> None:
    """Write the board of a store: a table of all blocks, charts, a page for each block and device.

    The pages open from a file and load nothing. The same records give the same bytes.
    """
    from blockzoo.cli.actions import board as action

    shown = results if board is None else board
    action.write_site(shown, out, corrections=corrections, bundle=bundle, serve=serve)
