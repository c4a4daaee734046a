"""The CPU launches a GPU's steps ahead: nothing in one may wait for the device; run with -m gpu."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch

from blockzoo.data.batches import DeviceImages, channel_statistics
from blockzoo.scaffold.net import ScaffoldConfig, ScaffoldNet
from blockzoo.training.fit import fit
from blockzoo.training.loop import Loop
from blockzoo.training.recipe import get_recipe
from tests.training.samples import tiny_dataset, training_settings

pytestmark = pytest.mark.gpu

BEFORE_STEADY = 5
"""Steps in which the first output is looked at and CUDA graphs are recorded."""


@contextmanager
def waiting_is_an_error() -> Iterator[None]:
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_waiting_is_noticed() -> None:
    value = torch.ones((), device="cuda")
    with waiting_is_an_error(), pytest.raises(RuntimeError, match="synchronizing"):
        float(value)


@pytest.mark.parametrize("resident", [True, False])
def test_batches_are_made_without_waiting(resident: bool) -> None:
    data = tiny_dataset(per_class=32)
    images = DeviceImages(
        data.x_train,
        data.y_train,
        channel_statistics(data.x_train),
        device=torch.device("cuda"),
        channels_last=True,
        resident=resident,
    )
    batches = iter(images.epoch(0, seed=0, batch_size=8, crop_padding=4, flip=True, cutout=8))
    next(batches)  # the epoch's plan goes to the device
    with waiting_is_an_error():
        assert len(list(batches)) == 7


@pytest.mark.timeout(300)
@pytest.mark.parametrize("compiled", [False, True])
def test_steps_are_launched_without_waiting(
    compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    step: Callable[..., None] = Loop._step
    watched: list[int] = []

    def watching(loop: Loop, index: int, *rest: Any) -> None:
        steady = index >= BEFORE_STEADY
        with waiting_is_an_error() if steady else nullcontext():
            step(loop, index, *rest)
        watched.extend([index] * steady)

    monkeypatch.setattr(Loop, "_step", watching)
    net = ScaffoldNet(
        "ResNetBasicBlock",
        "mid",
        ScaffoldConfig(depth=1, width=16, classes=6, input_shape=(3, 8, 8)),
    )
    recipe = replace(get_recipe("v1"), epochs=1, warmup_epochs=0.0, batch_size=16, drop_path=0.1)
    data = tiny_dataset(classes=6, per_class=40)
    result = fit(net, training_settings(data, recipe, device="cuda", compiled=compiled))
    assert result.compiled is compiled
    assert watched == list(range(BEFORE_STEADY, 14))  # gradient norms are sampled at the tenth
