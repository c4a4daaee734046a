"""What a person watches while networks are tuned: one bar over trials and seeds of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from blockzoo.cli.screen.consoles import message_console, progress
from blockzoo.core.errors import BlockZooError
from blockzoo.experiments.tuning.track import RunCounter, TrackListener
from blockzoo.experiments.tuning.tries import Try
from blockzoo.results.records import EpochMetrics
from blockzoo.scaffold.placement import Placement


class TuningProgress(TrackListener):
    """Shows a bar for the network at work and a line for each that failed; counts `failures`."""

    def __init__(self) -> None:
        self.failures = 0

    @contextmanager
    def watching(self, placement: Placement, *, runs: int, epochs: int) -> Iterator[RunCounter]:
        """Show the bar while the network is at work."""
        with progress(f"tune {placement.spec.name} {placement.position}") as update:
            yield _Bar(update, runs=runs, epochs=epochs)

    def failed(self, placement: Placement, error: BlockZooError) -> None:
        """Say why it failed, which names the block."""
        message_console().print(f"failed: {error}", highlight=False, soft_wrap=True)
        self.failures += 1


class _Bar(RunCounter):
    """Shows runs of so many epochs, one after the other, as a share of all of them."""

    def __init__(self, update: Callable[[float, str], None], *, runs: int, epochs: int) -> None:
        self._update, self._runs, self._epochs = update, runs, epochs
        self._ended = 0

    def epoch(self, metrics: EpochMetrics) -> None:
        """Count an epoch of the run in hand."""
        self._show(metrics.epoch, f", validation {100 * metrics.val_accuracy:.1f}%")

    def ended(self, trial: Try | None = None) -> None:
        """Count the run in hand as ended."""
        self._ended += 1  # stopped early by the search counts too: its epochs will not come
        self._show(0, "")

    def _show(self, epoch: int, more: str) -> None:
        share = (self._ended + epoch / self._epochs) / self._runs
        # After the last run none follows, though the bar is drawn once more.
        run = min(self._ended + 1, self._runs)
        self._update(min(share, 1.0), f"run {run} of {self._runs}, epoch {epoch}{more}")
