"""The gate: what each precision may differ by, and what it may not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from blockzoo.core.errors import InputError, ModelError, ParityError
from blockzoo.core.run_way import RunWay
from blockzoo.measure.timing.backends.gate import check_output
from tests.measure.timing.backends.networks import images, small_net

FP32, BF16 = RunWay(), RunWay(backend="compile", precision="bf16")
INT8 = RunWay(backend="onnxruntime", precision="int8")


class Magnifying(nn.Module):
    """Sums ten million and small numbers and takes the ten million off again: all rounding."""

    def forward(self, x: Tensor) -> Tensor:
        return (x + 1e5) - 1e5


def scaled(net: nn.Module, factor: float) -> nn.Module:
    class Scaled(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = net(x)
            return factor * y

    return Scaled()


@pytest.mark.parametrize(
    ("options", "passes", "fails"),
    [
        (FP32, 1.00005, 1.001),
        (BF16, 1.04, 1.06),
        (RunWay(backend="tensorrt", device="cuda"), 1.009, 1.02),
    ],
    ids=str,
)
def test_each_precision_has_its_tolerance(options: RunWay, passes: float, fails: float) -> None:
    net = small_net()
    with torch.no_grad():
        accepted = check_output(net, scaled(net, passes), images(4), 2, options)
        assert accepted == pytest.approx(passes - 1, rel=0.05)
        with pytest.raises(ParityError, match="outputs differ by"):
            check_output(net, scaled(net, fails), images(4), 2, options)


def test_rounding_that_the_network_magnifies_passes_and_a_mistake_as_large_does_not() -> None:
    net, given = Magnifying(), images(2).flatten(1)

    def exact(x: Tensor) -> Tensor:
        return x

    assert 1e-4 < check_output(net, exact, given, 1, FP32) < 1e-2
    with pytest.raises(ParityError, match=r"allowed is 0\.0001"):
        check_output(net, lambda x: x + 0.05, given, 1, FP32)


def test_batches_must_be_whole() -> None:
    with pytest.raises(InputError, match="3 images are no whole batches of 2"):
        check_output(small_net(), small_net(), images(3), 2, FP32)


def test_int8_is_judged_on_64_images_by_its_error() -> None:
    net, seen = small_net(), []

    def rough(x: Tensor) -> Tensor:
        seen.append(len(x))
        y: Tensor = 1.1 * net(x)
        return y

    with torch.no_grad():
        assert check_output(net, rough, images(4), 4, INT8) == pytest.approx(0.1, rel=1e-4)
        assert sum(seen) == 64
        with pytest.raises(ParityError, match=r"int8 outputs are 6\.0 dB above their error"):
            check_output(net, scaled(net, 1.5), images(4), 4, INT8)


def test_int8_must_agree_on_clear_first_choices() -> None:
    class Sums(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            clear = torch.tensor([9.0, 8.0, 0.0])
            return clear.expand(len(x), 3)

    def swapped(x: Tensor) -> Tensor:
        return torch.tensor([8.0, 9.0, 0.0]).expand(len(x), 3)

    with pytest.raises(ParityError, match="agrees on the first choice for 0% of the clear"):
        check_output(Sums(), swapped, images(2), 1, INT8)


def test_int8_outputs_must_be_finite_and_of_the_same_shape() -> None:
    net = small_net()
    with torch.no_grad():
        with pytest.raises(ModelError, match="NaN or infinite"):
            check_output(net, scaled(net, float("nan")), images(2), 1, INT8)
        with pytest.raises(ParityError, match="shapes"):
            check_output(net, lambda x: net(x)[:, :2], images(2), 1, INT8)
