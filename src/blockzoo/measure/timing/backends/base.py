"""The interface that every backend has, and what several of them share.

A process of its own calls `prepare` once and puts what `load` makes of the bytes through `check`;
only then do fresh processes `load` them, each for itself, and time `Loaded.call`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from blockzoo.core.errors import DeviceError, ModelError
from blockzoo.core.networks import cast, cast_network, copied, laid_out, lay_out_network
from blockzoo.core.run_way import RunWay
from blockzoo.measure.machine.devices import resolve_device
from blockzoo.measure.timing.backends.gate import check_output
from blockzoo.measure.timing.settings import DTYPES

_LONGEST_REASON = 160


class Loaded:
    """A network ready to be timed.

    `call()` runs it once on the bound example, with nothing else in the way; on CUDA it may return
    before the work is done. `output(images)` (N, ...) runs it on other images, N as in the example,
    and returns float32 on the CPU. `bound(images)` does so by `call` itself, the images being
    written into the memory of the example for that time; it is `output` where that is so already.
    `close()` lets go of everything, `held` included: what `call` uses without a reference of its
    own.
    """

    def __init__(
        self,
        call: Callable[[], object],
        output: Callable[[Tensor], Tensor],
        batch_size: int,
        *,
        bound: Callable[[Tensor], Tensor] | None = None,
        held: object = None,
    ) -> None:
        self.call, self.output, self.batch_size, self.held = call, output, batch_size, held
        self.bound = bound or output

    def close(self) -> None:
        """Let go of the network and its memory; neither `call` nor `output` works after it."""
        self.call, self.output, self.bound, self.held = _closed, _closed, _closed, None


def _closed(*_: Tensor) -> Tensor:
    raise ModelError("this network was closed; load it again")


class Backend(ABC):
    """Something that executes a network; one instance per backend, without state."""

    name: ClassVar[str]
    precisions: ClassVar[tuple[str, ...]] = ("fp32", "bf16", "fp16")
    layouts: ClassVar[bool] = True
    """Whether the memory layout can be chosen."""

    @abstractmethod
    def unavailable(self, device: str) -> str | None:
        """Return None where this backend can be used on `device`, else one line that says why.

        For a missing package, the line says how to install it.
        """

    def supports(self, way: RunWay) -> str | None:
        """Return None where the combination can be run, else one line that says why not."""
        precision = way.precision
        if precision == "int8" and precision not in self.precisions:
            return "int8 is for onnxruntime"
        if precision not in self.precisions:
            return f"{self.name} has no {precision}; it has {', '.join(self.precisions)}"
        if precision == "fp16" and not way.on_cuda:
            return "fp16 is for CUDA; on a CPU take fp32 or bf16"
        if way.channels_last and not self.layouts:
            return f"{self.name} chooses its own memory layout; channels_last has no effect"
        return None

    @abstractmethod
    def prepare(self, model: nn.Module, example: Tensor, way: RunWay) -> bytes:
        """Return all that a fresh process needs to run `model` on images like `example` (N, ...).

        `model` itself stays as it is. Raises `ModelError`, in one line, where it cannot be
        exported.
        """

    def prepare_calibrated(
        self, model: nn.Module, example: Tensor, way: RunWay, images: Tensor
    ) -> bytes:
        """Return what `prepare` does; for int8, with ranges as `images` (M, ...) make them.

        What is only timed needs no images: its ranges come of random ones.
        """
        del images
        return self.prepare(model, example, way)

    @abstractmethod
    def load(self, payload: bytes, example: Tensor, way: RunWay) -> Loaded:
        """Return the network of `prepare`, bound to `example` on its device.

        Sets the number of torch's threads and, on CUDA, the exact arithmetic of fp32 for the whole
        process. Raises `ModelError` where the backend cannot load it; out of memory stays torch's
        own error.
        """

    def exported_bytes(self, payload: bytes) -> int | None:
        """Return the bytes of the files that `prepare` exported; None where it exports none."""
        del payload
        return None

    def check(self, model: nn.Module, loaded: Loaded, images: Tensor, way: RunWay) -> float:
        """Return how far `loaded` is from `model` in fp32 eager on the CPU, both run on `images`.

        See `gate.py` for the limits. `images` (k N, ...) are whole batches of the example's N.
        Raises `ParityError` beyond the limits, `ModelError` for outputs that are not finite, and
        `InputError` where the images are no whole batches.
        """
        return check_output(model, loaded.bound, images, loaded.batch_size, way)


REGISTERED: list[Backend] = []
_Kind = TypeVar("_Kind", bound=type[Backend])


def register_backend(kind: _Kind) -> _Kind:
    """Decorate a class of this room so that its name stands for it; backends have no state."""
    REGISTERED.append(kind())
    return kind


def cuda_unavailable(device: str) -> str | None:
    """Return why `device` cannot be used by torch, or None."""
    try:
        resolve_device(device)
    except DeviceError as error:
        return str(error)
    return None


def settled(model: nn.Module, way: RunWay, device: str | torch.device) -> nn.Module:
    """Return a copy of `model` as it is run: eval, frozen, cast and laid out as `way` says."""
    return settle(copied(model), way, device)


def settle(model: nn.Module, way: RunWay, device: str | torch.device) -> nn.Module:
    """Do to `model` itself what `settled` does to a copy, and return it."""
    twin = cast_network(model.eval().requires_grad_(False).to(device=device), _dtype(way))
    return lay_out_network(twin, _memory_format(way))


def placed(images: Tensor, way: RunWay, device: str | torch.device) -> Tensor:
    """Return a copy of `images` as the network takes them; whole numbers stay what they are."""
    ready = cast(images.detach().to(device=device, copy=True), _dtype(way))
    return laid_out(ready, _memory_format(way))


def _dtype(way: RunWay) -> torch.dtype:
    return DTYPES.get(way.precision, torch.float32)


def _memory_format(way: RunWay) -> torch.memory_format:
    return torch.channels_last if way.channels_last else torch.contiguous_format


def set_up_torch(way: RunWay) -> torch.device:
    """Set torch's threads and keep TF32 out of what is called fp32; return the device."""
    torch.set_num_threads(way.threads)
    # TF32 has 11 bits of significand: faster, but no other backend's fp32 is so rounded.
    if way.on_cuda:
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
    return resolve_device(way.device)


