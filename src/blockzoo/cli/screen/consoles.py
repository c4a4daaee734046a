"""Where commands print: tables on standard output, progress on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from blockzoo.experiments.sweep.plan import SweepRequest
    from blockzoo.results.records import LatencyRecord

PLAIN_WIDTH = 160
"""Columns of a table that goes to a file or a pipe, where no terminal sets a width."""
_NAMED = 3

# Names, files and reasons of others are text, whatever brackets or colons are in it.
_AS_IT_IS: dict[str, Any] = {"markup": False, "emoji": False}


def output_console() -> Console:
    """Return the console for results."""
    console = Console(**_AS_IT_IS)
    return console if console.is_terminal else Console(width=PLAIN_WIDTH, **_AS_IT_IS)


def message_console() -> Console:
    """Return the console for progress and messages."""
    return Console(stderr=True, **_AS_IT_IS)


def load_data(request: SweepRequest) -> None:
    """Load the data set, with a bar while images are decoded; say how many were left out."""
    with ExitStack() as stack:
        bars: list[Callable[[float, str], None]] = []

        def show(fraction: float, text: str) -> None:
            if not bars:  # shown only where there is something to decode
                bars.append(stack.enter_context(progress("decode")))
            bars[0](fraction, text)

        skipped = request.load_dataset(show).skipped
    if skipped:
        message_console().print(
            f"skipped {len(skipped)} bad images, first {skipped[0]}",
            highlight=False,
            soft_wrap=True,
        )


def warn_of_neighbours(device: str) -> None:
    """Say in one line, on standard error, who else uses the device that is about to be timed."""
    from blockzoo.measure.machine.contention import other_users
    from blockzoo.measure.machine.devices import resolve_device

    where = resolve_device(device)
    if others := other_users(where):
        more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
        message_console().print(
            f"warning: others use {where}, times will be less certain: "
            f"{', '.join(others[:_NAMED])}{more}",
            highlight=False,
            soft_wrap=True,
        )


def report_unread_energy(records: Sequence[LatencyRecord]) -> None:
    """Say, where energy was asked for and no record has any, what may be missing."""
    if all(record.energy_j_per_image is None for record in records):
        message_console().print(
            "no energy was measured: it is for the eager backend and needs a counter: on a GPU "
            "NVML (pip install 'blockzoo[gpu]'), on a CPU the right to read "
            "/sys/class/powercap/intel-rapl:*/energy_uj",
            highlight=False,
            soft_wrap=True,
        )


@contextmanager
def progress(title: str) -> Iterator[Callable[[float, str], None]]:
    """Show a bar on standard error if it is a terminal; yields `update(fraction, text)`."""
    console = message_console()
    bar = Progress(
        TextColumn(title, style="bold", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", style="dim", markup=False),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=1.0)
        yield lambda fraction, text: bar.update(task, completed=fraction, description=text)
