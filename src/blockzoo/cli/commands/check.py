"""`blockzoo check`: does a block keep the contract, line by line."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from blockzoo.cli import options
from blockzoo.cli.app import examples

if TYPE_CHECKING:
    from rich.table import Table

    from blockzoo.contract.check import BlockReport

_IN_FULL_MAX = 5
_BYTES_PER_GIB = 2**30


@examples(
    "blockzoo check RepMixer",
    "blockzoo check my_blocks.py:MyBlock --no-export",
    "blockzoo check --all --no-export",
)
def check(
    blocks: options.Blocks = None,
    everything: options.All = False,
    export: Annotated[
        bool, typer.Option("--export/--no-export", help="Also compile the block and export it.")
    ] = True,
    time_limit: Annotated[
        float, typer.Option("--time-limit", help="Seconds that one line may take.")
    ] = 60.0,
    memory_limit: Annotated[
        float, typer.Option("--memory-limit", help="GiB that one line may take.")
    ] = 4.0,
    jobs: Annotated[
        int | None, typer.Option("--jobs", help="Blocks at a time. (default: one per core)")
    ] = None,
) -> None:
    """Check that blocks keep the contract: shapes, gradients, precision, forms, exports.

    Each line passes, fails with the reason, or says why it does not apply. Every block runs in a
    process of its own, so that one that hangs, takes all memory or crashes fails one line. Exit
    status 1 when a line failed.
    """
    from blockzoo.cli.screen.consoles import output_console, progress
    from blockzoo.contract.all_lines import contract_lines
    from blockzoo.contract.check import check_blocks
    from blockzoo.core.processes import Limits

    names = _chosen(blocks, everything)
    limits = Limits(time_s=time_limit, memory_bytes=int(memory_limit * _BYTES_PER_GIB))
    total, done = len(names) * len(contract_lines(exports=export)), itertools.count(1)
    with progress("check") as update:
        reports = [
            *check_blocks(
                names,
                exports=export,
                limits=limits,
                jobs=(os.cpu_count() or 1) if jobs is None else jobs,
                on_finding=lambda block, found: update(
                    next(done) / total, f"{block}: {found.line}"
                ),
            )
        ]
    reports.sort(key=lambda report: names.index(report.block))
    for table in _tables(reports):
        output_console().print(table, highlight=False)
    if not all(report.ok for report in reports):
        raise typer.Exit(1)


def _chosen(blocks: list[str] | None, everything: bool) -> list[str]:
    """Return the names; those of files and modules as they are, for the child to look up."""
    from blockzoo.blocks.user_code import is_foreign_name
    from blockzoo.cli.choices import chosen_blocks

    if everything or not blocks:
        return chosen_blocks(blocks, everything)
    names = [name if is_foreign_name(name) else chosen_blocks([name], False)[0] for name in blocks]
    return list(dict.fromkeys(names))


def _tables(reports: Sequence[BlockReport]) -> list[Table]:
    from blockzoo.report.tables.contract import full_table, summary_table

    if len(reports) <= _IN_FULL_MAX:
        return [full_table(report) for report in reports]
    return [summary_table(reports)]
