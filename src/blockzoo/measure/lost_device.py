"""Whether a device still works: one error in a kernel ends CUDA for the whole process."""

from __future__ import annotations

import torch


class DeviceLostError(Exception):
    """A cell took its device with it; nothing else can be measured there in this process."""


def works(device: str) -> bool:
    """Tell whether `device` computes; a CPU always does."""
    where = torch.device(device)
    if where.type == "cpu":
        return True
    try:
        return torch.ones(1, device=where).add_(1).item() == 2
    except (RuntimeError, AssertionError):  # torch without CUDA asserts
        return False
