"""Backward passes that run the module again, and control flow that depends on values.

Of the kind in public code: gradient checkpointing (ibm-granite/dolomite-engine #16), operators that
counters pass over (pytorch/pytorch #131041), ways that depend on values (pytorch/pytorch #93579).
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from blockzoo.measure.costs.complexity import BY_VALUES, count_complexity
from blockzoo.measure.costs.memory import MemoryPeak, training_memory
from blockzoo.measure.costs.meta import RememberedShapes, stand_ins, standing_in


class Recomputed(nn.Module):
    """Logits of two linear layers over a first one; the two are run again in the backward pass."""

    def __init__(self, reentrant: bool | None) -> None:
        super().__init__()
        self.reentrant = reentrant
        self.first = nn.Linear(8, 8, bias=False)
        self.body = nn.Sequential(nn.Linear(8, 64, bias=False), nn.Linear(64, 8, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        if self.reentrant is None:
            return self.body(x)  # type: ignore[no-any-return]
        return checkpoint(self.body, x, use_reentrant=self.reentrant)  # type: ignore[no-any-return]


WEIGHTS = 8 * 8 + 2 * 8 * 64


def peak_of(net: nn.Module) -> MemoryPeak:
    return training_memory(net, (8,), 2)


@pytest.mark.parametrize("reentrant", [False, True])
def test_the_weights_of_what_is_run_again_count_once(reentrant: bool) -> None:
    net = Recomputed(reentrant)
    before = [value.clone() for value in net.parameters()]
    peak, plain = peak_of(net), peak_of(Recomputed(None))
    assert peak.parameters_bytes == plain.parameters_bytes == 4 * WEIGHTS
    # At the peak, when the first layer has none yet.
    assert peak.gradients_bytes == plain.gradients_bytes == 4 * 2 * 8 * 64
    # The module is as it was: without gradients, with its own weights.
    assert all(value.grad is None for value in net.parameters())
    assert all(map(torch.equal, before, net.parameters()))


@pytest.mark.parametrize(
    # A second forward pass of the body; the other kind stops where all that was needed is there.
    ("reentrant", "again"),
    [(None, 0), (True, 2 * 8 * 64), (False, 8 * 64)],
)
def test_what_is_run_again_is_counted(reentrant: bool | None, again: int) -> None:
    net = Recomputed(reentrant)
    complexity = count_complexity(net, torch.zeros(1, 8))
    assert complexity.macs == WEIGHTS
    assert complexity.training_macs == 3 * WEIGHTS - 8 * 8 + again
    assert all(value.grad is None for value in net.parameters())


def test_a_tensor_in_two_places_has_one_stand_in() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    own = net[0].weight
    net[1].weight = own
    with standing_in(net, *stand_ins(net, "meta")):
        assert net[0].weight is net[1].weight
        assert net[0].weight.is_meta
    assert net[0].weight is net[1].weight is own


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bright, self.dark = nn.Linear(4, 16, bias=False), nn.Linear(4, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.bright(x) if x.mean() > 0 else self.dark(x)  # type: ignore[no-any-return]


class Masked(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[x > 0] * 2


@pytest.mark.parametrize(("net", "macs"), [(Branching(), 4), (Masked(), 0)])
def test_a_count_that_depends_on_values_says_so_each_time(net: nn.Module, macs: int) -> None:
    # As a profile of several positions does: what was made for the first is not taken for later.
    with RememberedShapes():
        for _ in range(3):
            complexity = count_complexity(net.to("meta"), torch.zeros(1, 4, device="meta"))
            assert (complexity.macs, complexity.uncounted) == (macs, (BY_VALUES,))


class Flagged(nn.Module):
    """Takes its way by state of its own, as `BatchNorm2d(momentum=None)` reads its counter."""

    flag: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm = nn.Linear(4, 4, bias=False), nn.BatchNorm1d(4, momentum=None)
        self.register_buffer("flag", torch.tensor(True))

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.layer(x) if self.flag else x)  # type: ignore[no-any-return]


def test_state_of_the_module_is_no_input_and_is_what_it_is() -> None:
    complexity = count_complexity(Flagged(), torch.zeros(2, 4))
    assert (complexity.macs, complexity.uncounted) == (2 * 4 * 4, ())
