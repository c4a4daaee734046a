"""Networks that raise outside their forward pass are named in one line as well."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from blockzoo.core.errors import BlockError, DeviceMemoryError
from blockzoo.training.fit import fit
from tests.training.samples import TINY_RECIPE, tiny_dataset, training_settings

DATA = tiny_dataset()


class Linear(nn.Module):
    """Maps images (N, 3, 8, 8) to two logits."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(192, 2)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.linear(images.flatten(1))
        return logits


class ChangesWhatIsNeeded(Linear):
    def forward(self, images: Tensor) -> Tensor:
        logits = super().forward(images).sigmoid()
        squared = logits * logits
        logits += 1
        return squared


class RaisesInItsHook(Linear):
    def on_training_progress(self, fraction: float) -> None:
        raise ValueError(f"not at {fraction}")


class _Single:
    def __deepcopy__(self, memo: object) -> None:
        raise ZeroDivisionError("there is one alone")


class CannotBeCopied(Linear):
    def __init__(self) -> None:
        super().__init__()
        self.single = _Single()


class HasSparseGradients(Linear):
    def __init__(self) -> None:
        super().__init__()
        self.offsets = nn.Embedding(1, 2, sparse=True)

    def forward(self, images: Tensor) -> Tensor:
        offset: Tensor = self.offsets(torch.zeros((), dtype=torch.int64))
        return super().forward(images) + offset


class LosesAnImage(Linear):
    def forward(self, images: Tensor) -> Tensor:
        logits = super().forward(images)
        return logits if self.training else logits[1:]


class MakesWeightsLate(Linear):
    def forward(self, images: Tensor) -> Tensor:
        self.scale = nn.Parameter(torch.ones(2))
        return super().forward(images) * self.scale


class KeepsMoreThanTensors(Linear):
    def get_extra_state(self) -> dict[str, int]:
        return {"calls": 3}

    def set_extra_state(self, state: object) -> None:
        pass


@pytest.mark.parametrize(
    ("net", "line"),
    [
        (
            ChangesWhatIsNeeded,
            "block X raises as gradients are computed: RuntimeError: one of the variables needed",
        ),
        (RaisesInItsHook, "block X raises in on_training_progress: ValueError: not at 0.0"),
        (CannotBeCopied, "block X cannot be trained: ZeroDivisionError: there is one alone"),
        (HasSparseGradients, "block X cannot be trained: RuntimeError: Adam does not support"),
        (
            LosesAnImage,
            "block X returns logits of shape (1, 2); they must be (2, 2)",
        ),
        (
            MakesWeightsLate,
            "block X made or dropped scale as it was trained; all weights must be there",
        ),
        (
            KeepsMoreThanTensors,
            "block X has dict in its state, as _extra_state; only tensors can be averaged and kept",
        ),
    ],
)
def test_what_a_network_raises_is_one_line_with_its_name(net: type[Linear], line: str) -> None:
    recipe = replace(TINY_RECIPE, ema_decay=0.9, optimizer="adamw")
    with pytest.raises(BlockError) as caught:
        fit(net(), training_settings(DATA, recipe), subject="block X")
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", ["step", "to"])
def test_memory_that_is_exhausted_beside_the_batches_is_one_line_as_well(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("no room")

    owner = {"step": torch.optim.SGD, "to": Linear}[place]
    monkeypatch.setattr(owner, place, full)
    recipe = replace(TINY_RECIPE, optimizer="sgd")
    with pytest.raises(DeviceMemoryError, match=r"X does not fit into the memory of cpu$"):
        fit(Linear(), training_settings(DATA, recipe), subject="block X")
