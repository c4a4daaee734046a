from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from blockzoo.core.errors import ModelError
from blockzoo.measure.costs.receptive_field import (
    ReceptiveField,
    effective_receptive_field,
    receptive_field,
)


def conv(kernel: int, **arguments: int) -> nn.Conv2d:
    padding = arguments.get("dilation", 1) * (kernel // 2)
    return nn.Conv2d(4, 4, kernel, padding=padding, **arguments)  # type: ignore[arg-type]


class Gated(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x.mean((2, 3), keepdim=True).sigmoid()


# 1 + sum of (kernel - 1) x dilation x product of the strides before.
@pytest.mark.parametrize(
    ("layers", "side"),
    [
        ([nn.Identity()], 1),
        ([conv(3)], 3),
        ([conv(3), nn.BatchNorm2d(4), nn.ReLU(), conv(3)], 5),
        ([conv(3, dilation=3), conv(5)], 11),
        ([conv(3, stride=2), conv(3)], 7),
        ([nn.MaxPool2d(2), conv(3), conv(3, stride=2), conv(3)], 18),
    ],
)
def test_field_is_the_sum_over_layers(layers: list[nn.Module], side: int) -> None:
    assert receptive_field(nn.Sequential(*layers), 4) == ReceptiveField(height=side, width=side)


def test_axes_are_measured_apart() -> None:
    strip = nn.Conv2d(4, 4, (1, 11), padding=(0, 5), groups=4)
    field = receptive_field(strip, 4)
    assert (field.height, field.width, str(field)) == (1, 11, "1×11")


def test_a_pooled_gate_sees_the_whole_image() -> None:
    assert str(receptive_field(Gated(), 4)) == "whole image"


def test_a_field_beyond_the_first_length_is_found_on_the_next() -> None:
    field = receptive_field(conv(31), 4, lengths=(16, 64))
    assert field == ReceptiveField(height=31, width=31)


def test_a_weight_that_starts_at_zero_hides_nothing_and_stays_zero() -> None:
    layer = conv(3)
    nn.init.zeros_(layer.weight)
    assert receptive_field(layer, 4).width == 3
    assert not layer.weight.any()


def test_an_output_that_ignores_the_input_is_refused() -> None:
    with pytest.raises(ModelError, match="does not depend on the input"):
        receptive_field(nn.Sequential(nn.Conv2d(4, 4, 1), _zeroed()), 4)


def _zeroed() -> nn.Module:
    class Zeroed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 0

    return Zeroed()


def test_effective_field_counts_pixels_above_a_share_of_the_largest() -> None:
    layer = nn.Conv2d(1, 1, 3, padding=1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.0, 0.04, 0.0], [0.05, 1.0, 0.5], [0.0, 0.04, 0.0]]))
    # 1, 0.5 and 0.05 are above 4.55% of 1; 0.04 is not.
    field = effective_receptive_field(layer, 1, size=8)
    assert field.width == pytest.approx(3**0.5)
    assert field.share_of_input == pytest.approx(3 / 64)


def test_measuring_leaves_module_and_generator_as_they_were() -> None:
    module = nn.Sequential(conv(3), nn.BatchNorm2d(4)).train()
    before, state = torch.get_rng_state(), {k: v.clone() for k, v in module.state_dict().items()}
    receptive_field(module, 4)
    effective_receptive_field(module, 4, size=8)
    assert module.training
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())


class InSingle(nn.Module):
    """Casts to fp32 itself, as Fourier layers do whose transform has no half (LaMa's, FNO's)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x.float())  # type: ignore[no-any-return]


def test_a_module_that_asks_for_single_precision_has_a_field() -> None:
    assert receptive_field(InSingle(), channels=2) == ReceptiveField(height=3, width=3)
