"""Peak memory of an inference and of a training step, in bytes, by what the memory is for.

The module runs on tensors without data while every storage is followed from its creation to its
end, so any batch size can be asked for on any machine. Bytes are those of the tensors that a
program of eager PyTorch holds; an allocator's rounding and a kernel's workspace come on top. The
categories at the moment of the peak:

parameters     the module's parameters and buffers
gradients      storages that are some parameter's `.grad` after the backward pass
optimizer      tensors in the optimizer's state, and the average of the weights where one is kept
activations    inputs, targets, and what the forward pass (the loss included) made and still holds
temporaries    what the backward pass or the optimizer step made, if it is none of the above

Views share a storage, which counts once; an operation in place makes none.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from blockzoo.core.errors import InputError
from blockzoo.measure.costs.meta import (
    RememberedShapes,
    call,
    in_mode,
    run_operation,
    stand_in,
    stand_ins,
    standing_in,
    without_data,
)

Category = Literal["parameters", "gradients", "optimizer", "activations", "temporaries"]
OptimizerFactory = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


@dataclass(frozen=True, kw_only=True)
class MemoryPeak:
    """The peak of bytes held at once and what they were; the categories add up to the peak."""

    batch_size: int
    peak_bytes: int
    parameters_bytes: int
    gradients_bytes: int
    optimizer_bytes: int
    activations_bytes: int
    temporaries_bytes: int


@dataclass(frozen=True, kw_only=True)
class TrainingStep:
    """What a training step holds beside network and batch; its kernels change all of it in place.

    `optimizer`: "sgd" has a state per parameter, or none without `momentum`; "adam" and "adamw"
    have two and a step counter. `averaged`: whether a moving average of weights and buffers is
    kept.

    >>> TrainingStep(optimizer="adamw", averaged=True).label
    'adamw, averaged weights'
    """

    optimizer: Literal["adam", "adamw", "sgd"] = "sgd"
    momentum: float = 0.9
    averaged: bool = False

    @property
    def label(self) -> str:
        """A short name for people and records: "sgd, momentum 0.9"."""
        of_sgd = (
            f", momentum {self.momentum:g}" if self.optimizer == "sgd" and self.momentum else ""
        )
        return f"{self.optimizer}{of_sgd}{', averaged weights' if self.averaged else ''}"

    def make(
        self, parameters: list[nn.Parameter], *, fused: bool | None = None
    ) -> torch.optim.Optimizer:
        """Return the optimizer; with `fused` its kernels are those that trainings use."""
        if self.optimizer == "sgd":
            return torch.optim.SGD(parameters, lr=0.1, momentum=self.momentum, fused=fused)
        kind = torch.optim.Adam if self.optimizer == "adam" else torch.optim.AdamW
        return kind(parameters, lr=0.1, fused=fused)


def can_be_fused(parameters: Iterable[Tensor]) -> bool:
    """Tell whether an optimizer's fused kernels take all of these parameters: real ones alone.

    >>> can_be_fused([torch.ones(2)]), can_be_fused([torch.ones(2, dtype=torch.cfloat)])
    (True, False)
    """
    return all(value.is_floating_point() for value in parameters)


SGD_STEP = TrainingStep()
"""SGD with momentum 0.9: what is counted where no recipe is named."""


def inference_memory(
    module: nn.Module, input_shape: tuple[int, ...], batch_size: int = 1
) -> MemoryPeak:
    """Return the peak of one forward pass in eval mode without gradients.

    `input_shape` is that of one input, without the batch: (3, H, W).

    >>> peak = inference_memory(nn.Linear(4, 2), (4,), batch_size=8)
    >>> peak.parameters_bytes, peak.activations_bytes  # fp32: 8 inputs of 4, 8 outputs of 2
    (40, 192)
    """

    def run(device: str) -> MemoryPeak:
        ledger = _Ledger()
        parameters, buffers = stand_ins(module, device)
        images = torch.zeros(batch_size, *input_shape, device=device)
        ledger.enter("parameters", (*parameters.values(), *buffers.values()))
        ledger.enter("activations", [images])
        with torch.no_grad(), ledger:
            call(module, parameters, buffers, [images])
        return ledger.peak(batch_size)

    with in_mode(module, training=False):
        return without_data(run)


def training_memory(
    module: nn.Module,
    input_shape: tuple[int, ...],
    batch_size: int,
    optimizer: TrainingStep | OptimizerFactory = SGD_STEP,
) -> MemoryPeak:
    """Return the peak of one step of training by cross-entropy: forward, backward, optimizer.

    The module maps (batch_size, *input_shape) to logits (batch_size, classes) and runs in training
    mode. The step is one of many: the optimizer has its state, and the gradients of the step before
    are gone (`zero_grad` before the forward pass). A `TrainingStep` changes its state in place, as
    fused kernels do. Optimizers that a function makes are stepped as they are, one parameter after
    the other unless made with `foreach=True`. Raises `InputError` for a module without trainable
    parameters.

    >>> peak = training_memory(nn.Linear(4, 2), (4,), batch_size=8)
    >>> peak.parameters_bytes, peak.optimizer_bytes  # SGD with momentum: one value a parameter
    (40, 40)
    """
    if not any(value.requires_grad for value in module.parameters()):
        raise InputError("training memory asked for a module that has no trainable parameters")
    with in_mode(module, training=True):
        return without_data(
            lambda device: _train_one_step(module, input_shape, batch_size, optimizer, device)
        )


def _train_one_step(
    module: nn.Module,
    input_shape: tuple[int, ...],
    batch_size: int,
    how: TrainingStep | OptimizerFactory,
    device: str,
) -> MemoryPeak:
    ledger = _Ledger()
    parameters, buffers = stand_ins(module, device)
    trainable = [value for value in parameters.values() if value.requires_grad]
    step = how if isinstance(how, TrainingStep) else None
    with RememberedShapes():
        optimizer = _with_state(step.make(trainable) if step else how(trainable))  # type: ignore[operator]
    averaged = (*parameters.values(), *buffers.values()) if step and step.averaged else ()
    average = [stand_in(value, device) for value in averaged]
    images = torch.zeros(batch_size, *input_shape, device=device)
    targets = torch.zeros(batch_size, dtype=torch.long, device=device)
    ledger.enter("parameters", (*parameters.values(), *buffers.values()))
    ledger.enter("optimizer", [*state_tensors(optimizer), *average])
    ledger.enter("activations", [images, targets])
    # To the end of the step: a backward pass may run parts of the module again.
    with torch.enable_grad(), standing_in(module, parameters, buffers), ledger:
        logits = module(images)
        assert isinstance(logits, Tensor)
        loss = F.cross_entropy(logits, targets)
        ledger.new_storages_are = "temporaries"
        loss.backward()  # type: ignore[no-untyped-call]
        ledger.enter("gradients", [value.grad for value in trainable if value.grad is not None])
        # Fused kernels make nothing, and run on no tensor without data.
        if step is None or not can_be_fused(trainable):
            optimizer.step()
    ledger.enter("optimizer", state_tensors(optimizer))
    return ledger.peak(batch_size)


def _with_state(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Step the optimizer once on empty gradients, so that its state is there as in any later step.

    Cheaper than a whole training step, and it leaves the same state.
    """
    for group in optimizer.param_groups:
        for value in group["params"]:
            # An optimizer makes its state for parameters that have a gradient, and for no other.
            value.grad = stand_in(value, value.device.type)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return optimizer


