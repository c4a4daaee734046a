"""Sums over images and the losses of steps, kept on the device and read from it rarely."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from blockzoo.errors import DivergenceError
from blockzoo.results.records import EpochMetrics

STEPS_BETWEEN_CHECKS = 50  # reading a loss makes a GPU wait, so not at each step


class Tally:
    """Sums of cross-entropy and of right answers over images, kept on the device."""

    def __init__(self) -> None:
        self._loss: Tensor | float = 0.0
        self._right: Tensor | int = 0
        self.images = 0

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Count one batch: logits (N, classes), labels (N,)."""
        logits = logits.detach().float()
        self._loss = self._loss + F.cross_entropy(logits, labels, reduction="sum").double()
        self._right = self._right + (logits.argmax(dim=1) == labels).sum()
        self.images += len(labels)

    @property
    def loss(self) -> float:
        """Mean cross-entropy in nats."""
        return float(self._loss) / self.images

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return float(self._right) / self.images


class StepLosses:
    """The losses of an epoch's steps; raises `DivergenceError` naming the first not finite."""

    def __init__(self, subject: str, epoch: int) -> None:
        self._subject, self._epoch = subject, epoch
        self._unread: list[tuple[Tensor, float]] = []
        self._checked = 0
        self.last_rate = 0.0

    def add(self, loss: Tensor, learning_rate: float) -> None:
        """Note one step: its loss, a scalar on the device, and its learning rate."""
        self._unread.append((loss, learning_rate))
        self.last_rate = learning_rate
        if len(self._unread) == STEPS_BETWEEN_CHECKS:
            self.check()

    def check(self) -> None:
        """Read the losses noted since the last check."""
        if not self._unread:
            return
        losses = torch.stack([loss for loss, _ in self._unread]).tolist()
        for index, ((_, rate), loss) in enumerate(zip(self._unread, losses, strict=True)):
            if not math.isfinite(loss):
                raise DivergenceError(
                    f"{self._subject}: the loss is {loss} in epoch {self._epoch}, "
                    f"step {self._checked + index + 1}, at learning rate {rate:.6g}"
                )
        self._checked += len(losses)
        self._unread.clear()


def check_validation(metrics: EpochMetrics, subject: str) -> None:
    """Raise `DivergenceError` if the validation loss is not finite."""
    if not math.isfinite(metrics.val_loss):
        raise DivergenceError(
            f"{subject}: the validation loss is {metrics.val_loss} after epoch {metrics.epoch}, "
            f"at learning rate {metrics.learning_rate:.6g}"
        )
