"""Whether a device still works: one error in a kernel ends CUDA for the whole process."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from blockzoo.core.errors import BlockZooError


class DeviceLostError(Exception):
    """A cell took its device with it; nothing else can be measured there in this process."""


class Devices:
    """Knows which of `names` worked when it was made."""

    def __init__(self, names: Iterable[str]) -> None:
        self._worked = {name for name in set(names) if works(name)}

    def check(self, device: str, cell: str) -> None:
        """Raise `DeviceLostError` where `device`, which `cell` ran on, worked and does no more."""
        if device in self._worked and not works(device):
            raise DeviceLostError(f"{device} was lost by {cell}")


def works(device: str) -> bool:
    """Tell whether `device` computes; a CPU always does."""
    where = torch.device(device)
    if where.type == "cpu":
        return True
    try:
        return torch.ones(1, device=where).add_(1).item() == 2
    except (RuntimeError, AssertionError):  # torch without CUDA asserts
        return False


def require_working(device: torch.device, after: str) -> None:
    """Raise `BlockZooError` where `device` no longer works, `after` being what ran last."""
    if not works(str(device)):
        raise BlockZooError(
            f"{device} was lost by {after}; what comes after it was not run, for in this process "
            f"nothing more can be"
        )
