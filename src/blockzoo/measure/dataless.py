"""Run a module on tensors that have shapes but no data: any size, no arithmetic, nothing changed.

The module may be on any device. Its own parameters, buffers and mode stay as they are: the run
uses stand-ins of the same shapes on the meta device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn

Result = TypeVar("Result")


def without_data(run: Callable[[str], Result]) -> Result:
    """Return `run("meta")`, or `run("cpu")` where an operation cannot do without numbers.

    Such operations are custom kernels with no shape rule and control flow on values. Raises what
    `run("cpu")` raises.
    """
    with torch.inference_mode(False):  # tensors made in a caller's inference mode have no gradient
        try:
            return run("meta")
        except Exception:  # noqa: BLE001 - the run on the CPU decides, with the better message
            return run("cpu")


def stand_ins(module: nn.Module, device: str) -> tuple[dict[str, nn.Parameter], dict[str, Tensor]]:
    """Return parameters and buffers of the shapes of the module's own, zero where they have data.

    A parameter requires a gradient where the original does.
    """
    parameters = {
        name: nn.Parameter(stand_in(value, device), value.requires_grad)
        for name, value in module.named_parameters()
    }
    buffers = {name: stand_in(value, device) for name, value in module.named_buffers()}
    return parameters, buffers


def stand_in(value: Tensor, device: str) -> Tensor:
    """Return a tensor of that shape, layout and type: without data on "meta", elsewhere zero."""
    if device == "meta":
        return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")
    return torch.zeros_like(value, device=device)


def call(
    module: nn.Module,
    parameters: Mapping[str, Tensor],
    buffers: Mapping[str, Tensor],
    inputs: Sequence[object],
) -> object:
    """Return `module(*inputs)` computed with these parameters and buffers instead of its own."""
    return torch.func.functional_call(module, {**parameters, **buffers}, tuple(inputs))


@contextmanager
def in_mode(module: nn.Module, *, training: bool) -> Iterator[None]:
    """Put every part of the module in training or eval mode, and back as it was afterwards."""
    before = [(part, part.training) for part in module.modules()]
    if any(mode is not training for _, mode in before):
        module.train(training)
    try:
        yield
    finally:
        for part, mode in before:
            if part.training is not mode:
                part.training = mode