def state_tensors(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """Return all tensors in the optimizer's state.

    >>> layer = nn.Linear(4, 2)
    >>> optimizer = TrainingStep().make(list(layer.parameters()))
    >>> state_tensors(optimizer)  # before the first step
    []
    """
    states = optimizer.state.values()
    return [value for state in states for value in state.values() if isinstance(value, Tensor)]


class _Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes when each storage begins and ends, and for what it is, and finds the peak afterwards.

    What a storage is for can become known late (a gradient is first an output like any other), so
    the notes are kept in order and added up only in the end.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.new_storages_are: Category = "activations"
        self._categories: list[Category] = []
        self._events: list[tuple[int, int]] = []
        self._alive: dict[int, tuple[int, weakref.ref[Any]]] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        output = run_operation(func, args, kwargs or {})
        for value in output if isinstance(output, tuple | list) else (output,):
            if isinstance(value, Tensor):
                self._number_of(value)
        return output

    def enter(self, category: Category, tensors: Iterable[Tensor]) -> None:
        """Say what these tensors are for, be they new or known."""
        for tensor in tensors:
            self._categories[self._number_of(tensor)] = category

    def peak(self, batch_size: int) -> MemoryPeak:
        """Return the first highest sum of all that was alive at once."""
        # Only now is it known what each storage was for, so the peak could not be kept on the way.
        alive: dict[Category, int] = dict.fromkeys(Category.__args__, 0)  # type: ignore[attr-defined]
        total, highest, then = 0, -1, dict(alive)
        for number, change in self._events:
            alive[self._categories[number]] += change
            total += change
            if total > highest:
                highest, then = total, dict(alive)
        by_category = {f"{category}_bytes": size for category, size in then.items()}
        return MemoryPeak(batch_size=batch_size, peak_bytes=highest, **by_category)

    def _number_of(self, tensor: Tensor) -> int:
        """Return the number of the tensor's storage, noting its beginning where it is new.

        PyTorch keeps one Python object per storage for as long as the storage lives, also where
        only the autograd graph holds it, so that the object's end is the storage's.
        """
        storage = tensor.untyped_storage()
        key = id(storage)
        if key in self._alive:
            return self._alive[key][0]
        # Numbers, for an id is given again to another storage once this one is gone.
        number, size = len(self._categories), storage.nbytes()
        self._categories.append(self.new_storages_are)
        self._events.append((number, size))
        self._alive[key] = (number, weakref.ref(storage, partial(self._end, key, number, size)))
        return number

    def _end(self, key: int, number: int, size: int, _: object) -> None:
        del self._alive[key]
        self._events.append((number, -size))
