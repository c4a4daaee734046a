"""Peak memory of a process that runs a module, as the system or CUDA's allocator saw it, in bytes.

Each measurement is one forward pass or one training step in a fresh process with one thread, after
a small one that has loaded what has to be loaded and made the optimizer's state. What the process
held before is taken off its peak, and the module's own tensors are added again, so that the figure
stands beside the peak that `memory.py` works out from shapes. What it has more than that is
the workspace of kernels, an allocator's rounding and code that is generated for new shapes. Memory
that was asked for and never written is not resident and does not count on a CPU.

In the process glibc gives every freed tensor above 64 KiB straight back to the system, so that
holes between tensors, which depend on what ran before, are not measured.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from blockzoo.core.errors import InputError, ModelError, one_line
from blockzoo.core.processes import Answer, Ended, Limits, Raised, Worker
from blockzoo.core.ranges import BATCH
from blockzoo.measure.costs.memory import SGD_STEP, TrainingStep, can_be_fused, state_tensors
from blockzoo.measure.timing.backends.pickled import dump_module, load_module_bytes

_MMAP_THRESHOLD_BYTES = 65536
_GIVING_BACK_FREED_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(_MMAP_THRESHOLD_BYTES),
    "MALLOC_TRIM_THRESHOLD_": str(_MMAP_THRESHOLD_BYTES),
}
_LIMIT_S = 600.0
_CLEAR_REFS = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")
_RESET_PEAK = "5"
"""What Linux takes as the wish to forget the highest resident size (man 5 proc)."""


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
    with Worker(environment=_GIVING_BACK_FREED_MEMORY) as process:
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

    rise = _rise_on_cuda(run, device) if device.type == "cuda" else _rise_of_process(run)
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


def _rise_of_process(run: Callable[[], None]) -> int:
    """Return how far the resident size of this process rises above what it is now."""
    # What earlier work freed would be used again, and its pages would not count.
    _give_back_freed()
    try:
        _CLEAR_REFS.write_text(_RESET_PEAK)
    except OSError:
        return _rise_above_the_highest(run)
    before = _status_bytes("VmRSS")
    run()
    return _status_bytes("VmHWM") - before


def _give_back_freed() -> None:
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        return  # not glibc


def _status_bytes(field: str) -> int:
    for line in _STATUS.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise ModelError(f"this system does not tell a process its {field}")


def _rise_above_the_highest(run: Callable[[], None]) -> int:
    """Return the same where the system remembers only the highest size the process ever had.

    A run that stays below that is not seen, which raises `ModelError`.
    """
    import psutil

    before = psutil.Process().memory_info().rss
    highest = _highest_ever_bytes()
    run()
    if _highest_ever_bytes() == highest:
        raise ModelError("too little to be seen on this system; take a larger batch")
    return _highest_ever_bytes() - before


def _highest_ever_bytes() -> int:
    try:
        import resource
    except ImportError as error:
        raise ModelError("this system does not tell a process its peak memory") from error
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest if sys.platform == "darwin" else highest * 1024
