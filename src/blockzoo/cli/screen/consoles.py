"""Where commands print: tables on standard output, progress on standard error."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.text import Text

from blockzoo.core.text import visible

# For its type alone: it would bring torch to commands that only read results.
if TYPE_CHECKING:
    from blockzoo.data import ImageDataset
    from blockzoo.experiments.sweep.plan import SweepRequest

PLAIN_WIDTH = 160
"""Columns of what goes to a file or a pipe, where neither a terminal nor COLUMNS says how many."""

# Names, files and reasons come from users: brackets and colons in them are no markup.
_AS_IT_IS: dict[str, Any] = {"markup": False, "emoji": False}


class _Visible(Console):
    """A console on which no text, of a block's name say, reaches the terminal as a command."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(visible(text, lines=True), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        if isinstance(renderable, Text) and renderable.plain != visible(
            renderable.plain, lines=True
        ):
            # Styles within it would be of other letters than they were; that of the whole stays.
            plain = visible(renderable.plain, lines=True)
            renderable = Text(plain, renderable.style, end=renderable.end)
        return super().render(renderable, options)


def output_console() -> Console:
    """Return the console for results, as wide as COLUMNS says, or else the terminal.

    >>> output_console().print("dtype[torch.float32] :key:")
    dtype[torch.float32] :key:
    """
    console = _Visible(**_AS_IT_IS)
    if console.is_terminal:
        return console
    asked = os.environ.get("COLUMNS", "")
    width = int(asked) if asked.isdigit() and int(asked) else PLAIN_WIDTH
    return _Visible(width=width, **_AS_IT_IS)


def message_console() -> Console:
    """Return the console for progress and messages."""
    return _Visible(stderr=True, **_AS_IT_IS)


def load_data(request: SweepRequest) -> None:
    """Load the data set, with a bar while images are decoded."""
    with ExitStack() as stack:
        bars: list[Callable[[float, str], None]] = []

        # Called from the decoding, which happens once per cache and not at every run.
        def show(fraction: float, text: str) -> None:
            if not bars:  # shown only where there is something to decode
                bars.append(stack.enter_context(progress("decode")))
            bars[0](fraction, text)

        request.load_dataset(show)


def say_data(request: SweepRequest) -> None:
    """Say what is trained on: the first line of a run, once nothing more can be refused.

    How many images were left out is the second, where some were.
    """
    data = request.dataset
    say(described(data, flip=data.flip and request.protocol.recipe.flip))
    if skipped := data.skipped:
        say(f"skipped {len(skipped)} bad images, first {skipped[0]}")


def described(data: ImageDataset, *, flip: bool) -> str:
    """Return what the data set is and whether its images are flipped, in one line.

    >>> from blockzoo.data import load_dataset
    >>> described(load_dataset("digits"), flip=False)
    'data: digits, 10 classes, 1,438 images to train on and 359 to test on, 3x32x32, not flipped'
    """
    shape = "x".join(map(str, data.image_shape))
    return (
        f"data: {data.name}, {data.num_classes} classes, {len(data.x_train):,} images to train on "
        f"and {len(data.x_test):,} to test on, {shape}, "
        + ("flipped left to right at random" if flip else "not flipped")
    )


def say(line: str) -> None:
    """Print one line on standard error, however long it is and whatever is in it."""
    message_console().print(line, highlight=False, soft_wrap=True)


def show_written(path: Path) -> None:
    """Say on standard output which file was written.

    >>> show_written(Path("costs.csv"))
    wrote costs.csv
    """
    # Not wrapped, for a path that is broken in two cannot be copied.
    output_console().print(f"wrote {path}", highlight=False, soft_wrap=True)


@contextmanager
def progress(title: str) -> Iterator[Callable[[float, str], None]]:
    """Show a bar on standard error if it is a terminal; yields `update(fraction, text)`.

    >>> with progress("profile") as update:
    ...     update(0.5, "RepMixer")
    """
    console = message_console()
    bar = Progress(
        TextColumn(title, style="bold", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", style="dim", markup=False),
        console=console,
        disable=not console.is_terminal,
        # Gone at its end, so that the table after it stands alone.
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=1.0)
        yield lambda fraction, text: bar.update(task, completed=fraction, description=text)
