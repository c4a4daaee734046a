from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

from blockzoo.core.errors import UnknownNameError
from blockzoo.data import load_dataset
from blockzoo.data.batches import ChannelStatistics, DeviceImages, channel_statistics
from blockzoo.data.residence import fetched, free_bytes, resolve_residence
from blockzoo.training.fit import fit
from blockzoo.training.recipe import get_recipe
from tests.training.samples import training_settings

CPU = torch.device("cpu")
PLAIN = ChannelStatistics(mean=torch.zeros(3), std=torch.ones(3))


def random_images(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.randint(0, 256, (count, 3, 5, 6), dtype=torch.uint8, generator=generator)


def given_out(
    data: DeviceImages, batch_size: int, epoch: int, *, workers: int
) -> tuple[list[Tensor], list[Tensor]]:
    """All batches of one epoch, then all in order: images and labels."""
    data.workers = workers
    passes = (
        data.epoch(epoch, seed=1, batch_size=batch_size, crop_padding=2, flip=True, cutout=2),
        data.in_order(batch_size),
    )
    pairs = [pair for batches in passes for pair in batches]
    return [images for images, _ in pairs], [labels for _, labels in pairs]


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(2, 40),
    batch_size=st.integers(1, 9),
    workers=st.integers(1, 5),
    epoch=st.integers(0, 3),
    some=st.booleans(),
    channels_last=st.booleans(),
)
def test_batches_are_the_same_wherever_the_images_lie(
    count: int, batch_size: int, workers: int, epoch: int, some: bool, channels_last: bool
) -> None:
    images, labels = random_images(count), torch.arange(count)
    rows = torch.arange(count - 1, 0, -1) if some else None
    expected, others = (
        given_out(
            DeviceImages(
                images,
                labels,
                PLAIN,
                device=CPU,
                channels_last=channels_last,
                rows=rows,
                resident=resident,
            ),
            batch_size,
            epoch,
            workers=workers,
        )
        for resident in (True, False)
    )
    for one_kind, other_kind in zip(expected, others, strict=True):
        assert len(one_kind) == len(other_kind)
        for one, other in zip(one_kind, other_kind, strict=True):
            assert torch.equal(one, other)
            assert one.stride() == other.stride()


def test_rows_choose_images_and_labels() -> None:
    images, rows = random_images(6), torch.tensor([4, 1, 5])
    for resident in (True, False):
        data = DeviceImages(
            images, torch.arange(6), PLAIN, device=CPU, rows=rows, resident=resident
        )
        (given_images, labels), *none = data.in_order(8)
        assert (len(data), none) == (3, [])
        assert torch.equal(given_images, images[rows].float())
        assert labels.tolist() == [4, 1, 5]


def test_images_that_are_not_resident_are_not_copied() -> None:
    images = random_images(4)
    data = DeviceImages(images, torch.arange(4), PLAIN, device=CPU, resident=False)
    images[2] = 7
    (batch, _), *_ = data.in_order(4)
    assert torch.equal(batch[2], torch.full((3, 5, 6), 7.0))


def test_statistics_of_some_rows_and_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    images, rows = random_images(9), torch.tensor([8, 0, 3, 4])
    whole = channel_statistics(images[rows])
    monkeypatch.setattr("blockzoo.data.batches._COUNTED_BYTES", 200)  # two images
    parts = channel_statistics(images, rows)
    assert torch.equal(whole.mean, parts.mean)
    assert torch.equal(whole.std, parts.std)


def threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("images")]


def test_a_pass_that_is_given_up_ends_its_threads() -> None:
    batches = torch.split(torch.arange(40), 2)
    pieces = fetched(random_images(40), batches, CPU, workers=3)
    next(pieces)
    assert len(threads()) == 3
    pieces.close()  # type: ignore[attr-defined]
    assert threads() == []


def test_no_more_than_a_few_batches_are_fetched_ahead() -> None:
    taken: list[int] = []

    def batches() -> object:
        for index in range(50):
            taken.append(index)
            yield torch.tensor([index])

    pieces = fetched(random_images(50), batches(), CPU, workers=2)  # type: ignore[arg-type]
    next(pieces)
    assert len(taken) == 5
    assert len(list(pieces)) == 49


def test_images_lie_on_the_device_where_they_take_half_of_what_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=2001))
    assert free_bytes(CPU) == 2001
    assert resolve_residence("auto", 1000, CPU) is True
    assert resolve_residence("auto", 1001, CPU) is False
    assert resolve_residence(True, 1001, CPU) is True
    assert resolve_residence(False, 1, CPU) is False


@pytest.mark.gpu
def test_batches_are_the_same_on_a_gpu() -> None:
    device, images, labels = torch.device("cuda"), random_images(50), torch.arange(50)
    assert 0 < free_bytes(device) <= torch.cuda.get_device_properties(device).total_memory
    here, there, on_cpu = (
        given_out(
            DeviceImages(images, labels, PLAIN, device=where, resident=resident), 8, 0, workers=3
        )
        for where, resident in ((device, True), (device, False), (CPU, True))
    )
    for kind in range(2):
        for one, other, third in zip(here[kind], there[kind], on_cpu[kind], strict=True):
            assert one.device.type == other.device.type == "cuda"
            assert torch.equal(one, other)
            assert torch.equal(one.cpu(), third)


def test_training_gives_the_same_weights_wherever_the_images_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The images of a folder, from memory and out of the decode cache."""
    for index in range(60):
        split, name = ("train", "test")[index % 3 == 0], "ab"[index % 2]
        place = tmp_path / "noise" / split / name
        place.mkdir(parents=True, exist_ok=True)
        pixels = random_images(60)[index].permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(place / f"{index}.png")
    data = load_dataset(str(tmp_path / "noise"))
    recipe = replace(get_recipe("quick"), epochs=2, batch_size=8, precision="fp32")
    fetched_batches = []
    monkeypatch.setattr(
        "blockzoo.data.batches.fetched",
        lambda *arguments: fetched_batches.append(1) or fetched(*arguments),  # type: ignore[func-returns-value]
    )
    weights, results = [], []
    for available in (10**12, 0):
        memory = SimpleNamespace(available=available)
        monkeypatch.setattr("psutil.virtual_memory", lambda memory=memory: memory)
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2))
        result = fit(net, training_settings(data, recipe))
        weights.append(torch.cat([weight.flatten() for weight in net.state_dict().values()]))
        results.append((result.test_loss, result.val_loss, len(fetched_batches)))
    assert torch.equal(*weights)
    assert results[0][:2] == results[1][:2]
    assert results[0][2] == 0
    assert results[1][2] == 5  # two passes to train, two to validate, one to test


def test_another_word_than_auto_is_refused() -> None:
    expected = "unknown residence 'device'; allowed: auto, True, False"
    with pytest.raises(UnknownNameError, match=expected):
        resolve_residence("device", 1, CPU)  # type: ignore[arg-type]
