"""`blockzoo blocks`: what is in the zoo, as a table to search, and one block in full."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blockzoo.cli.app import examples

if TYPE_CHECKING:
    from blockzoo.blocks import BlockSpec


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
    family: Annotated[str | None, typer.Option("--family", help="Only this family.")] = None,
    reparameterisable: Annotated[
        bool, typer.Option("--reparameterisable", help="Only blocks with a merged deploy form.")
    ] = False,
    sort: Annotated[
        str, typer.Option("--sort", help="name, family, year, params or macs (of the mid stage).")
    ] = "name",
    costs: Annotated[
        bool, typer.Option("--costs/--no-costs", help="Count what each block costs.")
    ] = True,
    position: Annotated[
        str, typer.Option("--position", "-p", help="Where the block stands that is drawn.")
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
    from blockzoo.core.errors import InputError

    spec = _exactly_named(words or [])
    if spec is not None:
        _show_in_full(spec, position, svg)
        if contract:
            _show_contract(spec)
    elif svg is not None:
        raise InputError("--svg draws one block; give exactly one name or alias")
    else:
        _show_table(words or [], family, reparameterisable, sort, costs)


def _exactly_named(words: list[str]) -> BlockSpec | None:
    from blockzoo.blocks import get_block
    from blockzoo.core.errors import UnknownNameError

    if len(words) != 1:
        return None
    if ":" in words[0]:  # a file or module of the user's
        return get_block(words[0])
    try:
        return get_block(words[0])
    except UnknownNameError:
        return None


def _show_table(
    words: list[str], family: str | None, reparameterisable: bool, sort: str, costs: bool
) -> None:
    from blockzoo.blocks.catalog import search_blocks
    from blockzoo.cli.screen.consoles import output_console, progress
    from blockzoo.report.tables.zoo import blocks_table, sorted_blocks, stage_costs

    found = search_blocks(words, family=family, reparameterisable=reparameterisable)
    with progress("counting") as update:
        counted = stage_costs(found, update) if costs or sort in ("params", "macs") else {}
    output_console().print(blocks_table(sorted_blocks(found, sort, counted), counted))


def _show_in_full(spec: BlockSpec, position: str, svg: Path | None) -> None:
    from rich.text import Text

    from blockzoo.cli.screen.consoles import output_console
    from blockzoo.core.position import POSITIONS, Position
    from blockzoo.experiments.theory import block_graph, block_theory
    from blockzoo.report.figures.diagram import svg_drawing, text_drawing
    from blockzoo.report.tables.zoo import (
        costs_in_full_table,
        facts_table,
        stage_costs,
        theory_table,
    )

    console, place = output_console(), Position.parse(position)
    graph = block_graph(spec, place)
    if svg is not None:
        svg.write_text(svg_drawing(graph, f"{spec.name}, {place}"), encoding="utf-8")
    console.print(facts_table(spec))
    console.print(Text(f"\nStructure of the first block, {place}, training form:", style="bold"))
    if not graph.traced:
        console.print("(its operations could not be followed; these are its layers)")
    console.print(Text(text_drawing(graph)), soft_wrap=True)
    console.print(costs_in_full_table(stage_costs([spec])[spec.name]))
    console.print(theory_table([block_theory(spec, where) for where in POSITIONS]))


def _show_contract(spec: BlockSpec) -> None:
    from blockzoo.cli.screen.consoles import output_console, progress
    from blockzoo.contract.check import check_blocks
    from blockzoo.report.tables.contract import full_table

    with progress("contract") as update:
        update(0.0, "starting")
        (report,) = check_blocks([spec], exports=False)
    output_console().print()
    output_console().print(full_table(report), highlight=False)
