from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from blockzoo.core.errors import InputError
from blockzoo.data.batches import (
    ChannelStatistics,
    DeviceImages,
    augment,
    batch_sizes,
    channel_statistics,
    cut_out,
    plan_epoch,
)

CPU = torch.device("cpu")
PLAIN = ChannelStatistics(mean=torch.zeros(3), std=torch.ones(3))


def random_images(count: int, height: int = 5, width: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8, generator=generator)


def numbered(count: int) -> DeviceImages:
    """Images whose every pixel, and whose label, is the image's index."""
    indices = torch.arange(count)
    images = indices[:, None, None, None].expand(count, 3, 2, 2).to(torch.uint8)
    return DeviceImages(images, indices, PLAIN, device=CPU)


@settings(max_examples=50, deadline=None)
@given(count=st.integers(1, 60), batch_size=st.integers(1, 20), epoch=st.integers(0, 5))
def test_every_image_comes_once_with_its_label(count: int, batch_size: int, epoch: int) -> None:
    batches = numbered(count).epoch(epoch, seed=3, batch_size=batch_size, crop_padding=0, flip=True)
    pairs = list(batches)
    assert len(pairs) == len(batches)
    labels = torch.cat([labels for _, labels in pairs])
    pixels = torch.cat([images[:, 0, 0, 0] for images, _ in pairs])
    assert sorted(labels.tolist()) == list(range(count))
    assert torch.equal(pixels, labels.float())


@settings(max_examples=50, deadline=None)
@given(count=st.integers(1, 200), batch_size=st.integers(1, 50))
def test_no_image_is_dropped_and_none_is_alone(count: int, batch_size: int) -> None:
    sizes = batch_sizes(count, batch_size)
    assert sum(sizes) == count
    assert max(sizes) <= batch_size + 1
    if count > 1 and batch_size > 1:
        assert min(sizes) > 1


def test_batch_sizes_by_hand() -> None:
    assert batch_sizes(10, 4) == [4, 4, 2]
    assert batch_sizes(9, 4) == [4, 5]
    assert batch_sizes(3, 1) == [1, 1, 1]
    assert batch_sizes(1, 4) == [1]


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 6),
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    padding=st.integers(0, 3),
    seed=st.integers(0, 1000),
)
def test_augment_equals_a_slow_reference(
    count: int, height: int, width: int, padding: int, seed: int
) -> None:
    images = random_images(count, height, width)
    plan = plan_epoch(count, seed=seed, epoch=0, crop_padding=padding, flip=True)
    fast = augment(images, plan.rows, plan.columns, plan.flips, padding)
    for index in range(count):
        canvas = torch.zeros(3, height + 2 * padding, width + 2 * padding, dtype=torch.uint8)
        canvas[:, padding : padding + height, padding : padding + width] = images[index]
        top, left = int(plan.rows[index]), int(plan.columns[index])
        crop = canvas[:, top : top + height, left : left + width]
        expected = crop.flip(2) if plan.flips[index] else crop
        assert torch.equal(fast[index], expected)


def test_a_plan_follows_from_seed_and_epoch_alone() -> None:
    torch.manual_seed(1)
    first = plan_epoch(50, seed=0, epoch=2, crop_padding=4, flip=True)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    again = plan_epoch(50, seed=0, epoch=2, crop_padding=4, flip=True)
    assert torch.equal(state, torch.get_rng_state())
    for name in ("order", "rows", "columns", "flips", "centres"):
        assert torch.equal(getattr(first, name), getattr(again, name))
    for seed, epoch in ((0, 3), (1, 2)):
        other = plan_epoch(50, seed=seed, epoch=epoch, crop_padding=4, flip=True)
        assert not torch.equal(first.order, other.order)


def test_a_plan_uses_the_whole_range_and_flips_half() -> None:
    plan = plan_epoch(2000, seed=0, epoch=0, crop_padding=2, flip=True)
    assert set(plan.rows.tolist()) == set(plan.columns.tolist()) == set(range(5))
    assert 900 < int(plan.flips.sum()) < 1100
    still = plan_epoch(2000, seed=0, epoch=0, crop_padding=2, flip=False)
    assert not still.flips.any()
    assert torch.equal(plan.order, still.order)


