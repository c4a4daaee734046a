"""What goes wrong with a network, told in one line: its own errors, and too little memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from blockzoo.blocks.user_errors import describe_error
from blockzoo.core.errors import BlockError, BlockZooError, DeviceMemoryError
from blockzoo.measure.machine.devices import is_out_of_memory


@contextmanager
def block_errors(what: str) -> Iterator[None]:
    """Raise `BlockError` for what is raised within: `what`, a colon and the error.

    What is raised on purpose passes, and so does memory that is exhausted.
    """
    try:
        yield
    except BlockZooError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise BlockError(f"{what}: {describe_error(error)}") from error


@contextmanager
def memory_errors(subject: str, device: torch.device) -> Iterator[None]:
    """Raise `DeviceMemoryError` naming `subject` where memory is exhausted within."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise DeviceMemoryError(f"{subject} does not fit into the memory of {device}") from error
