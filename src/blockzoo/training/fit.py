"""`fit`: train one network on one data set by one recipe, and read the test set once.

Everything random follows from the seed: data order, augmentation and drop path by generators of
their own, dropout and the like by torch's, which is seeded here and given back as it was. Twice the
same call on a CPU gives the same numbers, bit for bit, and so does a training that was stopped and
goes on from its checkpoint. Where memory does not suffice, batches are computed in parts. With
`settings.compiled` the steps of whole batches run compiled, validation and test do not; a network
that cannot be compiled is trained as it is.

>>> from blockzoo.data import load_dataset
>>> from blockzoo.training.recipe import get_recipe
>>> digits, recipe = load_dataset("digits"), get_recipe("quick").lasting(1)
>>> settings = TrainingSettings(dataset=digits, recipe=recipe, seed=0, device="cpu")
>>> result = fit(nn.Sequential(nn.Flatten(), nn.Linear(3072, 10)), settings)
>>> result.best_epoch, result.test_accuracy > 0.1
(1, True)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from blockzoo.core.errors import BlockError
from blockzoo.core.networks import lay_out_network
from blockzoo.core.quiet import quiet
from blockzoo.core.seeding import seeded
from blockzoo.core.termination import terminable
from blockzoo.measure.machine.devices import resolve_device
from blockzoo.results.records import EpochMetrics
from blockzoo.training.arithmetic import (
    Arithmetic,
    contiguous_where_narrow,
    fast_depthwise,
    resolve_arithmetic,
)
from blockzoo.training.checkpoint import save_checkpoint
from blockzoo.training.compilation import BatchKind, CompiledForward
from blockzoo.training.cuda_graphs import GraphedForward
from blockzoo.training.data import SplitData, split_data
from blockzoo.training.drop_path import DropPath
from blockzoo.training.log import LiveView
from blockzoo.training.loop import Loop, Trainee
from blockzoo.training.metrics import TestMetrics
from blockzoo.training.micro_batches import block_errors, memory_errors
from blockzoo.training.process import freed_memory_kept
from blockzoo.training.run_options import RunOptions
from blockzoo.training.settings import TrainingSettings

if TYPE_CHECKING:
    from lightning.fabric import Fabric


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """What a training gave. Epochs count from 1; losses are mean cross-entropy in nats.

    `best_epoch` was chosen on validation; `val_*` are of that epoch, `test_*` of its weights.
    `training_seconds`: all epochs with their validation, without set-up and test.
    `images_per_s`: training images over the seconds of training alone. `test_calibration_error`,
    `test_correct`, `test_logits_sha256`, `peak_memory_bytes` and `micro_batch_size` are as in
    `TrainingRecord`. `compiled`: whether whole batches ran compiled; `not_compiled`: why they did
    not though it was asked for, else "". `in_graphs`: whether they were replayed as CUDA graphs.
    """

    best_epoch: int
    val_loss: float
    val_accuracy: float
    test_loss: float
    test_accuracy: float
    test_top5_accuracy: float | None
    test_calibration_error: float
    test_class_accuracy: tuple[float | None, ...]
    test_images: int
    test_correct: str
    test_logits_sha256: str
    training_seconds: float
    images_per_s: float
    peak_memory_bytes: int
    micro_batch_size: int | None
    epochs: tuple[EpochMetrics, ...]
    precision: Literal["fp32", "bf16"]
    channels_last: bool
    compiled: bool
    not_compiled: str
    in_graphs: bool


def fit(
    net: nn.Module,
    settings: TrainingSettings,
    options: RunOptions | None = None,
    *,
    subject: str = "the network",
    checkpoint: Path | None = None,
    on_start: Callable[[Sequence[EpochMetrics]], None] | None = None,
    on_epoch: Callable[[EpochMetrics], None] | None = None,
) -> FitResult:
    """Train `net`, images (N, 3, H, W) to logits (N, classes), in place, and test it once.

    Afterwards `net` is on the device, in training mode, with the weights of the best epoch: of the
    highest validation accuracy, then the lowest loss, then the first. `subject` names it in
    messages. All state is written to the file `checkpoint` after each epoch, which the caller
    removes; `on_start` is called with the epochs it had at the start, `on_epoch` with each new one.

    Raises `DivergenceError` when a loss is not finite or absurd, `BlockError` when the network
    raises, cannot be trained or its first output is not finite, `DeviceMemoryError`, `DeviceError`,
    `InputError` for drop path in a network that is no scaffold. `KeyboardInterrupt` passes.
    """
    options = options or RunOptions()
    device = resolve_device(settings.device)
    _check_state(net, subject)
    arithmetic = resolve_arithmetic(settings.recipe, device, net)
    identity = _identity(net, settings, arithmetic)
    with ExitStack() as stack:
        stack.enter_context(memory_errors(subject, device))
        data = split_data(settings, device, arithmetic, options.resident)
        lay_out_network(net.to(device), _layout(arithmetic))
        # Only now: what loading the data freed is not to be kept for the steps.
        stack.enter_context(_prepared_process(net, settings.seed, arithmetic, device))
        loop = _loop(net, data, settings, options, arithmetic, subject)
        if checkpoint is not None and options.resume:
            # Inside the seeded process, whose generators the checkpoint sets to where they were.
            loop.resume(checkpoint, identity)
        if on_start is not None:
            on_start(loop.history)
        done, epochs = len(loop.history), settings.recipe.epochs
        view = stack.enter_context(LiveView(epochs, done, shown=options.progress))
        for epoch in range(done, epochs):
            metrics = loop.train_epoch(data.train(epoch), data.val())
            if checkpoint is not None:
                # Before anybody is told of the epoch: what a listener raises does not cost it.
                save_checkpoint(checkpoint, identity, loop.state())
            view.finished(metrics)
            if on_epoch is not None:
                on_epoch(metrics)
        best, test = loop.restore_best(), loop.test(data.test())  # test images are read once
    return _result(loop, best, test, arithmetic)


def _check_state(net: nn.Module, subject: str) -> None:
    for name, value in net.state_dict().items():
        if not isinstance(value, Tensor):
            raise BlockError(
                f"{subject} has {type(value).__name__} in its state, as {name}; only tensors can "
                f"be averaged and kept"
            )


def _identity(net: nn.Module, settings: TrainingSettings, arithmetic: Arithmetic) -> str:
    """Return a hash of all that determines the weights, the initial ones included."""
    split = (settings.validation_fraction, settings.split_seed)
    determinants = [settings.recipe.determinants(), asdict(arithmetic), settings.seed, split]
    determinants += [settings.dataset.fingerprint, *(["compiled"] if settings.compiled else [])]
    # Another version of torch may round differently, so its checkpoints are not gone on from.
    digest = hashlib.sha256(json.dumps([*determinants, torch.__version__]).encode())
    for name, value in net.state_dict().items():
        digest.update(name.encode())
        # As bytes, for numpy has no bfloat16.
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


@contextmanager
def _prepared_process(
    net: nn.Module, seed: int, arithmetic: Arithmetic, device: torch.device
) -> Iterator[None]:
    """Set what is global to the process as a training needs it; all of it is given back."""
    # cuDNN is to choose the same algorithms each time, and what is called fp32 is to be fp32.
    repeatable = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    narrow = contiguous_where_narrow(net, arithmetic, device)
    memory, depthwise = freed_memory_kept(device), fast_depthwise(net, arithmetic, device)
    with terminable(), seeded(seed), repeatable, memory, depthwise, narrow:
        yield


def _loop(
    net: nn.Module,
    data: SplitData,
    settings: TrainingSettings,
    options: RunOptions,
    arithmetic: Arithmetic,
    subject: str,
) -> Loop:
    """Return the loop before its first epoch."""
    device, rate = data.images.device, settings.recipe.drop_path
    drop_path = DropPath(net, rate, seed=settings.seed, device=device) if rate else None
    fabric = _fabric(device, arithmetic)
    forward = None
    if settings.compiled or options.cuda_graphs:
        kind = _kind(data, drop_path, arithmetic, fabric)
        made = CompiledForward if settings.compiled else GraphedForward
        forward = made(net, kind, fabric.autocast)
    with block_errors(f"{subject} cannot be trained"):
        return Loop(
            Trainee(net, subject, settings.dataset.num_classes),
            settings.recipe,
            fabric,
            steps_per_epoch=data.steps,
            on_oom=options.on_oom,
            drop_path=drop_path,
            compiled=forward,
        )


def _layout(arithmetic: Arithmetic) -> torch.memory_format:
    return torch.channels_last if arithmetic.channels_last else torch.contiguous_format


def _kind(
    data: SplitData, drop_path: DropPath | None, arithmetic: Arithmetic, fabric: Fabric
) -> BatchKind:
    """Return the kind of whole batches of the data."""
    size = min(data.recipe.batch_size, len(data.images))
    return BatchKind(
        shape=(size, *data.images.image_shape),
        paths=(drop_path.blocks, size) if drop_path else (),
        device=fabric.device,
        layout=_layout(arithmetic),
        precision=arithmetic.precision,
    )


def _fabric(device: torch.device, arithmetic: Arithmetic) -> Fabric:
    """Return a Fabric that keeps to one device and one process, even in a cluster."""
    # 70 MB and a second, which who only reads trainings does without.
    from lightning.fabric import Fabric
    from lightning.fabric.plugins.environments.lightning import LightningEnvironment

    # The environment is named because Fabric would else join what SLURM or MPI variables tell of.
    with quiet():  # Lightning logs the precision, which records hold
        return Fabric(
            accelerator=device.type,
            devices=[device.index or 0] if device.type == "cuda" else 1,
            precision="bf16-mixed" if arithmetic.precision == "bf16" else "32-true",
            plugins=[LightningEnvironment()],
        )


def _result(loop: Loop, best: EpochMetrics, test: TestMetrics, arithmetic: Arithmetic) -> FitResult:
    return FitResult(
        best_epoch=best.epoch,
        val_loss=best.val_loss,
        val_accuracy=best.val_accuracy,
        test_loss=test.loss,
        test_accuracy=test.accuracy,
        test_top5_accuracy=test.top5_accuracy,
        test_calibration_error=test.calibration_error,
        test_class_accuracy=test.class_accuracy,
        test_images=test.images,
        test_correct=test.correct,
        test_logits_sha256=test.logits_sha256,
        training_seconds=sum(epoch.seconds for epoch in loop.history),
        images_per_s=loop.images_trained / loop.train_seconds,
        peak_memory_bytes=loop.peak_memory_bytes,
        micro_batch_size=loop.micro_batch_size,
        epochs=tuple(loop.history),
        precision=arithmetic.precision,
        channels_last=arithmetic.channels_last,
        compiled=loop.compiled,
        not_compiled=loop.not_compiled,
        in_graphs=loop.in_graphs,
    )
