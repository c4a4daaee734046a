"""Networks are copied, cast and laid out whatever they hold.

Of the kind, in public issues: copies of `weight_norm` (locuslab/deq #23,
descriptinc/descript-audio-codec #81, lucidrains/byol-pytorch #95), weights that are no images under
channels-last (intel/ipex-llm #6810, intel/intel-extension-for-pytorch #234), complex weights
(pytorch/pytorch #59803, facebookresearch/dadaptation #12).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from blockzoo.core.networks import cast_network, copied, lay_out_network

CHANGES: dict[str, Callable[[nn.Module], nn.Module]] = {
    "weight_norm": nn.utils.weight_norm,
    "spectral_norm": nn.utils.spectral_norm,
    "pruned": lambda layer: prune.l1_unstructured(layer, "weight", 0.5),  # type: ignore[no-untyped-call]
    "new weight_norm": parametrizations.weight_norm,
    "new spectral_norm": parametrizations.spectral_norm,
}
pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")


@pytest.mark.parametrize("name", CHANGES)
def test_a_copy_computes_the_same_and_shares_no_weights(name: str) -> None:
    layer = CHANGES[name](nn.Conv2d(3, 4, 3)).eval()
    images = torch.randn(2, 3, 8, 8)
    expected = layer(images)  # after which what was computed from weights is there
    twin = copied(layer)
    assert torch.equal(twin(images), expected)
    with torch.no_grad():
        for weight in twin.parameters():
            weight.mul_(2)
    assert not torch.allclose(twin(images), expected)
    assert torch.equal(layer(images), expected)


def test_a_copy_of_a_normed_layer_learns_its_own_weights() -> None:
    layer = nn.utils.weight_norm(nn.Linear(2, 2))
    twin = copied(layer)
    twin(torch.ones(1, 2)).sum().backward()
    assert twin.weight_v.grad is not None
    assert layer.weight_v.grad is None


def test_what_cannot_be_copied_is_one_object_in_both() -> None:
    net = nn.Sequential(nn.Conv2d(1, 1, 1))
    lock, numbers, file = threading.Lock(), (i for i in range(3)), __import__("sys").stdin
    held: dict[str, Any] = {"locks": [lock], "numbers": numbers, "library": torch.nn.functional}
    net[0].held, net.file = held, file  # type: ignore[assignment]
    twin = copied(net)
    copy: Any = twin[0].held
    assert copy is not held
    assert (copy["locks"][0], copy["numbers"]) == (lock, numbers)
    assert copy["library"] is torch.nn.functional
    assert twin[0].weight is not net[0].weight


def test_a_result_that_forward_kept_is_copied_by_its_values() -> None:
    layer = nn.Linear(2, 2)
    layer.last = {"output": layer(torch.ones(1, 2))}  # type: ignore[assignment]
    kept: Any = copied(layer).last
    assert torch.equal(kept["output"], layer(torch.ones(1, 2)))
    assert kept["output"].grad_fn is None


class Refuses:
    def __deepcopy__(self, memo: object) -> object:
        raise ValueError("there is one of me")


def test_what_refuses_in_its_own_words_is_heard() -> None:
    net = nn.Identity()
    net.only = Refuses()  # type: ignore[assignment]
    with pytest.raises(ValueError, match="there is one of me"):
        copied(net)


class Mixed(nn.Module):
    """A bank of kernels (5-d), kernels of images, complex ones, and indices."""

    index: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.bank = nn.Parameter(torch.randn(4, 8, 8, 3, 3))
        self.kernel = nn.Parameter(torch.randn(8, 8, 3, 3))
        self.spectrum = nn.Parameter(torch.randn(8, 3, dtype=torch.cfloat))
        self.register_buffer("index", torch.arange(4))


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.float64, torch.complex128),
        (torch.float32, torch.complex64),
        (torch.bfloat16, torch.complex64),
        (torch.float16, torch.complex64),
    ],
)
def test_complex_weights_stay_complex(dtype: torch.dtype, expected: torch.dtype) -> None:
    net = Mixed()
    imaginary = net.spectrum.imag.detach().clone()
    cast_network(net, dtype)
    assert (net.kernel.dtype, net.spectrum.dtype, net.index.dtype) == (dtype, expected, torch.int64)
    assert torch.equal(net.spectrum.imag.float(), imaginary)


def test_channels_last_is_for_kernels_of_images_alone() -> None:
    net = lay_out_network(Mixed(), torch.channels_last)
    assert net.kernel.is_contiguous(memory_format=torch.channels_last)
    assert not net.kernel.is_contiguous()
    assert net.bank.is_contiguous()
    assert lay_out_network(net, torch.contiguous_format).kernel.is_contiguous()
