"""`blockzoo blocks`: what is in the zoo."""

from __future__ import annotations

from blockzoo.cli.app import examples


@examples("blockzoo blocks")
def blocks() -> None:
    """List the registered blocks."""
    from rich.console import Console
    from rich.table import Table

    from blockzoo.blocks import get_block, list_available_blocks

    table = Table("block", "family", "year", "paper", "licence", "formula", box=None)
    for name in list_available_blocks():
        spec = get_block(name)
        table.add_row(name, spec.family, str(spec.year), spec.paper, spec.licence, spec.formula)
    Console().print(table)
