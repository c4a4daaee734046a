"""What the contract says of blocks, as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from blockzoo.contract.check import BlockReport
from blockzoo.contract.findings import Verdict

_COLOURS = {"passes": "green", "fails": "red", "does not apply": "yellow"}


def full_table(report: BlockReport) -> Table:
    """Return one row per line of the contract.

    >>> from blockzoo.contract.findings import Finding
    >>> finding = Finding(line="builds", verdict=Verdict.PASSES)
    >>> full_table(BlockReport(block="Mine", findings=(finding,))).title
    'Mine: keeps the contract'
    """
    table = Table(title=f"{report.block}: {_verdict(report)}", box=None, title_justify="left")
    for title in ("line", "verdict", "reason"):
        table.add_column(title)
    for finding in report.findings:
        table.add_row(finding.line, _coloured(finding.verdict.value), finding.reason)
    return table


def summary_table(reports: Sequence[BlockReport]) -> Table:
    """Return one row per block, with the reasons of the lines that failed.

    >>> summary_table([BlockReport(block="Mine", findings=())]).title
    '1 of 1 blocks keep the contract'
    """
    title = f"{sum(report.ok for report in reports)} of {len(reports)} blocks keep the contract"
    table = Table(title=title, box=None, title_justify="left")
    table.add_column("block")
    for verdict in Verdict:
        table.add_column(verdict.value, justify="right")
    table.add_column("failed")
    for report in reports:
        failed = [f"{f.line}: {f.reason}" for f in report.findings if f.verdict is Verdict.FAILS]
        counts = [str(report.count(verdict)) for verdict in Verdict]
        table.add_row(report.block, *counts, "\n".join(failed))
    return table


def _verdict(report: BlockReport) -> str:
    return "keeps the contract" if report.ok else "does not keep the contract"


def _coloured(verdict: str) -> Text:
    return Text(verdict, style=_COLOURS[verdict])
