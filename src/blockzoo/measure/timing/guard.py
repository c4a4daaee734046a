"""Watches over what a network does to the process that it shares with the others being timed.

Networks must share a process to be paired by round. One of foreign code that changes what they
share, say the number of threads, would change the others' samples as well.
"""

from __future__ import annotations

from collections.abc import Sequence

from blockzoo.core.process_state import State, changes_since, process_state


class ProcessChangedError(Exception):
    """A network changed what its process shares; nothing more may be measured there."""

    def __init__(self, network: str, changes: Sequence[str]) -> None:
        self.network, self.changes = network, tuple(changes)
        super().__init__(network, changes)

    def __str__(self) -> str:
        return f"it changed {', '.join(self.changes)}, which all networks of a session share"


class ProcessGuard:
    """Compares the state of the process around the calls of foreign networks, outside the clock.

    >>> import torch
    >>> guard = ProcessGuard()
    >>> guard.watch("mine")
    >>> guard.look()
    >>> torch.set_grad_enabled(False) and None
    >>> guard.look()  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    blockzoo.measure.timing.guard.ProcessChangedError: it changed gradients (True, now False), ...
    >>> torch.set_grad_enabled(True) and None
    """

    def __init__(self) -> None:
        self._before: State | None = None
        self._watched: str | None = None

    def watch(self, network: str | None) -> None:
        """From now on `network` is at work; None for one that is not foreign."""
        self._watched = network
        if network is not None and self._before is None:
            self._before = process_state()

    def forget(self) -> None:
        """What is changed from here on, until a network is watched again, is no network's doing."""
        self._before = None

    def look(self) -> None:
        """Raise `ProcessChangedError` where the network that is watched has changed the process."""
        if self._watched is None or self._before is None:
            return
        changes = changes_since(self._before)
        if changes:
            raise ProcessChangedError(self._watched, [change.text for change in changes])
