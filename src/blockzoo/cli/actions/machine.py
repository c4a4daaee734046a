"""What `doctor` does, and the warning before a timing that others use the device."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import typer
from rich.text import Text

from blockzoo.cli.screen.consoles import output_console, say
from blockzoo.measure.machine import contention
from blockzoo.measure.machine import doctor as machine_doctor
from blockzoo.measure.machine.devices import resolve_device
from blockzoo.measure.machine.doctor import Finding
from blockzoo.report.tables.fitting import FittedTable

_COLOURS = {"ok": "green", "caution": "yellow", "unfit": "bold red"}
# More names would fill the line; how many there are beyond is said.
_NAMED = 3


def doctor(device: str, *, as_json: bool) -> None:
    """Judge the machine and show the findings; exits with status 1 where a line is unfit."""
    findings = machine_doctor.judge(machine_doctor.read_machine(resolve_device(device)))
    # A caution does not count: more samples make up for what it blurs.
    fit = all(finding.verdict != "unfit" for finding in findings)
    if as_json:
        findings_as_json = [asdict(finding) for finding in findings]
        typer.echo(json.dumps({"fit": fit, "findings": findings_as_json}, indent=2))
    else:
        output_console().print(findings_table(findings), highlight=False)
    if not fit:
        raise typer.Exit(1)


def findings_table(findings: Sequence[Finding]) -> FittedTable:
    """Return a row for each finding."""
    table = FittedTable(
        title="",
        columns={"": "label", "verdict": "label", "read": "text", "what to do": "text"},
    )
    for finding in findings:
        verdict = Text(finding.verdict, style=_COLOURS[finding.verdict])
        table.add_row(finding.subject, verdict, finding.reading, finding.advice)
    return table


def warn_of_contention(device: str) -> None:
    """Say in one line, on standard error, who else uses the device that is about to be timed."""
    where = resolve_device(device)
    if others := contention.other_users(where):
        more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
        say(
            f"warning: others use {where}, times will be less certain: "
            f"{', '.join(others[:_NAMED])}{more}"
        )
