"""Whether images lie on the training device, and how they get there batch by batch if they do not.

Order and values of what is given out do not depend on the number of threads.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal

import numpy as np
import psutil
import torch
from torch import Tensor

from blockzoo.core.errors import UnknownNameError

Residence = bool | Literal["auto"]
"""Whether all images are put on the device; "auto" where they take half of its free memory at
most, so that the other half is left to the training."""

_AHEAD_PER_WORKER = 2  # one being gathered, one ready; each is a whole batch of memory


def resolve_residence(residence: Residence, images_bytes: int, device: torch.device) -> bool:
    """Tell whether that many bytes of images are to lie on `device`.

    Raises `UnknownNameError` for what is no `Residence`.

    >>> resolve_residence("auto", 1000, torch.device("cpu"))
    True
    """
    if isinstance(residence, bool):
        return residence
    if residence != "auto":
        raise UnknownNameError("residence", str(residence), ("auto", "True", "False"))
    return images_bytes <= free_bytes(device) // 2


def free_bytes(device: torch.device) -> int:
    """Return how many bytes can still be allocated on `device`."""
    if device.type != "cuda":
        return psutil.virtual_memory().available
    # What torch's allocator holds unused can be allocated too; the driver does not know that.
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + kept


def fetched(
    images: Tensor, batches: Iterable[Tensor], device: torch.device, workers: int
) -> Iterator[Tensor]:
    """Yield uint8 `images[rows]` on `device` for the rows (N,) of each batch, in their order.

    `images` lie in the CPU's memory or are mapped from a file; `workers` threads gather batches
    ahead of their use, for a GPU into pinned memory, from where they are copied as it computes.
    """
    pixels, pinned = images.numpy(), device.type == "cuda"

    def gather(rows: Tensor) -> Tensor:
        gathered = torch.empty((len(rows), *images.shape[1:]), dtype=torch.uint8, pin_memory=pinned)
        # "clip" writes straight into `out`; all rows are within range.
        np.take(pixels, rows.numpy(), axis=0, out=gathered.numpy(), mode="clip")
        return gathered

    ahead: deque[Future[Tensor]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="images")
    try:
        for rows in batches:
            ahead.append(pool.submit(gather, rows))
            if len(ahead) > workers * _AHEAD_PER_WORKER:
                yield ahead.popleft().result().to(device, non_blocking=True)
        while ahead:
            yield ahead.popleft().result().to(device, non_blocking=True)
    finally:  # also where the pass is given up
        pool.shutdown(cancel_futures=True)


def default_workers() -> int:
    """Return how many threads gather batches where nobody says: more do not copy faster."""
    return min(4, os.cpu_count() or 1)
