"""`blockzoo doctor`: is this machine fit to measure on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from blockzoo.cli import options
from blockzoo.cli.app import examples

if TYPE_CHECKING:
    from rich.table import Table

    from blockzoo.measure.machine.doctor import Finding

_COLOURS = {"ok": "green", "caution": "yellow", "unfit": "bold red"}


@examples("blockzoo doctor", "blockzoo doctor --device cuda", "blockzoo doctor --json")
def doctor(
    device: options.Device = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the findings as JSON instead.")
    ] = False,
) -> None:
    """Say whether this machine is fit to measure on, and what would make it fitter.

    Takes about three seconds: governor, load, other processes, container limits, the hypervisor,
    noise, the timer, memory and the GPU, where it is the device. Exit status 1 when a line is
    unfit.
    """
    from blockzoo.cli.screen.consoles import output_console
    from blockzoo.measure.machine.devices import resolve_device
    from blockzoo.measure.machine.doctor import judge, read_machine

    findings = judge(read_machine(resolve_device(device)))
    fit = all(finding.verdict != "unfit" for finding in findings)
    if as_json:
        typer.echo(_json(findings, fit))
    else:
        output_console().print(_table(findings), highlight=False)
    if not fit:
        raise typer.Exit(1)


def _json(findings: Sequence[Finding], fit: bool) -> str:
    import json
    from dataclasses import asdict

    return json.dumps({"fit": fit, "findings": [asdict(each) for each in findings]}, indent=2)


def _table(findings: Sequence[Finding]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for column in ("", "verdict", "read", "what to do"):
        table.add_column(column, overflow="fold")
    for each in findings:
        verdict = Text(each.verdict, style=_COLOURS[each.verdict])
        table.add_row(each.subject, verdict, each.reading, each.advice)
    return table
