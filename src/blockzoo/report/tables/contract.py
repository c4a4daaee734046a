"""What the contract says of blocks, as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from blockzoo.contract.check import BlockReport
from blockzoo.contract.findings import Finding, Verdict
from blockzoo.report.tables.fitting import FittedTable
from blockzoo.report.tables.layout import Kind

_COLOURS = {"passes": "green", "fails": "red", "does not apply": "yellow", "undecided": "magenta"}


def finding_line(block: str, finding: Finding) -> Text:
    """Return one finding in one line.

    >>> str(finding_line("Mine", Finding(line="bf16", verdict=Verdict.FAILS, reason="NaN")))
    'Mine: bf16: fails: NaN'
    """
    reason = f": {finding.reason}" if finding.reason else ""
    return Text.assemble(f"{block}: {finding.line}: ", _coloured(finding.verdict.value), reason)


def report_line(report: BlockReport) -> str:
    """Return in one line whether the block keeps the contract.

    >>> report_line(BlockReport(block="Mine", findings=()))
    'Mine: keeps the contract'
    """
    return f"{report.block}: {_verdict(report)}"


def full_table(report: BlockReport) -> FittedTable:
    """Return one row per line of the contract.

    >>> finding = Finding(line="builds", verdict=Verdict.PASSES)
    >>> full_table(BlockReport(block="Mine", findings=(finding,))).title
    'Mine: keeps the contract'
    """
    table = FittedTable(
        title=report_line(report),
        columns={"line": "label", "verdict": "label", "reason": "text"},
    )
    for finding in report.findings:
        table.add_row(finding.line, _coloured(finding.verdict.value), finding.reason)
    return table


def summary_table(reports: Sequence[BlockReport]) -> FittedTable:
    """Return one row per block, with the reasons of the lines that failed or are undecided.

    >>> summary_table([BlockReport(block="Mine", findings=())]).title
    '1 of 1 blocks keep the contract'
    """
    title = f"{sum(report.ok for report in reports)} of {len(reports)} blocks keep the contract"
    verdicts: dict[str, Kind] = {verdict.value: "number" for verdict in Verdict}
    table = FittedTable(
        title=title,
        columns={"block": "name", **verdicts, "not kept": "text"},
        dispensable=("passes", "does not apply"),
    )
    for report in reports:
        failed = [f"{f.line}: {f.reason}" for f in report.findings if is_bad(f)]
        counts = [str(report.count(verdict)) for verdict in Verdict]
        table.add_row(report.block, *counts, "\n".join(failed))
    return table


def is_bad(finding: Finding) -> bool:
    """Tell whether the line failed or is undecided.

    >>> is_bad(Finding(line="bf16", verdict=Verdict.PASSES))
    False
    """
    return finding.verdict in (Verdict.FAILS, Verdict.UNDECIDED)


def _verdict(report: BlockReport) -> str:
    if report.broken:
        return "does not keep the contract"
    undecided = report.count(Verdict.UNDECIDED)
    return (
        f"undecided, {undecided} of its lines were stopped" if undecided else "keeps the contract"
    )


def _coloured(verdict: str) -> Text:
    return Text(verdict, style=_COLOURS[verdict])
