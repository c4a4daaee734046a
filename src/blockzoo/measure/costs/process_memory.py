"""Peak memory of a process that runs a module, as the system or CUDA's allocator saw it, in bytes.

Each measurement is one forward pass or one training step in a fresh process with one thread, after
a small one that has loaded what has to be loaded and made the optimizer's state. What the process
held before is taken off its peak, and the module's own tensors are added again, so that the figure
stands beside the peak that `memory.py` works out from shapes. What it has more than that is
the workspace of kernels, an allocator's rounding and code that is generated for new shapes. Memory
that was asked for and never written is not resident and does not count on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from blockzoo.core.errors import InputError, ModelError, one_line
from blockzoo.core.processes import Answer, Ended, Limits, Raised, Worker
from blockzoo.core.ranges import BATCH
from blockzoo.measure.costs.memory import SGD_STEP, TrainingStep, can_be_fused, state_tensors
from blockzoo.measure.machine.peak_memory import GIVING_BACK_FREED_MEMORY, rise_of_process
from blockzoo.measure.timing.backends.pickled import dump_module, load_module_bytes

_LIMIT_S = 600.0


@dataclass(frozen=True, kw_only=True)
class _Task:
    payload: bytes
    input_shape: tuple[int, ...]
    batch_size: int
    device: str
    training: TrainingStep | None


def measured_inference_memory(
    module: nn.Module, input_shape: tuple[int, ...], batch_size: int = 1, device: str = "cpu"
) -> int:
    """Return the peak bytes of one forward pass in eval mode without gradients.

    `input_shape` is that of one input, without the batch: (3, H, W). The module is not changed.
    Raises `InputError` for a batch size below 1 and `ModelError` with one line where the process
    fails, dies or is not done after 600 s.
    """
    return _in_fresh_process(module, input_shape, batch_size, device, training=None)


def measured_training_memory(
    module: nn.Module,
    input_shape: tuple[int, ...],
    batch_size: int,
    device: str = "cpu",
    training: TrainingStep = SGD_STEP,
) -> int:
    """Return the peak bytes of one step of training: forward, cross-entropy, backward, optimizer.

    The step is one of many, with fused kernels, as in `memory.training_memory`. Raises what
    `measured_inference_memory` does, and `InputError` without trainable parameters.
    """
    if not any(value.requires_grad for value in module.parameters()):
        raise InputError("training memory asked for a module that has no trainable parameters")
    return _in_fresh_process(module, input_shape, batch_size, device, training=training)


def _in_fresh_process(
    module: nn.Module,
    input_shape: tuple[int, ...],
    batch_size: int,
    device: str,
    *,
    training: TrainingStep | None,
) -> int:
    BATCH.checked("batch size", batch_size)
    task = _Task(
        payload=dump_module(module),
        input_shape=input_shape,
        batch_size=batch_size,
        device=device,
        training=training,
    )
    # A fresh interpreter, for glibc reads its settings once.
    with Worker(environment=GIVING_BACK_FREED_MEMORY) as process:
        outcome = process.ask(_measure, task, limits=Limits(silence_s=_LIMIT_S))
    match outcome:
        case Answer(value=peak_bytes):
            return peak_bytes
        case Raised(error=error):
            raise ModelError(f"peak memory: {one_line(error, first_line_only=True)}")
        case Ended(reason=reason):
            raise ModelError(f"peak memory: the measuring process {reason}")


def _measure(task: _Task) -> int:
    torch.set_num_threads(1)  # each thread of a kernel has a workspace of its own
    device = torch.device(task.device)
    module = load_module_bytes(task.payload).to(device)
    # Batch normalisation in training cannot do with a single value per channel.
    small = min(2, task.batch_size) if task.training else 1
    average: list[Tensor] = []
    if task.training:
        module.train()
        trainable = [value for value in module.parameters() if value.requires_grad]
        optimizer = task.training.make(trainable, fused=can_be_fused(trainable))
        if task.training.averaged:
            average = [v.detach().clone() for v in (*module.parameters(), *module.buffers())]
        step = _training_step(module, optimizer)
        step(torch.zeros(small, *task.input_shape, device=device))
        held = [*module.parameters(), *module.buffers(), *state_tensors(optimizer), *average]
    else:
        module.eval()
        step = _forward_pass(module)
        step(torch.zeros(small, *task.input_shape, device=device))
        held = [*module.parameters(), *module.buffers()]

    def run() -> None:
        # Ones: zeros come as pages that are not resident before they are written.
        step(torch.ones(task.batch_size, *task.input_shape, device=device))

    rise = _rise_on_cuda(run, device) if device.type == "cuda" else rise_of_process(run)
    return rise + _size_bytes(held)


def _forward_pass(module: nn.Module) -> Callable[[Tensor], None]:
    def step(images: Tensor) -> None:
        with torch.no_grad():
            module(images)

    return step


def _training_step(module: nn.Module, optimizer: torch.optim.Optimizer) -> Callable[[Tensor], None]:
    def step(images: Tensor) -> None:
        targets = torch.zeros(len(images), dtype=torch.long, device=images.device)
        logits = module(images)
        loss = F.cross_entropy(logits, targets)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def _size_bytes(tensors: list[Tensor]) -> int:
    """Return the bytes of all storages behind the tensors, each counted once."""
    # Tied weights and views share one.
    storages = {value.untyped_storage().data_ptr(): value.untyped_storage() for value in tensors}
    return sum(storage.nbytes() for storage in storages.values())


def _rise_on_cuda(run: Callable[[], None], device: torch.device) -> int:
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    run()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before
