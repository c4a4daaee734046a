"""Peaks of tiny nets, computed by hand; float32 and int32 are 4 bytes, int64 is 8."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from blockzoo.core.errors import InputError
from blockzoo.measure.costs.memory import (
    MemoryPeak,
    TrainingStep,
    inference_memory,
    training_memory,
)


def linear(a: int, b: int) -> nn.Linear:
    return nn.Linear(a, b, bias=False)


def conv(inplace: bool) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.ReLU(inplace=inplace))


def category_sum(peak: MemoryPeak) -> int:
    return (
        peak.parameters_bytes
        + peak.gradients_bytes
        + peak.optimizer_bytes
        + peak.activations_bytes
        + peak.temporaries_bytes
    )


@pytest.mark.parametrize(
    ("net", "shape", "parameters", "activations"),
    [
        (linear(4, 8), (4,), 128, 16 + 32),
        # the hidden layer is still held while the next one is made
        (nn.Sequential(linear(4, 8), linear(8, 2)), (4,), 192, 16 + 32 + 8),
        # ... and gone after it; the input stays, its caller has it
        (nn.Sequential(linear(4, 8), linear(8, 16), linear(16, 2)), (4,), 768, 16 + 32 + 64),
        (conv(inplace=True), (3, 8, 8), 432, 768 + 1024),
        (conv(inplace=False), (3, 8, 8), 432, 768 + 1024 + 1024),
        (nn.Flatten(), (3, 8, 8), 0, 768),
        # weight, bias, mean, variance and an int64 counter; with the output the operation returns
        # a mean and a deviation per channel
        (nn.BatchNorm2d(3), (3, 2, 2), 3 * 16 + 8, 48 + 48 + 3 * 8),
    ],
)
def test_inference_peak(
    net: nn.Module, shape: tuple[int, ...], parameters: int, activations: int
) -> None:
    peak = inference_memory(net, shape)
    assert peak == MemoryPeak(
        batch_size=1,
        peak_bytes=parameters + activations,
        parameters_bytes=parameters,
        gradients_bytes=0,
        optimizer_bytes=0,
        activations_bytes=activations,
        temporaries_bytes=0,
    )


def test_training_peak_of_one_layer_is_when_the_gradient_is_made() -> None:
    peak = training_memory(linear(16, 3), (16,), batch_size=2)
    logits = 2 * 3 * 4
    assert peak == MemoryPeak(
        batch_size=2,
        peak_bytes=776,
        parameters_bytes=16 * 3 * 4,
        gradients_bytes=16 * 3 * 4,
        optimizer_bytes=16 * 3 * 4,
        # images, targets, logits and loss; log-probabilities are gone when the layer's turn comes
        activations_bytes=2 * 16 * 4 + 2 * 8 + logits + 4,
        # the gradient of the loss and that of the logits
        temporaries_bytes=4 + logits,
    )


def test_plain_sgd_has_no_state_and_adam_has_two_moments_and_a_step_count() -> None:
    net = linear(16, 3)
    plain = training_memory(net, (16,), 2, lambda p: torch.optim.SGD(p, lr=0.1))
    adam = training_memory(net, (16,), 2, lambda p: torch.optim.Adam(p, lr=0.1))
    assert plain.optimizer_bytes == 0
    assert plain.peak_bytes == 776 - 192
    assert adam.optimizer_bytes == 2 * 192 + 4


@pytest.mark.parametrize(
    ("step", "state_bytes"),
    [
        (TrainingStep(), 192),
        (TrainingStep(momentum=0.0), 0),
        (TrainingStep(optimizer="adam"), 2 * 192 + 4),
        (TrainingStep(optimizer="adamw", averaged=True), 2 * 192 + 4 + 192),
        (TrainingStep(averaged=True), 2 * 192),
    ],
)
def test_a_step_holds_what_its_optimizer_and_its_average_do(
    step: TrainingStep, state_bytes: int
) -> None:
    """Weights of 192 bytes: a state or two, a counter of 4 bytes, a copy; nothing else moves."""
    peak = training_memory(linear(16, 3), (16,), 2, step)
    assert peak.optimizer_bytes == state_bytes
    assert peak.peak_bytes == 776 - 192 + state_bytes


def test_the_average_holds_buffers_too() -> None:
    net = nn.Sequential(nn.BatchNorm1d(8), linear(8, 3))
    plain, averaged = (
        training_memory(net, (8,), 4, TrainingStep(averaged=averaged)) for averaged in (False, True)
    )
    held = 4 * (8 + 8 + 24) + 4 * (8 + 8) + 8  # weights, running statistics, a count of batches
    assert averaged.optimizer_bytes - plain.optimizer_bytes == held
    assert averaged.peak_bytes - plain.peak_bytes == held


def test_momentum_takes_the_same_memory_for_one_parameter_at_a_time_as_for_all() -> None:
    net = nn.Sequential(linear(16, 64), nn.Sigmoid(), linear(64, 3))

    def one_by_one(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr=0.1, momentum=0.9, foreach=False)

    assert training_memory(net, (16,), 2, one_by_one) == training_memory(net, (16,), 2)


def test_the_optimizer_step_can_be_the_peak() -> None:
    """Adam makes a denominator as large as the parameter when the backward pass is over."""
    peak = training_memory(linear(64, 64), (64,), 1, lambda p: torch.optim.Adam(p, lr=0.1))
    assert peak.gradients_bytes == 64 * 64 * 4
    assert peak.temporaries_bytes >= 64 * 64 * 4


def test_an_activation_that_backward_needs_is_held_by_the_graph() -> None:
    """Sigmoid keeps its output; at the peak both hidden tensors and the input are alive."""
    chain = nn.Sequential(linear(4, 512), nn.Sigmoid(), linear(512, 2))
    peak = training_memory(chain, (4,), batch_size=8)
    hidden = 8 * 512 * 4
    assert 1 * hidden <= peak.activations_bytes < 2 * hidden + 1000
    keeps_input = nn.Sequential(linear(4, 512), nn.SiLU(), linear(512, 2))
    assert training_memory(keeps_input, (4,), 8).activations_bytes == (
        peak.activations_bytes + hidden
    )


def test_frozen_parameters_have_neither_gradient_nor_state() -> None:
    net = nn.Sequential(linear(16, 16), linear(16, 3))
    net[0].weight.requires_grad_(False)
    peak = training_memory(net, (16,), 2)
    assert peak.parameters_bytes == 1024 + 192
    assert peak.optimizer_bytes == 192
    assert peak.gradients_bytes <= 192


def test_nothing_is_allocated_for_a_batch_of_a_billion() -> None:
    peak = training_memory(
        nn.Sequential(conv(True), nn.Flatten(), linear(256, 2)), (3, 8, 8), 10**9
    )
    assert peak.peak_bytes > 10**12


@settings(max_examples=30, deadline=None)
@given(widths=st.lists(st.integers(1, 50), min_size=2, max_size=6), batch=st.integers(1, 9))
def test_inference_of_a_chain_holds_two_neighbours_and_the_input(
    widths: list[int], batch: int
) -> None:
    net = nn.Sequential(*(linear(a, b) for a, b in pairwise(widths)))
    weights = sum(a * b for a, b in pairwise(widths))
    first = widths[0] + widths[1]
    later = max((widths[0] + a + b for a, b in pairwise(widths[1:])), default=0)
    peak = inference_memory(net, (widths[0],), batch)
    assert peak.peak_bytes == 4 * (weights + batch * max(first, later))


@settings(max_examples=20, deadline=None)
@given(width=st.integers(1, 8), batch=st.integers(1, 20), inplace=st.booleans())
def test_training_peak_is_the_sum_of_its_categories_and_grows_with_the_batch(
    width: int, batch: int, inplace: bool
) -> None:
    net = nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, 2),
    )
    peak, larger = (training_memory(net, (3, 8, 8), size) for size in (batch, batch + 1))
    assert category_sum(peak) == peak.peak_bytes
    assert larger.peak_bytes > peak.peak_bytes
    assert peak.optimizer_bytes == sum(4 * value.numel() for value in net.parameters())


def test_control_flow_on_values_falls_back_to_the_cpu_with_the_same_peak() -> None:
    class Choosy(nn.Sequential):
        def forward(self, input: Tensor) -> Tensor:
            output: Tensor = self[1](self[0](input))
            return output if bool(input[0, 0] < 1) else output + 1

    layers = linear(16, 8), linear(8, 3)
    for memory in (inference_memory, training_memory):
        assert memory(Choosy(*layers), (16,), 2) == memory(nn.Sequential(*layers), (16,), 2)


def test_the_module_stays_as_it_was() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 2))
    net[1].eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    training_memory(net, (3, 8, 8), 2)
    inference_memory(net, (3, 8, 8))
    assert net.training
    assert not net[1].training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(value.grad is None for value in net.parameters())


def test_a_module_without_parameters_cannot_be_trained() -> None:
    with pytest.raises(InputError, match="no trainable parameters"):
        training_memory(nn.Flatten(), (3,), 2)
