"""What is heard of one training as it goes: by loggers, which can do it no harm, and on a bar."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from blockzoo.core.errors import one_line
from blockzoo.core.seeding import preserved
from blockzoo.results.records import EpochMetrics
from blockzoo.training.loggers import LogTo, OpenLogger, Run, open_logger

if TYPE_CHECKING:
    from blockzoo.training.fit import FitResult  # Lightning takes seconds to import

FIGURES = ("best_epoch", "training_seconds", "peak_memory_bytes")
TEST_FIGURES = ("test_loss", "test_accuracy", "test_top5_accuracy", "test_calibration_error")


class TrainingLog:
    """Tells loggers of a training, epoch by epoch; without `to` it does nothing.

    Use it as a context manager. A logger that fails is warned of and told nothing more; training
    goes on. Loggers draw no random number of the training's, and no time of theirs is measured.
    """

    def __init__(self, to: LogTo | None, run: Run) -> None:
        self._to, self._run = to, run
        self._open: dict[str, OpenLogger] = {}

    def __enter__(self) -> TrainingLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        status = "success" if kind is None else "failed"
        self._tell(lambda opened: opened.close(status))

    def start(self, history: Sequence[EpochMetrics]) -> None:
        """Open the loggers; tell them of the epochs that were trained before and they lack."""
        if self._to is None:
            return
        for name in self._to.loggers:
            self._safely(name, partial(self._open_one, name, history))

    def epoch(self, metrics: EpochMetrics) -> None:
        """Tell of an epoch that ended."""
        self._log(epoch_figures(metrics), metrics.epoch)

    def end(self, result: FitResult) -> None:
        """Tell what the training came to; of the test set unless that was a stand-in."""
        if self._to is None:
            return
        names = FIGURES if self._to.tuning else (*FIGURES, *TEST_FIGURES)
        figures = {name: getattr(result, name) for name in names}
        figures = {name: value for name, value in figures.items() if value is not None}
        self._log(figures, len(result.epochs))

    def _log(self, figures: Mapping[str, float], step: int) -> None:
        def log(opened: OpenLogger) -> None:
            opened.logger.log_metrics(dict(figures), step)
            opened.logger.save()

        self._tell(log)

    def _open_one(self, name: str, history: Sequence[EpochMetrics]) -> None:
        assert self._to is not None
        opened = open_logger(name, self._to.folder, self._run, resumed=bool(history))
        self._open[name] = opened
        for metrics in history:
            if metrics.epoch not in opened.epochs:
                opened.logger.log_metrics(epoch_figures(metrics), metrics.epoch)
        opened.logger.save()

    def _tell(self, act: Callable[[OpenLogger], None]) -> None:
        # A copy, for one that fails is taken out meanwhile.
        for name, opened in tuple(self._open.items()):
            self._safely(name, partial(act, opened))

    def _safely(self, name: str, act: Callable[[], None]) -> None:
        try:
            with preserved():
                act()
        except Exception as error:  # noqa: BLE001 - foreign code; training goes on without it
            self._open.pop(name, None)
            warnings.warn(
                f"logging to {name} failed ({one_line(error)}); training goes on without it",
                UserWarning,
                stacklevel=4,
            )


def epoch_figures(metrics: EpochMetrics) -> dict[str, float]:
    """Return an epoch's metrics by name; norms of gradients are `gradient_norms/PART`.

    >>> metrics = EpochMetrics(
    ...     epoch=1, learning_rate=0.1, train_loss=2.0, train_accuracy=0.3, val_loss=1.0,
    ...     val_accuracy=0.5, seconds=1.0, gradient_norms={"stem": 0.2},
    ... )
    >>> epoch_figures(metrics)["gradient_norms/stem"]
    0.2
    """
    values = metrics.model_dump(exclude_none=True)
    norms = values.pop("gradient_norms")
    return {**values, **{f"gradient_norms/{part}": norm for part, norm in norms.items()}}


class LiveView:
    """A bar over epochs on standard output, for 80 columns; use it as a context manager."""

    def __init__(self, epochs: int, done: int, *, shown: bool) -> None:
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
