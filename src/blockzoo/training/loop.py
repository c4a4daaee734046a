"""The training loop: Lightning Fabric's device, autocast and backward, and steps of our own.

Everything that the next epoch depends on is in `Loop.state()`, so that a training that was killed
goes on from a checkpoint as if nothing had been. What is measured per epoch is read from the
device once per epoch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from blockzoo.core.errors import BlockError
from blockzoo.core.seeding import generator_states, restore_generators
from blockzoo.data.batches import Batch
from blockzoo.results.records import EpochMetrics
from blockzoo.training.checkpoint import load_checkpoint
from blockzoo.training.compilation import CompiledForward
from blockzoo.training.cuda_graphs import GraphedForward
from blockzoo.training.drop_path import DropPath
from blockzoo.training.metrics import (
    STEPS_BETWEEN_NORMS,
    GradientNorms,
    RunningMetrics,
    StepLosses,
    TestMetrics,
    check_epoch,
    check_validation,
)
from blockzoo.training.micro_batches import MicroBatches, OnOom, block_errors
from blockzoo.training.optimisation import WeightAverage, build_optimizer, build_scheduler
from blockzoo.training.recipe import Recipe

if TYPE_CHECKING:
    from lightning.fabric import Fabric

Forward = Callable[..., Tensor]
_FOLDING_ERROR = 1e-4  # of the largest weight, by adding to weights and taking away again
_LEAST_MICRO_BATCH = 2  # batch normalisation needs two images


@dataclass(frozen=True)
class Trainee:
    """The network that is trained, what messages call it, and how many classes it tells apart."""

    net: nn.Module
    subject: str
    classes: int


class Loop:
    """Trains a network by `recipe`, epoch by epoch; `history` gains an `EpochMetrics` each.

    The weights of the epoch with the highest validation accuracy (then the lowest validation
    loss, then the first) are kept and put back by `restore_best`. `compiled` computes what the
    network computes, in training alone; the network itself does where it is None.
    """

    def __init__(
        self,
        trainee: Trainee,
        recipe: Recipe,
        fabric: Fabric,
        *,
        steps_per_epoch: int,
        on_oom: OnOom,
        drop_path: DropPath | None = None,
        compiled: CompiledForward | GraphedForward | None = None,
    ) -> None:
        net = trainee.net
        self.net, self.subject, self._classes = net, trainee.subject, trainee.classes
        self.recipe, self._fabric = recipe, fabric
        self._drop_path, self._compiled = drop_path, compiled
        self._names = set(net.state_dict())
        self._optimizer = build_optimizer(net, recipe)
        self._scheduler = build_scheduler(self._optimizer, recipe, steps_per_epoch)
        self._average = WeightAverage(net, recipe.ema_decay) if recipe.ema_decay else None
        self._norms = GradientNorms(net)
        self.history: list[EpochMetrics] = []
        self.best: EpochMetrics | None = None
        self._best_weights: dict[str, Tensor] = {}
        self.train_seconds, self.images_trained = 0.0, 0
        cut = partial(MicroBatches, on_oom=on_oom, subject=self.subject, device=fabric.device)
        self._micro_batches = cut(least=_LEAST_MICRO_BATCH)
        # In eval one image will do, for batch statistics are then those that were kept.
        self._judged_batches = cut(least=1)
        self.peak_memory_bytes = 0
        if fabric.device.type == "cuda":
            # A process may have trained others before, and theirs is not this one's peak.
            torch.cuda.reset_peak_memory_stats(fabric.device)

    @property
    def micro_batch_size(self) -> int | None:
        """The images of the parts that training batches are computed in; None while whole."""
        return self._micro_batches.size

    @property
    def compiled(self) -> bool:
        """Whether whole batches ran compiled to the end."""
        return self._ran_otherwise and self._compiled is not None and self._compiled.is_compiled

    @property
    def in_graphs(self) -> bool:
        """Whether whole batches were replayed as CUDA graphs of the network itself to the end."""
        return self._ran_otherwise and not self.compiled

    @property
    def _ran_otherwise(self) -> bool:
        return self._compiled is not None and not self.not_compiled

    @property
    def not_compiled(self) -> str:
        """Why they did not though it was asked for, else ""."""
        if self._compiled and not self._compiled.given_up and self.micro_batch_size is not None:
            return "batches were computed in parts"
        return self._compiled.given_up if self._compiled else ""

    def train_epoch(self, train: Iterable[Batch], val: Iterable[Batch]) -> EpochMetrics:
        """Train one epoch, validate, and keep the weights if they are the best so far."""
        epoch, started = len(self.history) + 1, time.perf_counter()
        self._tell_progress((epoch - 1) / self.recipe.epochs)
        running, losses = RunningMetrics(), StepLosses(self.subject, epoch)
        self._norms.reset()
        if self._drop_path:
            self._drop_path.begin(epoch)
        self.net.train()
        for index, batch in enumerate(train):
            self._step(index, batch, running, losses)
        losses.check()  # makes the device finish all steps
        train_seconds = time.perf_counter() - started
        self.train_seconds += train_seconds
        self.images_trained += running.images
        validation = self.evaluate(val, RunningMetrics())
        seconds = time.perf_counter() - started
        metrics = EpochMetrics(
            epoch=epoch,
            learning_rate=losses.last_rate,
            train_loss=running.loss,
            train_accuracy=running.accuracy,
            train_top5_accuracy=running.top5_accuracy,
            val_loss=validation.loss,
            val_accuracy=validation.accuracy,
            val_top5_accuracy=validation.top5_accuracy,
            seconds=seconds,
            elapsed_seconds=sum(past.seconds for past in self.history) + seconds,
            images_per_s=running.images / train_seconds,
            gradient_norms=self._norms.means(),
        )
        self._finish(metrics)
        return metrics

    def evaluate(self, batches: Iterable[Batch], running: RunningMetrics) -> RunningMetrics:
        """Count `batches` into `running` by the network that is to be judged.

        It makes no difference but in rounding that one which does not fit is computed in parts.
        """
        net = self._average.net if self._average else self.net

        def judged(parts: Iterable[Batch]) -> list[Batch]:
            return [(self._logits(net, images), labels) for images, labels in parts]

        with torch.no_grad(), self._in_eval(net):
            for batch in batches:
                for logits, labels in self._judged_batches.fitting(judged, batch):
                    running.add(logits, labels)
        return running

    @contextmanager
    def _in_eval(self, net: nn.Module) -> Iterator[None]:
        """Put the network in eval mode and back in training mode, in which its weights are kept.

        In eval mode they may mean something else: updates folded into them, say. Raises
        `BlockError` where they are not the same afterwards; looks in the first epoch alone.
        """
        looked_at = [] if self.history else net.named_parameters()
        before = {n: p.clone() for n, p in looked_at if p.is_floating_point() or p.is_complex()}
        net.eval()
        try:
            yield
        finally:
            net.train()
        now = dict(net.named_parameters())
        for name, value in before.items():
            # Folding and unfolding rounds.
            if name not in now or not _nearly_equal(now[name], value):
                raise BlockError(
                    f"{self.subject} has another {name} after it was in eval mode; "
                    f"weights that eval mode changes must be put back by train()"
                )

    def test(self, batches: Iterable[Batch]) -> TestMetrics:
        """Return the counts of the network itself, which `restore_best` has made the best."""
        self._average = None  # whose weights of the best epoch are in the network by now
        metrics = TestMetrics(self._classes)
        self.evaluate(batches, metrics)
        return metrics

    def restore_best(self) -> EpochMetrics:
        """Put the best weights back into the network and return their epoch's metrics."""
        assert self.best is not None
        self.net.load_state_dict(self._best_weights)
        return self.best

    def state(self) -> dict[str, Any]:
        """Return all that the next epochs depend on, as plain values and tensors."""
        average = self._average
        return {
            "net": self.net.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scheduler": self._scheduler.state_dict(),
            "average": average and {"weights": average.net.state_dict(), "steps": average.steps},
            "history": [metrics.model_dump() for metrics in self.history],
            "best_epoch": self.best and self.best.epoch,
            "best_weights": self._best_weights,
            "train_seconds": self.train_seconds,
            "images_trained": self.images_trained,
            "micro_batch_size": self.micro_batch_size,
            "peak_memory_bytes": self.peak_memory_bytes,
            "generators": generator_states(),
        }

    def resume(self, checkpoint: Path, identity: str) -> None:
        """Go on from the checkpoint where there is one of the training of that identity."""
        state = load_checkpoint(checkpoint, identity)
        if state is not None:
            self.load_state(state)

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.net.load_state_dict(state["net"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._scheduler.load_state_dict(state["scheduler"])
        if self._average:
            self._average.net.load_state_dict(state["average"]["weights"])
            self._average.steps = state["average"]["steps"]
        self.history = [EpochMetrics.model_validate(past) for past in state["history"]]
        self.best = self.history[state["best_epoch"] - 1]
        device = self._fabric.device
        self._best_weights = {k: v.to(device) for k, v in state["best_weights"].items()}
        self.train_seconds = state["train_seconds"]
        self.images_trained = state["images_trained"]
        self._micro_batches.size = state["micro_batch_size"]
        self.peak_memory_bytes = state["peak_memory_bytes"]
        restore_generators(state["generators"])

    def _step(self, index: int, batch: Batch, running: RunningMetrics, losses: StepLosses) -> None:
        """One training step, whole: forward, loss, backward, clip, update, average, count.

        `index` is the step of the epoch, from 0.
        """
        images_of_batch = len(batch[1])
        # Once, however often the batch is tried: draws follow from seed and epoch alone.
        paths = self._drop_path.draw(images_of_batch) if self._drop_path else None

        def forward_and_backward(micro_batches: Iterable[Batch]) -> tuple[list[Batch], Tensor]:
            self._optimizer.zero_grad()  # also what a try that ran out of memory left
            answers, total, end = list[Batch](), torch.zeros((), device=self._fabric.device), 0
            for images, labels in micro_batches:
                begin, end = end, end + len(labels)
                inputs = (images,) if paths is None else (images, paths[:, begin:end])
                logits = self._logits(self._compiled or self.net, *inputs)
                if not self.history and index == 0:
                    self._check_first(logits)  # once: reading a value makes a GPU wait
                if index % STEPS_BETWEEN_NORMS == 0:
                    self._sample_memory()  # here, where all activations are held
                loss = F.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing)
                # Gradients add up, so that each part counts by its share of the batch.
                share = len(labels) / images_of_batch
                loss = loss if share == 1 else loss * share
                with block_errors(f"{self.subject} raises as gradients are computed"):
                    self._fabric.backward(loss)
                answers.append((logits.detach(), labels))
                total = total + loss.detach()
            return answers, total

        # Whole first; in smaller and smaller parts where memory does not suffice.
        answers, loss = self._micro_batches.fitting(forward_and_backward, batch)
        losses.add(loss, self._optimizer.param_groups[0]["lr"])
        with block_errors(f"{self.subject} cannot be trained"):
            self._norms.add(index)  # before they are clipped
            if self.recipe.gradient_clip_norm:
                nn.utils.clip_grad_norm_(self.net.parameters(), self.recipe.gradient_clip_norm)
            self._optimizer.step()
        if not isinstance(self._scheduler, ReduceLROnPlateau):  # that one steps by epochs
            self._scheduler.step()
        if self._average:
            self._average.update()
        for logits, labels in answers:
            running.add(logits, labels)

    def _logits(self, net: Forward, images: Tensor, *paths: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to logits (N, classes), float32.

        Raises `BlockError` naming the network when it raises or returns another shape.
        """
        errors = block_errors(f"{self.subject} raises on a batch of {tuple(images.shape)}")
        with errors, self._fabric.autocast():
            logits: Tensor = net(images, *paths)
        if logits.shape != (len(images), self._classes):
            raise BlockError(
                f"{self.subject} returns logits of shape {tuple(logits.shape)}; "
                f"they must be {(len(images), self._classes)}"
            )
        return logits.float()

    def _check_first(self, logits: Tensor) -> None:
        if not bool(logits.isfinite().all()):
            raise BlockError(f"{self.subject} returns NaN or infinite values before any training")

    def _tell_progress(self, fraction: float) -> None:
        """Call the hook that blocks may declare, `on_training_progress(fraction done)`."""
        for net in (self.net, self._average and self._average.net):
            for module in net.modules() if net else ():
                hook: Callable[[float], None] | None = getattr(module, "on_training_progress", None)
                if hook is not None:
                    with block_errors(f"{self.subject} raises in on_training_progress"):
                        hook(fraction)

    def _finish(self, metrics: EpochMetrics) -> None:
        check_validation(metrics, self.subject)
        check_epoch(metrics, self.subject, classes=self._classes)
        # Such weights would be in no optimizer, no average and no checkpoint.
        if late := self._names ^ set(self.net.state_dict()):
            raise BlockError(
                f"{self.subject} made or dropped {min(late)} as it was trained; "
                f"all weights must be there from the start"
            )
        if isinstance(self._scheduler, ReduceLROnPlateau):
            self._scheduler.step(metrics.val_loss)
        self._sample_memory()
        self.history.append(metrics)
        if self.best is None or _merit(metrics) > _merit(self.best):
            self.best = metrics
            judged = self._average.net if self._average else self.net
            # Copies, for the next steps change the weights in place.
            self._best_weights = {k: v.clone() for k, v in judged.state_dict().items()}

    def _sample_memory(self) -> None:
        device = self._fabric.device
        on_cuda = device.type == "cuda"
        now = (
            torch.cuda.max_memory_allocated(device)
            if on_cuda
            else psutil.Process().memory_info().rss
        )
        self.peak_memory_bytes = max(self.peak_memory_bytes, now)


def _nearly_equal(value: Tensor, before: Tensor) -> bool:
    if value.shape != before.shape:
        return False
    largest = before.abs().amax() if before.numel() else before.new_zeros(())
    # Weights that are no numbers are the business of the checks for divergence.
    return not bool(((value - before).abs() > _FOLDING_ERROR * largest).any())


def _merit(metrics: EpochMetrics) -> tuple[float, float]:
    return metrics.val_accuracy, -metrics.val_loss
