"""What a person sees while a network trains: epoch, loss, accuracy, images/s, time left."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from blockzoo.results.records import EpochMetrics


class LiveView:
    """A bar over epochs on standard output, for 80 columns; use it as a context manager."""

    def __init__(self, epochs: int, *, done: int, shown: bool) -> None:
        console = Console()
        self._bar = Progress(
            TextColumn("Epoch {task.completed}/{task.total}"),
            BarColumn(bar_width=8),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=console,
            disable=not shown,
            transient=console.is_terminal,
        )
        self._task = self._bar.add_task("", total=epochs, completed=done)

    def __enter__(self) -> LiveView:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def finished(self, metrics: EpochMetrics) -> None:
        """Show an epoch that ended."""
        text = (
            f"loss {metrics.train_loss:.3f}, val {metrics.val_loss:.3f}, "
            f"val acc {metrics.val_accuracy:.1%}, {metrics.images_per_s or 0:,.0f} img/s"
        )
        self._bar.update(self._task, advance=1, description=text)
