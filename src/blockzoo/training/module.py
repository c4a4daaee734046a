"""The LightningModule that trains a classifier, and the data it is fed with.

Lightning gives the loop, the progress bar, autocast, clipping and schedules; what is measured per
epoch is kept here, exactly, and read from the device once per epoch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from lightning.pytorch import LightningDataModule, LightningModule
from torch import Tensor, nn

from blockzoo.blocks.blame import describe_error
from blockzoo.data.batches import Batch, Batches, DeviceImages
from blockzoo.errors import BlockError, BlockZooError
from blockzoo.results.records import EpochMetrics
from blockzoo.training.optimisation import build_optimizer, build_scheduler
from blockzoo.training.recipe import Recipe
from blockzoo.training.tally import StepLosses, Tally, check_validation

EVALUATION_BATCH_SIZE = 256


class Classifier(LightningModule):
    """Trains `net` by `recipe`; `history` gains an `EpochMetrics` per epoch.

    The weights of the epoch with the highest validation accuracy (then the lowest validation
    loss, then the first) are kept and put back by `restore_best`. `subject` names the network in
    messages. `on_epoch` is called with each epoch's metrics.
    """

    def __init__(
        self,
        net: nn.Module,
        recipe: Recipe,
        steps_per_epoch: int,
        *,
        subject: str,
        on_epoch: Callable[[EpochMetrics], None] | None = None,
    ) -> None:
        super().__init__()
        self.net, self.recipe, self.steps_per_epoch = net, recipe, steps_per_epoch
        self.subject, self.on_epoch = subject, on_epoch
        self.history: list[EpochMetrics] = []
        self.best: EpochMetrics | None = None
        self._best_weights: dict[str, Tensor] = {}
        self.train_seconds, self.images_trained = 0.0, 0
        self.test = Tally()

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to logits (N, classes), float32.

        Raises `BlockError` naming the network when it raises.
        """
        try:
            logits: Tensor = self.net(images)
        except BlockZooError:
            raise
        except Exception as error:
            raise BlockError(
                f"{self.subject} raises on a batch of {tuple(images.shape)}: "
                f"{describe_error(error)}"
            ) from error
        return logits.float()

    def configure_optimizers(self) -> Any:
        """Return the recipe's optimizer and schedule in Lightning's form."""
        optimizer = build_optimizer(self.net, self.recipe)
        plateau = self.recipe.schedule == "plateau"
        schedule = {
            "scheduler": build_scheduler(optimizer, self.recipe, self.steps_per_epoch),
            "interval": "epoch" if plateau else "step",
            "monitor": "val_loss",
        }
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def configure_gradient_clipping(self, *_: object, **__: object) -> None:
        """Clip here, for Lightning's own clipping refuses torch's fused optimizers."""
        if self.recipe.gradient_clip_norm:
            nn.utils.clip_grad_norm_(self.net.parameters(), self.recipe.gradient_clip_norm)

    def on_train_epoch_start(self) -> None:
        """Start the epoch's sums and clock."""
        self._train = Tally()
        self._steps = StepLosses(self.subject, self.current_epoch + 1)
        self._started = time.perf_counter()

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Return the loss of one batch; raises `BlockError` if the first output is not finite."""
        images, labels = batch
        logits = self(images)
        if self.global_step == 0:
            self._check_first(logits)
        loss = F.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing)
        self._train.add(logits, labels)
        self._steps.add(loss.detach(), self.trainer.optimizers[0].param_groups[0]["lr"])
        return loss

    def on_validation_epoch_start(self) -> None:
        """Stop the epoch's training clock; checking makes the device finish all its steps."""
        self._steps.check()
        self._train_loss, self._train_accuracy = self._train.loss, self._train.accuracy
        self.train_seconds += time.perf_counter() - self._started
        self.images_trained += self._train.images
        self._val = Tally()

    def validation_step(self, batch: Batch, index: int) -> None:
        """Count one batch of the validation set."""
        images, labels = batch
        self._val.add(self(images), labels)

    def on_validation_epoch_end(self) -> None:
        """Record the epoch and keep its weights if they are the best so far."""
        metrics = EpochMetrics(
            epoch=self.current_epoch + 1,
            learning_rate=self._steps.last_rate,
            train_loss=self._train_loss,
            train_accuracy=self._train_accuracy,
            val_loss=self._val.loss,
            val_accuracy=self._val.accuracy,
            seconds=time.perf_counter() - self._started,
        )
        check_validation(metrics, self.subject)
        self._keep(metrics)
        self.log("val_loss", metrics.val_loss, prog_bar=True)
        self.log("val_accuracy", metrics.val_accuracy, prog_bar=True)

    def test_step(self, batch: Batch, index: int) -> None:
        """Count one batch of the test set."""
        images, labels = batch
        self.test.add(self(images), labels)

    def restore_best(self) -> EpochMetrics:
        """Put the best weights back into the network and return their epoch's metrics."""
        assert self.best is not None
        self.net.load_state_dict(self._best_weights)
        return self.best

    def _check_first(self, logits: Tensor) -> None:
        if not bool(logits.isfinite().all()):
            raise BlockError(f"{self.subject} returns NaN or infinite values before any training")

    def _keep(self, metrics: EpochMetrics) -> None:
        self.history.append(metrics)
        if self.best is None or _merit(metrics) > _merit(self.best):
            self.best = metrics
            self._best_weights = {k: v.clone() for k, v in self.net.state_dict().items()}
        if self.on_epoch is not None:
            self.on_epoch(metrics)


def _merit(metrics: EpochMetrics) -> tuple[float, float]:
    return metrics.val_accuracy, -metrics.val_loss


class SplitData(LightningDataModule):
    """Training, validation and test images, already on the device; a new order each epoch."""

    def __init__(
        self,
        *,
        train: DeviceImages,
        val: DeviceImages,
        test: Callable[[], DeviceImages],
        recipe: Recipe,
        flip: bool,
        seed: int,
    ) -> None:
        super().__init__()
        self._train, self._val, self._test = train, val, test
        self._recipe, self._flip, self._seed = recipe, flip, seed

    def train_dataloader(self) -> Batches:
        """Return the batches of the trainer's current epoch."""
        assert self.trainer is not None
        return self._train.epoch(
            self.trainer.current_epoch,
            seed=self._seed,
            batch_size=self._recipe.batch_size,
            crop_padding=self._recipe.crop_padding,
            flip=self._flip,
        )

    def val_dataloader(self) -> Batches:
        """Return the validation images in order."""
        return self._val.in_order(EVALUATION_BATCH_SIZE)

    def test_dataloader(self) -> Batches:
        """Return the test images in order; they reach the device only now."""
        return self._test().in_order(EVALUATION_BATCH_SIZE)
