"""Writes the figure that a command was asked for by `--plot`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from blockzoo.cli.screen.consoles import show_written
from blockzoo.core.files import replacing
from blockzoo.report.figures.accuracy_plot import format_of, render

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_plot(plot: Path | None, draw: Callable[[], Figure]) -> None:
    """Draw and write the figure, as PNG or SVG by the name, and say so; nothing for None.

    Whoever asks calls `format_of(plot)` before the work, so that a name that is none costs nothing.
    """
    if plot is not None:
        with replacing(plot) as scratch:
            scratch.write_bytes(render(draw(), format_of(plot)))
        show_written(plot)
