"""Which errors say that memory is exhausted, on a GPU or on the host."""

from __future__ import annotations

import torch

_SAID = (
    "DefaultCPUAllocator: can't allocate memory",
    "CUDA error: out of memory",  # of pinned memory and of recorded graphs
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
"""What other errors than torch's own for it say, which are plain RuntimeErrors."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory is exhausted."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error) for said in _SAID)
