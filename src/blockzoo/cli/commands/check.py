"""`blockzoo check`: does a block keep the contract, line by line."""

from __future__ import annotations

from typing import Annotated

import typer

from blockzoo.cli import shared_options
from blockzoo.cli.app import examples
from blockzoo.core import ranges


@examples(
    "blockzoo check RepMixer",
    "blockzoo check my_blocks.py:MyBlock --no-export",
    "blockzoo check --all --no-export",
)
def check(
    blocks: shared_options.Blocks = None,
    everything: shared_options.All = False,
    export: Annotated[
        bool, typer.Option("--export/--no-export", help="Also compile the block and export it.")
    ] = True,
    time_limit: Annotated[
        float, typer.Option("--time-limit", help="Seconds that one line may take."), ranges.SECONDS
    ] = 60.0,
    memory_limit: Annotated[
        float, typer.Option("--memory-limit", help="GiB that one line may take."), ranges.GIBIBYTES
    ] = 4.0,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", help="Blocks at a time. (default: one per core)"),
        ranges.AT_ONCE,
    ] = None,
) -> None:
    """Check that blocks keep the contract: shapes, gradients, precision, forms, exports.

    Each line is shown as it comes: it passes, fails with the reason, or says why it does not apply;
    one that is stopped at its time limit is undecided. Every block runs in a process of its own, so
    that one that takes all memory or crashes fails one line. Exit status 1 when a line failed, else
    3 when one is undecided.
    """
    from blockzoo.cli.actions import zoo

    zoo.check(
        blocks,
        everything,
        exports=export,
        time_limit_s=time_limit,
        memory_limit_gib=memory_limit,
        jobs=jobs,
    )
