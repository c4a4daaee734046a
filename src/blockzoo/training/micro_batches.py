"""Batches in parts where memory does not suffice for the whole, half as large each time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeVar, get_args

import torch

from blockzoo.blocks.user_errors import describe_error
from blockzoo.core.errors import BlockError, BlockZooError, DeviceMemoryError, UnknownNameError
from blockzoo.data.batches import Batch, batch_sizes
from blockzoo.measure.machine.devices import is_out_of_memory

OnOom = Literal["split", "fail"]
Result = TypeVar("Result")


class MicroBatches:
    """Cuts batches into parts of `size` images, or leaves them whole while that is None.

    Parts have `least` images at the least. `subject` names the network in messages. `on_oom` is
    "split", or "fail" where the first batch that does not fit is to raise; anything else raises
    `UnknownNameError`.
    """

    def __init__(
        self, *, least: int, on_oom: OnOom, subject: str, device: torch.device | str
    ) -> None:
        if on_oom not in get_args(OnOom):
            raise UnknownNameError("on_oom", str(on_oom), get_args(OnOom))
        self.size: int | None = None
        self._least, self._on_oom, self._subject = least, on_oom, subject
        self._device = torch.device(device)

    def fitting(self, compute: Callable[[Iterator[Batch]], Result], batch: Batch) -> Result:
        """Return `compute(parts of batch)`, of smaller parts each time that memory is exhausted.

        Raises `DeviceMemoryError` where the parts cannot be smaller, or are not to be.

        >>> batches = MicroBatches(least=1, on_oom="split", subject="the network", device="cpu")
        >>> batch = torch.zeros(4, 3, 8, 8), torch.zeros(4, dtype=torch.int64)
        >>> batches.fitting(lambda parts: [len(labels) for _, labels in parts], batch)
        [4]
        >>> batches.size = 2
        >>> batches.fitting(lambda parts: [len(labels) for _, labels in parts], batch)
        [2, 2]
        """
        while True:
            try:
                return compute(self._of(batch))
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                self._halve(len(batch[1]), error)
            if self._device.type == "cuda":
                torch.cuda.empty_cache()  # outside, where the error no longer holds tensors

    def _of(self, batch: Batch) -> Iterator[Batch]:
        if self.size is None:
            yield batch
            return
        sizes = batch_sizes(len(batch[1]), self.size)
        yield from zip(*(torch.split(values, sizes) for values in batch), strict=True)

    def _halve(self, images: int, error: BaseException) -> None:
        # A last batch may be smaller than the parts are.
        tried = min(self.size or images, images)
        if self._on_oom == "fail" or tried // 2 < self._least:
            raise DeviceMemoryError(
                f"{self._subject} does not fit into the memory of {self._device} "
                f"with {tried} images at once"
            ) from error
        self.size = tried // 2


@contextmanager
def block_errors(what: str) -> Iterator[None]:
    """Raise `BlockError` for what is raised within: `what`, a colon and the error.

    What is raised on purpose passes, and so does memory that is exhausted.

    >>> with block_errors("block X raises"):
    ...     raise ValueError("no such luck")
    Traceback (most recent call last):
    blockzoo.core.errors.BlockError: block X raises: ValueError: no such luck
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
