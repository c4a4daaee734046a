"""Writes the page that `compare` was asked for by `--report`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from blockzoo.cli.screen.consoles import show_written
from blockzoo.core.errors import InputError
from blockzoo.core.files import replacing
from blockzoo.experiments.compare import CompareRequest, Look
from blockzoo.results.records import TrainingRecord
from blockzoo.results.store.database import Store


def require_page(path: Path | None) -> None:
    """Raise `InputError` for a file that is named as no page, before the work.

    >>> require_page(Path("report.html"))
    """
    if path is not None and path.suffix not in (".html", ".htm"):
        raise InputError(f"--report is {path}; the name of a page ends in .html")
    if path is not None and path.is_dir():
        raise InputError(f"--report is {path}; that is a folder")


def write_report(path: Path, found: Sequence[tuple[CompareRequest, Look]], store: Store) -> None:
    """Write what was found as one page, and say so.

    Args:
        path: Of the page.
        found: The last look of each request.
        store: That holds the trainings.
    """
    from blockzoo.report.site.comparison_report import Compared, comparison_report

    compared = []
    for request, look in found:
        match = request.sweep.protocol.match
        compared.append(
            Compared(
                pairs=look.comparisons,
                margin=request.margin,
                level=look.level,
                track="" if match is None else match.words,
            )
        )
    page = comparison_report(compared, _trainings([look for _, look in found], store))
    with replacing(path) as scratch:
        scratch.write_bytes(page.encode("utf-8"))
    show_written(path)


def _trainings(looks: Sequence[Look], store: Store) -> Iterator[TrainingRecord]:
    """Yield those of the blocks that were compared, each once."""
    pairs = [pair for look in looks for pair in look.comparisons if pair.terms is not None]
    wanted = {
        (name, pair.terms.protocol, pair.terms.dataset)
        for pair in pairs
        if pair.terms is not None
        for name in (pair.block, pair.other)
    }
    for block, protocol, dataset in sorted(wanted):
        for record in store.each(kind="training", block=block, protocol=protocol, dataset=dataset):
            if isinstance(record, TrainingRecord):
                yield record
