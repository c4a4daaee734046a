"""What a module moves through memory, beside what it computes: arithmetic intensity.

The intensity is FLOPs per byte moved. Bytes are those of eager PyTorch, which runs one operation
after the other: each reads its inputs, weights included, and writes its outputs; views move
nothing. A compiler that fuses operations moves less, at the least the weights, the input and the
output once. Whether a kernel can be bound by arithmetic is the comparison of its intensity with the
machine's ratio of FLOPs to bandwidth (Williams et al., "Roofline", 2009).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from blockzoo.measure.costs.complexity import count_macs
from blockzoo.measure.costs.meta import (
    call,
    in_mode,
    run_operation,
    stand_ins,
    tensors_in,
    without_data,
)


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """FLOPs and bytes of one forward pass in eval mode."""

    flops: int
    parameters_bytes: int
    moved_bytes: int
    least_bytes: int

    @property
    def intensity_flops_per_byte(self) -> float:
        """FLOPs per byte moved when every operation reads and writes memory."""
        return self.flops / self.moved_bytes if self.moved_bytes else 0.0

    @property
    def fused_intensity_flops_per_byte(self) -> float:
        """FLOPs per byte when only weights, input and output were moved: the upper limit."""
        return self.flops / self.least_bytes if self.least_bytes else 0.0


def measure_traffic(
    module: nn.Module,
    input_shape: tuple[int, ...],
    batch_size: int = 1,
    dtype: torch.dtype = torch.float32,
) -> Traffic:
    """Return the traffic of `module` for `batch_size` inputs of shape (C, H, W), without data.

    `dtype` is that of the inputs, and should be that of the weights.

    >>> traffic = measure_traffic(nn.Conv2d(2, 2, 1, bias=False), (2, 4, 4))
    >>> traffic.flops, traffic.moved_bytes  # 2 * 2 * 2 * 16; 4 * (32 in + 4 weights + 32 out)
    (128, 272)
    """

    def run(device: str) -> tuple[int, int]:
        counter = _Mover()
        parameters, buffers = stand_ins(module, device)
        features = torch.zeros(batch_size, *input_shape, device=device, dtype=dtype)
        with torch.no_grad(), counter:
            output = call(module, parameters, buffers, [features])
        return counter.moved_bytes, _size(features) + sum(map(_size, tensors_in(output)))

    with in_mode(module, training=False):
        moved, ends = without_data(run)
        macs = count_macs(module, torch.empty(batch_size, *input_shape, device="meta", dtype=dtype))
    weights = sum(_size(value) for value in (*module.parameters(), *module.buffers()))
    return Traffic(
        flops=2 * macs,
        parameters_bytes=sum(map(_size, module.parameters())),
        moved_bytes=moved,
        least_bytes=weights + ends,
    )


def saved_bytes(module: nn.Module, input_shape: tuple[int, ...], batch_size: int = 1) -> int:
    """Return what a forward pass in training mode keeps for the backward pass, in bytes.

    That is the activation memory of training: parameters and buffers do not count.

    >>> saved_bytes(nn.Linear(4, 2), (4,), batch_size=8)  # the input, for the weights' gradient
    128
    """

    def run(device: str) -> int:
        parameters, buffers = stand_ins(module, device)
        # The batch is doubled and halved: some blocks normalise over the batch and refuse one.
        features = torch.zeros(2 * batch_size, *input_shape, device=device, requires_grad=True)
        saved: dict[int, torch.UntypedStorage] = {}
        known = {v.untyped_storage()._cdata for v in (*parameters.values(), *buffers.values())}

        def note(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage._cdata not in known:
                saved[storage._cdata] = storage
            return tensor

        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
            output = call(module, parameters, buffers, [features])
        assert output is not None  # holds the graph, and what it saved, until here
        return sum(storage.nbytes() for storage in saved.values()) // 2

    with in_mode(module, training=True):
        return without_data(run)


class _Mover(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the bytes that operations read and write."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.moved_bytes = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run one operation and add what it moves; PyTorch calls this."""
        kwargs = kwargs or {}
        output = run_operation(func, args, kwargs)
        # A view moves nothing; `_unsafe_view` is one, though its schema does not say so.
        if not func.is_view and not func._schema.name.endswith("_unsafe_view"):
            moved = (*args, *kwargs.values(), output)
            self.moved_bytes += sum(map(_size, tensors_in(moved)))
        return output


def _size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
