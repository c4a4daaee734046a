"""What `blocks` and `check` do: the zoo as a table, one block in full, the contract."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import typer
from rich.text import Text

from blockzoo.blocks import BlockSpec, get_block
from blockzoo.blocks.catalog import search_blocks
from blockzoo.blocks.user_code import names_user_code
from blockzoo.cli.actions.choices import chosen_blocks
from blockzoo.cli.screen.consoles import output_console, progress, say
from blockzoo.contract.check import check_blocks
from blockzoo.contract.findings import Finding
from blockzoo.core.errors import InputError, UnknownNameError
from blockzoo.core.position import POSITIONS, Position
from blockzoo.core.processes import Limits
from blockzoo.core.text import counted
from blockzoo.experiments.theory import block_graph, block_theory
from blockzoo.report.figures.diagram import svg_drawing, text_drawing
from blockzoo.report.tables.contract import (
    finding_line,
    full_table,
    is_bad,
    report_line,
    summary_table,
)
from blockzoo.report.tables.zoo import (
    blocks_table,
    costs_in_full_table,
    facts_table,
    require_sort,
    sorted_blocks,
    stage_costs,
    theory_table,
)

_IN_FULL_MAX = 5
"""Blocks whose findings are all shown; of more, what failed or is undecided."""
_BYTES_PER_GIB = 2**30
_COUNTED_MAX = 24
"""Blocks whose costs are counted unasked; all of the zoo takes many seconds."""
_UNDECIDED = 3
"""The exit status: 1 is a broken contract, 2 is wrong use."""


def blocks(
    words: Sequence[str],
    *,
    family: str | None,
    reparameterisable: bool,
    sort: str,
    costs: bool | None,
    position: str,
    svg: Path | None,
    contract: bool,
) -> None:
    """Show the one block that is named, or else the table of those that hold all words."""
    require_sort(sort)
    where = Position.parse(position)
    spec = _exactly_named(words)
    if spec is not None:
        _show_in_full(spec, where, svg)
        if contract:
            _show_contract(spec)
        return
    if svg is not None:
        raise InputError("--svg draws one block; give exactly one name or alias")
    matching = search_blocks(words, family=family, reparameterisable=reparameterisable)
    if costs is None and len(matching) > _COUNTED_MAX:
        say(f"{counted(len(matching), 'block')}; --costs counts what each of them costs")
    costs = len(matching) <= _COUNTED_MAX if costs is None else costs
    with progress("counting") as update:
        # Who sorts by a cost without showing it still needs it counted.
        found = stage_costs(matching, update) if costs or sort in ("params", "macs") else {}
    output_console().print(blocks_table(sorted_blocks(matching, sort, found), found))


def _exactly_named(words: Sequence[str]) -> BlockSpec | None:
    if len(words) != 1:
        return None
    if ":" in words[0]:  # a file or module of the user's, so that what is wrong there is said
        return get_block(words[0])
    try:
        return get_block(words[0])
    except UnknownNameError:
        # No block is named so, and then the word is one to search for.
        return None


def _show_in_full(spec: BlockSpec, position: Position, svg: Path | None) -> None:
    console, graph = output_console(), block_graph(spec, position)
    if svg is not None:
        svg.write_text(svg_drawing(graph, f"{spec.name}, {position}"), encoding="utf-8")
    console.print(facts_table(spec))
    title = f"\nStructure of the first block, {position}, training form:"
    console.print(Text(title, style="bold"))
    if not graph.traced:
        console.print("(its operations could not be followed; these are its layers)")
    console.print(Text(text_drawing(graph)), soft_wrap=True)
    console.print(costs_in_full_table(stage_costs([spec])[spec.name]))
    console.print(theory_table([block_theory(spec, where) for where in POSITIONS]))


def _show_contract(spec: BlockSpec) -> None:
    with progress("contract") as update:
        update(0.0, "starting")
        (report,) = check_blocks([spec], exports=False)
    output_console().print()
    output_console().print(full_table(report), highlight=False)


def check(
    names: list[str] | None,
    everything: bool,
    *,
    exports: bool,
    time_limit_s: float,
    memory_limit_gib: float,
    jobs: int | None,
) -> None:
    """Run the contract on blocks and show each finding as it comes.

    Exits with status 1 where a line failed, else with 3 where one is undecided.
    """
    chosen = _to_check(names, everything)
    limits = Limits(time_s=time_limit_s, memory_bytes=int(memory_limit_gib * _BYTES_PER_GIB))
    console, in_full = output_console(), len(chosen) <= _IN_FULL_MAX

    def show(block: str, finding: Finding) -> None:
        if in_full or is_bad(finding):
            console.print(finding_line(block, finding), highlight=False, soft_wrap=True)

    reports = []
    for report in check_blocks(
        chosen,
        exports=exports,
        limits=limits,
        # One per core, for each block's process computes with one thread.
        jobs=(os.cpu_count() or 1) if jobs is None else jobs,
        on_finding=show,
    ):
        console.print(report_line(report), highlight=False, soft_wrap=True)
        reports.append(report)
    # They come as blocks end, and are to be read in the order that was asked for.
    reports.sort(key=lambda report: chosen.index(report.block))
    if not in_full:
        console.print(summary_table(reports), highlight=False)
    if not all(report.ok for report in reports):
        raise typer.Exit(1 if any(report.broken for report in reports) else _UNDECIDED)


def _to_check(names: list[str] | None, everything: bool) -> list[str]:
    """Return the names; those of files and modules as they are, for the child to look up."""
    if everything or not names:
        return chosen_blocks(names, everything)
    looked_up = (
        name if names_user_code(name) else chosen_blocks([name], everything=False)[0]
        for name in names
    )
    return list(dict.fromkeys(looked_up))
