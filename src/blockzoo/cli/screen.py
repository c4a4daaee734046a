"""Where commands print: tables on standard output, progress on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

PLAIN_WIDTH = 160
"""Columns of a table that goes to a file or a pipe, where no terminal sets a width."""


def output_console() -> Console:
    """Return the console for results."""
    console = Console()
    return console if console.is_terminal else Console(width=PLAIN_WIDTH)


def message_console() -> Console:
    """Return the console for progress and messages."""
    return Console(stderr=True)


@contextmanager
def progress(title: str) -> Iterator[Callable[[float, str], None]]:
    """Show a bar on standard error if it is a terminal; yields `update(fraction, text)`."""
    console = message_console()
    bar = Progress(
        TextColumn(f"[bold]{title}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.description}"),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=1.0)
        yield lambda fraction, text: bar.update(task, completed=fraction, description=text)
