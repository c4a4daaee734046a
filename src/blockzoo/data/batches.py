"""Batches from images kept as bytes, on the training device where they fit there.

Where they do not, they are fetched batch by batch (see `residence`), to the same values. Cropping,
flipping, normalising and cutout happen on the device, for a whole batch at a time. Order and
augmentation of an epoch follow from (seed, epoch) alone and are drawn on the CPU, so that they are
the same on every device and whatever the network.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from blockzoo.core.errors import InputError
from blockzoo.core.seeding import derived_generator
from blockzoo.data.residence import default_workers, fetched

Batch = tuple[Tensor, Tensor]

# Of images at a time in each thread, which needs eight times as much to count them.
_COUNTED_BYTES = 2**24


@dataclass(frozen=True, kw_only=True, eq=False)
class ChannelStatistics:
    """Mean and standard deviation of each channel, (3,), in units of 0..255."""

    mean: Tensor
    std: Tensor

    def to(self, device: torch.device) -> ChannelStatistics:
        """Return the same on `device`: once for all batches, for each copy makes a GPU wait."""
        return ChannelStatistics(mean=self.mean.to(device), std=self.std.to(device))

    def normalise(self, images: Tensor) -> Tensor:
        """Return uint8 `images` (N, 3, H, W) as float32 of zero mean and unit deviation.

        They are to lie where the statistics do.
        """
        mean, std = (t.view(1, 3, 1, 1) for t in (self.mean, self.std))
        # In place, for `float` has made a copy already.
        return images.float().sub_(mean).div_(std)


def channel_statistics(images: Tensor, rows: Tensor | None = None) -> ChannelStatistics:
    """Return the exact statistics of uint8 `images` (N, 3, H, W), from counts of each value.

    `rows` are those that count (default: all). A channel that hardly varies gets a deviation of 1,
    so that normalising does not blow it up.

    >>> images = torch.tensor([0, 200], dtype=torch.uint8)[:, None, None, None].expand(2, 3, 4, 4)
    >>> channel_statistics(images).mean.tolist(), channel_statistics(images).std.tolist()
    ([100.0, 100.0, 100.0], [100.0, 100.0, 100.0])
    """
    values = torch.arange(256, dtype=torch.float64)
    rows = torch.arange(len(images)) if rows is None else rows
    # Some at a time: counting takes eight bytes a pixel, and images may be more than memory holds.
    chunks = torch.split(rows, max(1, _COUNTED_BYTES // max(1, images[0].nbytes)))
    with ThreadPoolExecutor(min(len(chunks), os.cpu_count() or 1)) as pool:
        counts = torch.stack(list(pool.map(lambda chunk: _counts(images[chunk]), chunks))).sum(
            dim=0
        )
    # Counts are whole numbers, so nothing depends on how the images are split up.
    share = counts.double() / counts.sum(dim=1, keepdim=True)
    mean = share @ values
    variance = (share * (values - mean[:, None]) ** 2).sum(dim=1)
    return ChannelStatistics(mean=mean.float(), std=variance.sqrt().clamp(min=1).float())


def _counts(images: Tensor) -> Tensor:
    """Return how often each channel of uint8 `images` has each value, int64 (3, 256)."""
    channels = images.unbind(1)
    return torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in channels])


@dataclass(frozen=True, kw_only=True, eq=False)
class EpochPlan:
    """What one epoch does, on the CPU, by place in the epoch.

    `order` (N,): which image. `rows`, `columns` (N,): where its crop begins in the padded image.
    `flips` (N,): whether it is flipped left to right. `centres` (N, 2): where the middle of its
    hole lies, down and across, as shares of the image's height and width.
    """

    order: Tensor
    rows: Tensor
    columns: Tensor
    flips: Tensor
    centres: Tensor


def plan_epoch(count: int, *, seed: int, epoch: int, crop_padding: int, flip: bool) -> EpochPlan:
    """Draw the plan of one epoch over `count` images from (seed, epoch).

    >>> plan_epoch(5, seed=0, epoch=1, crop_padding=4, flip=True).order.tolist()
    [4, 3, 1, 2, 0]
    """
    generator = derived_generator(f"{seed}/epoch {epoch}")
    order = torch.randperm(count, generator=generator)
    rows, columns = torch.randint(0, 2 * crop_padding + 1, (2, count), generator=generator)
    # Drawn also where nothing is flipped, so that what is drawn next is the same either way.
    flips = (torch.rand(count, generator=generator) < 0.5) & flip
    # Drawn last, so that what comes before does not depend on whether holes are cut.
    centres = torch.rand((count, 2), generator=generator)
    return EpochPlan(order=order, rows=rows, columns=columns, flips=flips, centres=centres)


def augment(images: Tensor, rows: Tensor, columns: Tensor, flips: Tensor, padding: int) -> Tensor:
    """Return `images` (N, 3, H, W) padded with zeros, cropped at (rows, columns), then flipped.

    A crop is one lookup in the view of all windows, so that whole rows of bytes are copied.

    >>> images = torch.arange(9, dtype=torch.uint8).view(1, 1, 3, 3)
    >>> corner, unflipped = torch.tensor([0]), torch.tensor([False])
    >>> augment(images, corner, corner, unflipped, 1)[0, 0].tolist()
    [[0, 0, 0], [0, 0, 1], [0, 3, 4]]
    """
    height, width = images.shape[2:]
    windows = F.pad(images, (padding,) * 4).unfold(2, height, 1).unfold(3, width, 1)
    which = torch.arange(len(images), device=images.device)
    crops = windows[which, :, rows, columns]
    # Both ways for all: picking out those to be flipped would make a GPU wait for their number.
    return torch.where(flips[:, None, None, None], crops.flip(3), crops)


def cut_out(images: Tensor, centres: Tensor, side: int) -> Tensor:
    """Set a square of `side` pixels in each of `images` (N, 3, H, W) to zero, in place.

    `centres` (N, 2): shares of height and width. The middle lies on any pixel with equal chance, so
    that a hole may reach past the border. On normalised images zero is the mean. Source:
    T. DeVries and G. Taylor, Improved Regularization of Convolutional Neural Networks with Cutout,
    2017.

    >>> cut_out(torch.ones(1, 1, 3, 3), torch.tensor([[0.5, 0.5]]), side=1)[0, 0].tolist()
    [[1.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 1.0]]
    """
    inside = []
    for share, length in zip(centres.unbind(1), images.shape[2:], strict=True):
        start = (share * length).long()[:, None] - side // 2
        pixels = torch.arange(length, device=images.device)
        inside.append((pixels >= start) & (pixels < start + side))
    down, across = inside
    return images.masked_fill_((down[:, :, None] & across[:, None, :])[:, None], 0)


class DeviceImages:
    """Images uint8 (N, 3, H, W) and labels (N,), given out in normalised batches on `device`.

    `rows` (M,) are those meant, in their order (default: all). With `resident` they are put on the
    device, else they stay where they are, in the CPU's memory or mapped from a file, and as many
    threads as `workers` says fetch each batch; what is given out is the same, bit for bit.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        statistics: ChannelStatistics,
        *,
        device: torch.device,
        channels_last: bool = False,
        rows: Tensor | None = None,
        resident: bool = True,
    ) -> None:
        # Labels lie on the device in any case: they are small beside the images.
        self.labels = (labels if rows is None else labels[rows]).to(device)
        self._images, self._rows = images, rows
        if resident:
            self._images = (images if rows is None else images[rows]).to(device)
        elif rows is None:
            self._rows = torch.arange(len(images))
        self._resident, self.workers = resident, default_workers()
        self.device, self.statistics = device, statistics.to(device)
        self.layout = torch.channels_last if channels_last else torch.contiguous_format

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(3, H, W)."""
        channels, height, width = self._images.shape[1:]
        return channels, height, width

    def stored(self, sizes: list[int], order: Tensor | None = None) -> Iterator[Tensor]:
        """Yield the bytes of all images on the device, in batches of `sizes`, in `order` (N,)."""
        if not self._resident:
            assert self._rows is not None
            rows = self._rows if order is None else self._rows[order]
            return fetched(self._images, torch.split(rows, sizes), self.device, self.workers)
        if order is None:
            return iter(torch.split(self._images, sizes))
        orders = torch.split(order.to(self.device), sizes)
        return (self._images.index_select(0, rows) for rows in orders)

    def in_order(self, batch_size: int) -> Batches:
        """Return all images in their order, as they are."""
        return Batches(self, None, batch_size, padding=0)

    def epoch(
        self,
        epoch: int,
        *,
        seed: int,
        batch_size: int,
        crop_padding: int,
        flip: bool,
        cutout: int = 0,
    ) -> Batches:
        """Return all images once, in the order and with the augmentation of (seed, epoch).

        `cutout` is the side in pixels of the square set to the mean in each image; 0 for none.
        """
        plan = plan_epoch(len(self), seed=seed, epoch=epoch, crop_padding=crop_padding, flip=flip)
        return Batches(self, plan, batch_size, padding=crop_padding, cutout=cutout)


class Batches:
    """One pass over `data`: pairs of images float32 (N, 3, H, W) and labels int64 (N,).

    No image is left out. A last batch of a single image joins the batch before it, for batch
    normalisation in training needs two.
    """

    def __init__(
        self,
        data: DeviceImages,
        plan: EpochPlan | None,
        batch_size: int,
        *,
        padding: int,
        cutout: int = 0,
    ) -> None:
        if batch_size < 1:
            raise InputError(f"batch size is {batch_size}; it must be 1 or more")
        if cutout < 0:
            raise InputError(f"cutout is {cutout}; it must be 0 or more pixels")
        self._data, self._plan, self._padding, self._cutout = data, plan, padding, cutout
        self.sizes = batch_sizes(len(data), batch_size)

    def __len__(self) -> int:
        return len(self.sizes)

    def __iter__(self) -> Iterator[Batch]:
        return self._planned(self._plan) if self._plan else self._ordered()

    def _ordered(self) -> Iterator[Batch]:
        images = self._data.stored(self.sizes)
        labels = torch.split(self._data.labels, self.sizes)
        for images_of_batch, labels_of_batch in zip(images, labels, strict=True):
            yield self._finished(images_of_batch), labels_of_batch

    def _planned(self, plan: EpochPlan) -> Iterator[Batch]:
        data = self._data
        drawn = (plan.order, plan.rows, plan.columns, plan.flips, plan.centres)
        # Moved once per epoch and cut there, for a copy per batch would make a GPU wait.
        on_device = (torch.split(values.to(data.device), self.sizes) for values in drawn)
        stored = data.stored(self.sizes, plan.order)
        for chosen, order, rows, columns, flips, centres in zip(stored, *on_device, strict=True):
            images = self._finished(augment(chosen, rows, columns, flips, self._padding))
            if self._cutout:
                cut_out(images, centres, self._cutout)
            yield images, data.labels[order]

    def _finished(self, images: Tensor) -> Tensor:
        return self._data.statistics.normalise(images).contiguous(memory_format=self._data.layout)


def batch_sizes(count: int, batch_size: int) -> list[int]:
    """Return the sizes of the batches of `count` images; none is of a single image among others.

    >>> batch_sizes(10, 4), batch_sizes(9, 4)
    ([4, 4, 2], [4, 5])
    """
    whole, rest = divmod(count, batch_size)
    sizes = [batch_size] * whole + [rest] * (rest > 0)
    if rest == 1 and whole:  # batch statistics need two images
        sizes[-2:] = [batch_size + 1]
    return sizes
