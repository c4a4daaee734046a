"""Gradient norms of the network's parts, on a sample of an epoch's steps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from blockzoo.scaffold.net import ScaffoldNet

STEPS_BETWEEN_NORMS = 10


class GradientNorms:
    """Mean over an epoch's sampled steps of the Euclidean norm of each part's gradient.

    Parts are stem, stage_early, stage_mid, stage_late and head of a scaffold, else `network`.
    Every tenth step counts, the first included, before clipping; sums stay on the device.
    """

    def __init__(self, net: nn.Module) -> None:
        parts = net.parts() if isinstance(net, ScaffoldNet) else {"network": net}
        self._parameters = {
            name: [p for p in part.parameters() if p.requires_grad] for name, part in parts.items()
        }
        self.reset()

    def reset(self) -> None:
        """Start an epoch."""
        self._sums: dict[str, Tensor] = {}
        self._counted = 0

    def add(self, step: int) -> None:
        """Count the gradients of the epoch's step, from 0, if it is one of the sample."""
        if step % STEPS_BETWEEN_NORMS:
            return
        self._counted += 1
        for name, parameters in self._parameters.items():
            gradients = [p.grad for p in parameters if p.grad is not None]
            if gradients:
                norm = torch.stack(torch._foreach_norm(gradients)).norm()
                self._sums[name] = self._sums.get(name, torch.zeros_like(norm)) + norm

    def means(self) -> dict[str, float]:
        """Return the mean norm by part; parts without weights are left out."""
        return {name: float(total) / self._counted for name, total in self._sums.items()}
