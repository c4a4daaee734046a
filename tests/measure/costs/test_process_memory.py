"""Peaks by hand, from shapes and of a real process: three ways to one figure.

Nets of large tensors, so that what a process holds besides is small against them.
"""

from __future__ import annotations

import os
import signal
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from blockzoo.core.errors import InputError, ModelError
from blockzoo.core.position import Position
from blockzoo.measure.costs.memory import TrainingStep, inference_memory, training_memory
from blockzoo.measure.costs.process_memory import (
    measured_inference_memory,
    measured_training_memory,
)
from blockzoo.scaffold.net import ScaffoldConfig, ScaffoldNet

_MB = 1_000_000
_SHARE, _FIXED = 0.02, 8 * _MB
"""The bound without convolutions: 2% and 8 MB (pages, code made for shapes, MKL's packing)."""

_SIDE = 256
_PLANE = _SIDE * _SIDE * 4
"""Bytes of one channel of one image."""


def agree(measured: int, expected: int, workspace: int = 0) -> bool:
    slack = _SHARE * expected + _FIXED
    return expected - slack <= measured <= expected + workspace + slack


def linears(*widths: int) -> nn.Sequential:
    pairs = pairwise(widths)
    return nn.Sequential(*(nn.Linear(a, b, bias=False) for a, b in pairs))


def pooled(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def test_inference_of_a_chain_holds_input_and_two_activations() -> None:
    net, shape = nn.Sequential(nn.ReLU(), nn.ReLU(), nn.ReLU()), (16, _SIDE, _SIDE)
    by_hand = 3 * 8 * 16 * _PLANE  # 100 MB
    assert inference_memory(net, shape, 8).peak_bytes == by_hand
    assert agree(measured_inference_memory(net, shape, 8), by_hand)


def test_a_pointwise_convolution_widens_the_chain() -> None:
    net = nn.Sequential(nn.Conv2d(16, 32, 1, bias=False), nn.ReLU())
    shape = (16, _SIDE, _SIDE)
    by_hand = 16 * 32 * 4 + 8 * (16 + 32 + 32) * _PLANE
    assert inference_memory(net, shape, 8).peak_bytes == by_hand
    assert agree(measured_inference_memory(net, shape, 8), by_hand)


def test_training_step_of_matrices_holds_weights_gradients_and_momentum() -> None:
    net, batch = linears(1024, 4096, 1024), 256
    weights = 2 * 1024 * 4096 * 4
    # Both gradients are there, and the graph has let go of the hidden activations; what is left is
    # the input and targets, logits, their loss, and the gradients of the loss and of the last layer
    # that was stepped through.
    hidden_gradient = batch * 4096 * 4
    by_hand = 3 * weights + batch * 1024 * 4 + batch * 8 + batch * 1024 * 4 + 4
    by_hand += 4 + hidden_gradient
    assert training_memory(net, (1024,), batch).peak_bytes == by_hand
    assert agree(measured_training_memory(net, (1024,), batch), by_hand)


def test_training_step_of_adamw_with_an_average_holds_two_states_and_a_copy() -> None:
    net, batch = linears(1024, 4096, 1024), 64
    weights = 2 * 1024 * 4096 * 4
    step = TrainingStep(optimizer="adamw", averaged=True)
    counted = training_memory(net, (1024,), batch, step).peak_bytes
    # Weights, gradients, two states and the average; beside them batches are small.
    assert 5 * weights < counted < 5.2 * weights
    assert agree(measured_training_memory(net, (1024,), batch, training=step), counted)


def _training_peak(net: nn.Module, shape: tuple[int, ...], batch: int) -> tuple[int, int]:
    return training_memory(net, shape, batch).peak_bytes, measured_training_memory(
        net, shape, batch
    )


@pytest.mark.slow
def test_training_step_holds_what_backward_needs() -> None:
    """Sigmoid keeps its output, dropout its mask of bytes; then gradients take their place."""
    net = pooled(nn.Conv2d(3, 16, 1), nn.Sigmoid(), nn.Sigmoid(), nn.Dropout(0.5))
    fake, measured = _training_peak(net, (3, _SIDE, _SIDE), 8)
    assert agree(measured, fake, workspace=8 * (3 + 16) * _PLANE)


@pytest.mark.slow
def test_the_scaffold_in_training_by_shapes_and_by_the_process() -> None:
    """oneDNN lays the operands of a convolution out in blocks, in copies that are its workspace.

    At most two at a time, of input and output, each no larger than the largest activation.
    """
    config = ScaffoldConfig()
    net = ScaffoldNet("ResNetBasicBlock", Position.MID, config)
    fake, measured = _training_peak(net, config.input_shape, 64)
    assert agree(measured, fake, workspace=2 * 64 * config.width * 32 * 32 * 4)


@pytest.mark.gpu
def test_the_scaffold_by_shapes_and_by_the_allocator_of_cuda() -> None:
    """The allocator rounds to 512 bytes; cuDNN's workspaces go through it and come on top."""
    config = ScaffoldConfig()
    net = ScaffoldNet("ResNetBasicBlock", Position.MID, config)
    shape = config.input_shape
    fake = training_memory(net, shape, 64).peak_bytes
    measured = measured_training_memory(net, shape, 64, device="cuda")
    assert 0.98 * fake <= measured <= 1.5 * fake
    chain = nn.Sequential(nn.ReLU(), nn.ReLU(), nn.ReLU())
    by_hand = 3 * 8 * 16 * _PLANE
    measured = measured_inference_memory(chain, (16, _SIDE, _SIDE), 8, device="cuda")
    assert agree(measured, by_hand)


@pytest.mark.usefixtures("forked_workers")
def test_the_module_stays_as_it_was() -> None:
    net = nn.Sequential(nn.Linear(4, 5), nn.Dropout())
    net[0].eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    assert measured_training_memory(net, (4,), 2) > 0
    assert (net[0].training, net[1].training) == (False, True)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(value.grad is None for value in net.parameters())


class Failing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        print("on standard output")  # noqa: T201 - a module may
        raise ValueError("no\nthree lines\nhere")


class Deadly(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        os.kill(os.getpid(), signal.SIGKILL)
        return x


@pytest.mark.usefixtures("forked_workers")
@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Failing(), "peak memory: ValueError: no$"),
        (Deadly(), "peak memory: the measuring process died by SIGKILL$"),
    ],
)
def test_a_module_that_fails_or_kills_its_process_says_so_in_one_line(
    module: nn.Module, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        measured_inference_memory(module, (3,))


def test_bad_input_is_said_before_any_process() -> None:
    with pytest.raises(InputError, match="batch size is 0; it must be 1 or more"):
        measured_inference_memory(nn.ReLU(), (3,), 0)
    with pytest.raises(InputError, match="no trainable parameters"):
        measured_training_memory(nn.ReLU(), (3,), 2)
