"""`fit`: train one network on one data set by one recipe, and read the test set once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from torch import Tensor, nn

from blockzoo.core.errors import BlockError
from blockzoo.core.seeding import checked_seed, seeded
from blockzoo.data.image_dataset import ImageDataset
from blockzoo.data.residence import Residence, resolve_residence
from blockzoo.data.split import SPLIT_SEED, VALIDATION_FRACTION
from blockzoo.results.records import EpochMetrics
from blockzoo.training.arithmetic import Arithmetic, fast_depthwise, resolve_arithmetic
from blockzoo.training.checkpoint import load_checkpoint, save_checkpoint
from blockzoo.training.compilation import BatchKind, CompiledForward
from blockzoo.training.data import SplitData, split_data
from blockzoo.training.drop_path import DropPath
from blockzoo.training.log import LiveView
from blockzoo.training.loggers import quiet_lightning
from blockzoo.training.loop import Loop
from blockzoo.training.metrics import TestTally
from blockzoo.training.micro_batches import OnOom, block_errors, memory_errors
from blockzoo.training.process import freed_memory_kept, terminable
from blockzoo.training.recipe import Recipe

OnEpoch = Callable[[EpochMetrics], None]


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """What a training gave. Epochs count from 1; losses are mean cross-entropy in nats.

    `best_epoch` was chosen on validation; `val_*` are of that epoch, `test_*` of its weights.
    `training_seconds`: all epochs with their validation, without set-up and test.
    `images_per_s`: training images over the seconds of training alone. `test_calibration_error`,
    `peak_memory_bytes` and `micro_batch_size` are as in `TrainingRecord`. `compiled`: whether whole
    batches ran compiled; `not_compiled`: why they did not though it was asked for, else "".
    """

    best_epoch: int
    val_loss: float
    val_accuracy: float
    test_loss: float
    test_accuracy: float
    test_top5_accuracy: float | None
    test_calibration_error: float
    test_class_accuracy: tuple[float | None, ...]
    training_seconds: float
    images_per_s: float
    peak_memory_bytes: int
    micro_batch_size: int | None
    epochs: tuple[EpochMetrics, ...]
    precision: Literal["fp32", "bf16"]
    channels_last: bool
    compiled: bool
    not_compiled: str


def fit(
    net: nn.Module,
    dataset: ImageDataset,
    recipe: Recipe,
    *,
    seed: int,
    device: torch.device | str = "cpu",
    progress: bool = True,
    validation_fraction: float = VALIDATION_FRACTION,
    split_seed: int = SPLIT_SEED,
    subject: str = "the network",
    on_start: Callable[[Sequence[EpochMetrics]], None] | None = None,
    on_epoch: OnEpoch | None = None,
    checkpoint: Path | None = None,
    resume: bool = True,
    on_oom: OnOom = "split",
    resident: Residence = "auto",
    compiled: bool = False,
) -> FitResult:
    """Train `net`, images (N, 3, H, W) to logits (N, classes), in place.

    Afterwards `net` is on `device` and holds the weights of the best epoch: the one of the highest
    validation accuracy, then of the lowest validation loss, then the first. Everything random
    follows from `seed`: data order, augmentation and drop path by generators of their own, dropout
    and the like by torch's, which is seeded here and given back as it was. Twice the same call on
    a CPU gives the same numbers, bit for bit. `subject` names the network in messages. `on_start`
    is called with the epochs that a checkpoint had, `on_epoch` with each that is trained;
    `resident` says whether the images lie on `device`, which changes no number.

    After each epoch all state is written to the file `checkpoint`. If it is there at the start,
    of this very training, and `resume`, training goes on from it, to the same numbers bit for bit
    on a CPU; the caller removes it. Where memory does not suffice, batches are computed in parts,
    unless `on_oom` is "fail".

    With `compiled` the training step of whole batches is compiled, or found compiled for another
    seed; validation and test are not. A network that cannot be compiled is trained as it is. It
    changes numbers within rounding.

    Raises `DivergenceError` when a loss is not finite or absurd, `BlockError` when the network
    raises, cannot be trained or its first output is not finite, `DeviceMemoryError`, `InputError`
    for a seed that cannot be, and for drop path in a network that is no scaffold.
    `KeyboardInterrupt` passes.
    """
    device, seed = torch.device(device), checked_seed(seed)
    _check_state(net, subject)
    arithmetic = resolve_arithmetic(recipe, device, net)
    split = (validation_fraction, split_seed)
    identity = _identity(net, dataset, recipe, arithmetic, seed, split, compiled)
    resident = resolve_residence(resident, dataset.images_bytes, device)
    rate = recipe.drop_path
    drop_path = DropPath(net, rate, seed=seed, device=device) if rate else None
    with ExitStack() as stack:
        stack.enter_context(memory_errors(subject, device))
        data = split_data(dataset, recipe, device, arithmetic, seed, split, resident)
        net.to(device).to(memory_format=_layout(arithmetic))
        fast = fast_depthwise(net, arithmetic, device)
        kept = freed_memory_kept(device)
        for context in (terminable(), seeded(seed), _deterministic(), kept, fast):
            stack.enter_context(context)
        fabric = _fabric(device, arithmetic)
        forward = _compiled(net, data, drop_path, arithmetic, fabric) if compiled else None
        with block_errors(f"{subject} cannot be trained"):
            loop = Loop(
                net,
                recipe,
                fabric,
                steps_per_epoch=data.steps,
                classes=dataset.num_classes,
                subject=subject,
                on_oom=on_oom,
                drop_path=drop_path,
                forward=forward,
            )
        if checkpoint is not None and resume:
            state = load_checkpoint(checkpoint, identity)
            if state is not None:
                loop.load_state(state)
        if on_start is not None:
            on_start(loop.history)
        view = stack.enter_context(LiveView(recipe.epochs, done=len(loop.history), shown=progress))
        for epoch in range(len(loop.history), recipe.epochs):
            metrics = loop.train_epoch(data.train(epoch), data.val())
            if checkpoint is not None:
                save_checkpoint(checkpoint, identity, loop.state())
            view.finished(metrics)
            if on_epoch is not None:
                on_epoch(metrics)
        best = loop.restore_best()
        test = loop.test(data.test())
    return _result(loop, best, test, arithmetic, forward)


def _check_state(net: nn.Module, subject: str) -> None:
    for name, value in net.state_dict().items():
        if not isinstance(value, Tensor):
            raise BlockError(
                f"{subject} has {type(value).__name__} in its state, as {name}; only tensors can "
                f"be averaged and kept"
            )


def _identity(
    net: nn.Module,
    dataset: ImageDataset,
    recipe: Recipe,
    arithmetic: Arithmetic,
    seed: int,
    split: tuple[float, int],
    compiled: bool,
) -> str:
    """Return a hash of all that determines the weights, the initial ones included."""
    settings = [recipe.determinants(), asdict(arithmetic), seed, split, dataset.fingerprint]
    settings += ["compiled"] if compiled else []
    digest = hashlib.sha256(json.dumps([*settings, torch.__version__]).encode())
    for name, value in net.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _layout(arithmetic: Arithmetic) -> torch.memory_format:
    return torch.channels_last if arithmetic.channels_last else torch.contiguous_format


def _compiled(
    net: nn.Module,
    data: SplitData,
    drop_path: DropPath | None,
    arithmetic: Arithmetic,
    fabric: Fabric,
) -> CompiledForward:
    """Return the network compiled for whole batches of the data."""
    size = min(data.recipe.batch_size, len(data.images))
    kind = BatchKind(
        shape=(size, *data.images.image_shape),
        paths=(drop_path.blocks, size) if drop_path else (),
        device=fabric.device,
        layout=_layout(arithmetic),
        precision=arithmetic.precision,
    )
    return CompiledForward(net, kind, fabric.autocast)


def _fabric(device: torch.device, arithmetic: Arithmetic) -> Fabric:
    """Return a Fabric that keeps to one device and one process, even in a cluster."""
    with quiet_lightning():
        return Fabric(
            accelerator=device.type,
            devices=[device.index or 0] if device.type == "cuda" else 1,
            precision="bf16-mixed" if arithmetic.precision == "bf16" else "32-true",
            plugins=[LightningEnvironment()],
        )


@contextmanager
def _deterministic() -> Iterator[None]:
    """Have cuDNN choose the same algorithms each time, and compute fp32 as fp32."""
    with torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    ):
        yield


def _result(
    loop: Loop,
    best: EpochMetrics,
    test: TestTally,
    arithmetic: Arithmetic,
    forward: CompiledForward | None,
) -> FitResult:
    not_compiled = forward.given_up if forward else ""
    if forward and loop.micro_batch_size is not None:
        not_compiled = not_compiled or "batches were computed in parts"
    return FitResult(
        best_epoch=best.epoch,
        val_loss=best.val_loss,
        val_accuracy=best.val_accuracy,
        test_loss=test.loss,
        test_accuracy=test.accuracy,
        test_top5_accuracy=test.top5_accuracy,
        test_calibration_error=test.calibration_error,
        test_class_accuracy=test.class_accuracy,
        training_seconds=sum(epoch.seconds for epoch in loop.history),
        images_per_s=loop.images_trained / loop.train_seconds,
        peak_memory_bytes=loop.peak_memory_bytes,
        micro_batch_size=loop.micro_batch_size,
        epochs=tuple(loop.history),
        precision=arithmetic.precision,
        channels_last=arithmetic.channels_last,
        compiled=forward is not None and not not_compiled,
        not_compiled=not_compiled,
    )
