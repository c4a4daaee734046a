"""Sums over images and the losses of steps, kept on the device and read from it rarely."""

from __future__ import annotations

import hashlib
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockzoo.core.errors import DivergenceError
from blockzoo.results.answers import packed
from blockzoo.results.records import EpochMetrics
from blockzoo.scaffold.net import ScaffoldNet

STEPS_BETWEEN_CHECKS = 50  # reading a loss makes a GPU wait, so not at each step
TOP = 5
CALIBRATION_BINS = 15
DIVERGED_AT = 10.0
"""A training loss of this many times ln(classes), which is that of guessing, has diverged."""


class RunningMetrics:
    """Sums of cross-entropy and of right answers over images, kept on the device."""

    def __init__(self) -> None:
        self._loss: Tensor | float = 0.0
        self._right: Tensor | int = 0
        self._near: Tensor | None = None
        self.images = 0

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Count one batch: logits (N, classes), labels (N,)."""
        logits = logits.detach().float()
        # Double, for a sum over a whole data set would lose digits in single precision.
        self._loss = self._loss + F.cross_entropy(logits, labels, reduction="sum").double()
        self._right = self._right + (logits.argmax(dim=1) == labels).sum()
        if logits.shape[1] > TOP:
            best = logits.topk(TOP, dim=1).indices
            near = (best == labels[:, None]).any(dim=1).sum()
            self._near = near if self._near is None else self._near + near
        self.images += len(labels)

    @property
    def loss(self) -> float:
        """Mean cross-entropy in nats."""
        return float(self._loss) / self.images

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return float(self._right) / self.images

    @property
    def top5_accuracy(self) -> float | None:
        """Share of images whose class is among the five likeliest; None with 5 classes or less."""
        return None if self._near is None else float(self._near) / self.images


class TestMetrics(RunningMetrics):
    """A `RunningMetrics` that also knows calibration, the accuracy of each class, each answer."""

    __test__ = False  # not a test, whatever pytest thinks of the name

    def __init__(self, classes: int) -> None:
        super().__init__()
        self._bins = torch.zeros(3, CALIBRATION_BINS, dtype=torch.float64)
        self._classes = torch.zeros(2, classes, dtype=torch.float64)
        self._correct: list[Tensor] = []
        self._logits = hashlib.sha256()

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Count one batch: logits (N, classes), labels (N,)."""
        super().add(logits, labels)
        logits, labels = logits.detach().float(), labels.cpu()
        sure, answers = (t.cpu() for t in logits.softmax(dim=1).max(dim=1))
        self._logits.update(logits.cpu().contiguous().numpy().data)
        # Of the logits, as the accuracy is: in a softmax two that differ may round to one value.
        self._correct.append(logits.argmax(dim=1).cpu() == labels)
        right = (answers == labels).double()
        # Bins hold their upper end and not their lower one, as in the paper.
        where = (sure * CALIBRATION_BINS).ceil().long().clamp(1, CALIBRATION_BINS) - 1
        for row, values in enumerate((torch.ones_like(right), sure.double(), right)):
            self._bins[row].index_add_(0, where, values)
        for row, values in enumerate((torch.ones_like(right), right)):
            self._classes[row].index_add_(0, labels, values)

    @property
    def calibration_error(self) -> float:
        """Expected calibration error (Guo et al. 2017), a fraction of 1.

        Images are put into 15 bins of equal width by the probability of the class answered; the
        error is the mean over images of |accuracy - mean probability| of their bin.
        """
        _, sure, right = self._bins
        return float((sure - right).abs().sum()) / self.images

    @property
    def correct(self) -> str:
        """Which images were answered rightly, in their order, as `results.answers` packs it."""
        return packed(torch.cat(self._correct).numpy())

    @property
    def logits_sha256(self) -> str:
        """SHA-256 of all logits in their order, as float32, in hexadecimal digits."""
        return self._logits.hexdigest()

    @property
    def class_accuracy(self) -> tuple[float | None, ...]:
        """Share of right answers for each class; None for a class without images."""
        counts, right = self._classes.tolist()
        return tuple(r / n if n else None for n, r in zip(counts, right, strict=True))


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


def check_epoch(metrics: EpochMetrics, subject: str, *, classes: int) -> None:
    """Raise `DivergenceError` for a training loss after epoch 1 that is absurdly high."""
    limit = DIVERGED_AT * math.log(classes)
    # The mean of the first epoch holds its first steps, which may be wild and still end well.
    if metrics.epoch > 1 and metrics.train_loss > limit:
        raise DivergenceError(
            f"{subject}: the training loss is {metrics.train_loss:.4g} in epoch {metrics.epoch}, "
            f"above {DIVERGED_AT:g} x ln({classes}) = {limit:.4g}, "
            f"at learning rate {metrics.learning_rate:.6g}"
        )


def check_validation(metrics: EpochMetrics, subject: str) -> None:
    """Raise `DivergenceError` if the validation loss is not finite."""
    if not math.isfinite(metrics.val_loss):
        raise DivergenceError(
            f"{subject}: the validation loss is {metrics.val_loss} after epoch {metrics.epoch}, "
            f"at learning rate {metrics.learning_rate:.6g}"
        )


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
