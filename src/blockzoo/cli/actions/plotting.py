"""Writes the figure that a command was asked for by `--plot`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from blockzoo.cli.screen.consoles import show_written
from blockzoo.core.files import replacing
from blockzoo.report.figures.formats import format_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_plot(plot: Path, figure: Figure) -> None:
    """Write the figure, as PNG or SVG by the name, and say so.

    Whoever asks calls `format_of(plot)` before the work, so that a name that is none costs
    nothing, and imports what draws after it: Matplotlib takes a third of a second and 40 MB.
    """
    from blockzoo.report.figures.accuracy_plot import render

    with replacing(plot) as scratch:
        scratch.write_bytes(render(figure, format_of(plot)))
    show_written(plot)