def test_statistics_equal_those_of_the_pixels() -> None:
    images = random_images(7)
    statistics = channel_statistics(images)
    pixels = images.double().transpose(0, 1).flatten(1)
    torch.testing.assert_close(statistics.mean.double(), pixels.mean(dim=1))
    torch.testing.assert_close(statistics.std.double(), pixels.std(dim=1, correction=0))
    normal = statistics.normalise(images).transpose(0, 1).flatten(1)
    torch.testing.assert_close(normal.mean(dim=1), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(normal.std(dim=1, correction=0), torch.ones(3))


def test_a_constant_channel_does_not_blow_up() -> None:
    images = torch.full((2, 3, 4, 4), 77, dtype=torch.uint8)
    assert channel_statistics(images).normalise(images).abs().max() == 0


@pytest.mark.parametrize("channels_last", [False, True])
def test_batches_have_the_layout_asked_for_and_the_same_values(channels_last: bool) -> None:
    images, labels = random_images(6), torch.arange(6)
    data = DeviceImages(images, labels, PLAIN, device=CPU, channels_last=channels_last)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    for batches in (
        data.in_order(4),
        data.epoch(0, seed=0, batch_size=4, crop_padding=1, flip=True),
    ):
        for batch, _ in batches:
            assert batch.is_contiguous(memory_format=layout)
            assert batch.dtype == torch.float32
    together = torch.cat([batch for batch, _ in data.in_order(4)])
    assert torch.equal(together, images.float())


def test_a_batch_size_of_zero_is_refused() -> None:
    with pytest.raises(InputError, match="batch size is 0"):
        numbered(3).in_order(0)


def test_a_hole_by_hand() -> None:
    images = torch.ones(3, 3, 4, 6)
    centres = torch.tensor([[0.5, 0.5], [0.0, 0.0], [0.99, 0.99]])
    cut_out(images, centres, 2)
    expected = torch.ones(3, 4, 6)
    expected[0, 1:3, 2:4] = 0  # the middle is pixel (2, 3)
    expected[1, :1, :1] = 0  # pixel (0, 0): most of the hole lies outside
    expected[2, 2:4, 4:6] = 0
    assert torch.equal(images, expected[:, None].expand_as(images))


@settings(max_examples=30, deadline=None)
@given(side=st.integers(1, 9), seed=st.integers(0, 100))
def test_cutout_changes_nothing_but_its_square(side: int, seed: int) -> None:
    data = DeviceImages(random_images(7) | 1, torch.arange(7), PLAIN, device=CPU)
    (whole, labels), (holed, same) = (
        next(iter(data.epoch(1, seed=seed, batch_size=7, crop_padding=0, flip=True, cutout=cut)))
        for cut in (0, side)
    )
    assert torch.equal(labels, same)
    hole = holed == 0
    assert torch.equal(holed[~hole], whole[~hole])
    height, width = hole.any(dim=1).any(dim=2).sum(1), hole.any(dim=1).any(dim=1).sum(1)
    assert torch.equal(hole.sum(dim=(1, 2, 3)), 3 * height * width)
    assert int(height.min()) >= 1
    assert int(height.max()) <= min(side, 5)
    assert int(width.max()) <= min(side, 6)


def test_what_a_plan_draws_is_pinned() -> None:
    plan = plan_epoch(6, seed=0, epoch=0, crop_padding=4, flip=True)
    assert plan.order.tolist() == [2, 1, 0, 5, 3, 4]
    assert plan.rows.tolist() == [8, 2, 2, 5, 7, 4]
    assert plan.columns.tolist() == [1, 5, 8, 6, 7, 1]
    assert plan.flips.tolist() == [True, True, False, False, True, False]


def test_a_cutout_below_zero_is_refused() -> None:
    with pytest.raises(InputError, match="cutout is -1"):
        numbered(3).epoch(0, seed=0, batch_size=2, crop_padding=0, flip=False, cutout=-1)
