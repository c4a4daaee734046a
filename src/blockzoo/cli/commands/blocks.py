"""`blockzoo blocks`: what is in the zoo, as a table to search, and one block in full."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blockzoo.cli import shared_options
from blockzoo.cli.app import examples


@examples(
    "blockzoo blocks",
    "blockzoo blocks mobile inverted --sort year",
    "blockzoo blocks --family reparam --reparameterisable",
    "blockzoo blocks RepMixer --svg repmixer.svg",
)
def blocks(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="WORD",
            help="One name or alias shows that block in full; words list the blocks whose name, "
            "alias, family, paper, formula or notes hold them all.",
        ),
    ] = None,
    family: Annotated[
        str | None,
        typer.Option(
            "--family",
            metavar="NAME",
            help="Only this family: attention, compact, dense, dynamic, gated, hybrid, "
            "large-kernel, metaformer, mobile, modern, multi-scale, norm-free, plain, reparam, "
            "residual or separable.",
        ),
    ] = None,
    reparameterisable: Annotated[
        bool, typer.Option("--reparameterisable", help="Only blocks with a merged deploy form.")
    ] = False,
    sort: Annotated[
        str, typer.Option("--sort", help="name, family, year, params or macs (of the mid stage).")
    ] = "name",
    costs: Annotated[
        bool | None,
        typer.Option(
            "--costs/--no-costs",
            help="Count what each block costs. (default: where few match)",
            show_default=False,
        ),
    ] = None,
    position: Annotated[
        str,
        typer.Option(
            "--position",
            "-p",
            metavar=shared_options.POSITIONS,
            help=f"{shared_options.WHERE}, as it is drawn.",
        ),
    ] = "mid",
    svg: Annotated[
        Path | None, typer.Option("--svg", help="Write the drawing of one block to this file.")
    ] = None,
    contract: Annotated[
        bool, typer.Option("--contract/--no-contract", help="Also run the contract on one block.")
    ] = True,
) -> None:
    """List and search the zoo, or show one block in full.

    In full means its paper, structure, costs, theory, and what the contract says of it now, without
    compiling and exporting, which `blockzoo check` does.
    """
    from blockzoo.cli.actions import zoo

    zoo.blocks(
        words or [],
        family=family,
        reparameterisable=reparameterisable,
        sort=sort,
        costs=costs,
        position=position,
        svg=svg,
        contract=contract,
    )