def load_module(
    module: Callable[[Tensor], Any], example: Tensor, way: RunWay, device: torch.device
) -> Loaded:
    """Return a torch callable bound to `example`; it runs in inference mode."""
    # Placed once, so that a timed call holds no copy of its input.
    ready = placed(example, way, device)

    def call() -> Any:
        with torch.inference_mode():
            return module(ready)

    def output(images: Tensor) -> Tensor:
        with torch.inference_mode():
            return _as_one(module(placed(images, way, device)))

    def bound(images: Tensor) -> Tensor:
        with torch.inference_mode():
            # The very tensor that is timed: a network could keep its answer to that.
            usual = ready.clone()
            ready.copy_(images)
            try:
                return _as_one(call())
            finally:
                ready.copy_(usual)

    return Loaded(call, output, len(example), bound=bound)


def _as_one(result: Any) -> Tensor:
    """Return what a network returned as float32 on the CPU; several tensors one after the other."""
    if isinstance(result, Tensor):
        return _as_real(result).to(device="cpu", dtype=torch.float32, copy=True)
    leaves = [_as_real(leaf) for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
    return torch.cat([torch.zeros(0), *(leaf.float().cpu().flatten() for leaf in leaves)])


def _as_real(output: Tensor) -> Tensor:
    """Return complex numbers as real and imaginary parts, along the last dimension."""
    return torch.view_as_real(output.resolve_conj()).flatten(-2) if output.is_complex() else output


def load_bound(
    run: Callable[[], object], source: Tensor, result: Callable[[], Tensor], *, held: object = None
) -> Loaded:
    """Return a callable that reads the memory of `source` and whose `result()` is read after it."""
    example = source.clone()

    def output(images: Tensor) -> Tensor:
        source.copy_(images)
        _wait_for(source)
        run()
        # A copy also where it is float32 on the CPU already: the next run writes over it.
        answer = result().to(device="cpu", dtype=torch.float32, copy=True)
        # The memory is bound: what `call` times next must be the example again.
        source.copy_(example)
        _wait_for(source)
        return answer

    return Loaded(run, output, len(source), held=held)


def _wait_for(tensor: Tensor) -> None:
    """Let copies on torch's stream end: other runtimes read memory on streams of their own."""
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)


def in_short(error: BaseException) -> str:
    """Return the reason at the bottom of an error, in one line: exporters wrap it in pages."""
    # What was raised first is the reason; what was raised around it is the exporter's story.
    while error.__cause__ is not None:
        error = error.__cause__
    lines = (line.strip() for line in str(error).splitlines())
    text = " ".join(next(filter(None, lines), "").split())
    if len(text) > _LONGEST_REASON:
        text = f"{text[:_LONGEST_REASON].rsplit(' ', 1)[0]} ..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
