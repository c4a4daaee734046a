"""How well a trained network stands what it was not trained on: corruption, shift, resolution.

Test images are changed on the fly, on the device; nothing here chooses anything. Corruptions and
their five severities are four of the nineteen of CIFAR-10-C (D. Hendrycks and T. Dietterich,
Benchmarking Neural Network Robustness to Common Corruptions and Perturbations, 2019): strengths,
borders of the blur and the rounding to bytes are those of its published script, repository
hendrycks/robustness, file ImageNet-C/create_c/make_cifar_c.py at commit ca360085. What differs:

- the noise is of another generator, which it must be, for theirs has no seed,
- bytes are cut off as theirs are, but a value within 0.001 below a whole number counts as that
  number, so that rounding errors, which vary with the device, do not cost a grey level,
- the paper's mean corruption error divides by the errors of AlexNet; the mean here is of
  accuracies, all alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import product

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from blockzoo.core.seeding import derived_generator
from blockzoo.data.batches import Batch, ChannelStatistics, augment, channel_statistics
from blockzoo.data.image_dataset import ImageDataset
from blockzoo.data.split import SPLIT_SEED, VALIDATION_FRACTION, split_train_validation
from blockzoo.results.records import RobustnessMetrics
from blockzoo.training.micro_batches import MicroBatches
from blockzoo.training.process import freed_memory_kept

Corruption = Callable[[Tensor, float, torch.Generator], Tensor]
Change = Callable[[Tensor], Tensor]
"""Maps images uint8 (N, 3, H, W) to others as bytes or within 0..1, perhaps of another size."""
Predictor = Callable[[Change], Tensor]

SHIFTS = tuple(shift for shift in product((-1, 0, 1), repeat=2) if shift != (0, 0))
"""The eight moves by one pixel, down and across."""

RESOLUTIONS = (0.75, 1.25, 1.5)
_BATCH_SIZE = 500
_ROUNDING_ERROR = 1e-3


def gaussian_noise(images: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    """Add noise of that deviation to `images`, drawn on the CPU, so the same on every device."""
    noise = torch.randn(images.shape, generator=generator)
    return (images + deviation * noise.to(images.device)).clamp(0, 1)


def gaussian_blur(images: Tensor, deviation: float, _: torch.Generator) -> Tensor:
    """Blur by a Gaussian of that deviation in pixels, cut at four; borders are repeated."""
    radius = int(4 * deviation + 0.5)
    places = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    weights = torch.exp(-0.5 * (places / deviation) ** 2)
    weights = (weights / weights.sum()).expand(3, 1, 1, -1)
    padded = F.pad(images, (radius,) * 4, mode="replicate")
    across = F.conv2d(padded, weights, groups=3)
    return F.conv2d(across, weights.transpose(2, 3), groups=3)


def contrast(images: Tensor, factor: float, _: torch.Generator) -> Tensor:
    """Shrink each channel's distance to its image's mean by `factor`.

    >>> images = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2).expand(1, 3, 1, 2)
    >>> contrast(images, 0.5, torch.Generator())[0, 0, 0].tolist()
    [0.25, 0.75]
    """
    means = images.mean(dim=(2, 3), keepdim=True)
    return ((images - means) * factor + means).clamp(0, 1)


def jpeg(images: Tensor, quality: float, _: torch.Generator) -> Tensor:
    """Compress each image to JPEG of that quality and read it back."""
    pixels = (images * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    unpacked = np.stack([_through_jpeg(image, int(quality)) for image in pixels])
    return torch.from_numpy(unpacked).permute(0, 3, 1, 2).to(images.device).float() / 255


def _through_jpeg(pixels: npt.NDArray[np.uint8], quality: int) -> npt.NDArray[np.uint8]:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


CORRUPTIONS: dict[str, tuple[Corruption, tuple[float, ...]]] = {
    "gaussian_noise": (gaussian_noise, (0.04, 0.06, 0.08, 0.09, 0.10)),
    "gaussian_blur": (gaussian_blur, (0.4, 0.6, 0.7, 0.8, 1.0)),
    "contrast": (contrast, (0.75, 0.5, 0.4, 0.3, 0.15)),
    "jpeg": (jpeg, (80, 65, 58, 50, 40)),
}
"""Each corruption with its strength at severities 1 to 5."""


def evaluate_robustness(
    net: nn.Module,
    dataset: ImageDataset,
    *,
    device: torch.device | str = "cpu",
    seed: int = 0,
    validation_fraction: float = VALIDATION_FRACTION,
    split_seed: int = SPLIT_SEED,
) -> RobustnessMetrics:
    """Evaluate `net` on `device`, in fp32, on changed images of the test set.

    Images are normalised as in the training with that split. Noise follows from `seed` alone. A
    network that does not run at a resolution has None there. Where memory does not suffice, fewer
    images are evaluated at once; raises `DeviceMemoryError` where one is too many.

    >>> from blockzoo.data import load_dataset
    >>> net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 10))
    >>> metrics = evaluate_robustness(net, load_dataset("digits"))
    >>> sorted(metrics.corruption_accuracy), len(metrics.corruption_accuracy["jpeg"])
    (['contrast', 'gaussian_blur', 'gaussian_noise', 'jpeg'], 5)
    """
    train, _ = split_train_validation(
        dataset.y_train, fraction=validation_fraction, seed=split_seed
    )
    statistics = channel_statistics(dataset.x_train, train).to(torch.device(device))
    right = dataset.y_test
    predict = _predictor(net, dataset, statistics)

    def accuracy(classes: Tensor) -> float:
        return (classes == right).double().mean().item()

    with _evaluating(net), freed_memory_kept(torch.device(device)):
        corrupted = {
            name: tuple(
                accuracy(predict(_corrupted(change, strength, f"{seed}/{name} {strength}")))
                for strength in strengths
            )
            for name, (change, strengths) in CORRUPTIONS.items()
        }
        still = predict(lambda images: images)
        moved = torch.stack([predict(_moved(*shift)) for shift in SHIFTS])
        resized = {str(scale): _at_scale(predict, accuracy, scale) for scale in RESOLUTIONS}
    accuracies = [value for values in corrupted.values() for value in values]
    return RobustnessMetrics(
        corruption_accuracy=corrupted,
        mean_corruption_accuracy=sum(accuracies) / len(accuracies),
        shift_accuracy=(moved == right).double().mean().item(),
        shift_consistency=(moved == still).double().mean().item(),
        resolution_accuracy=resized,
    )


def _predictor(net: nn.Module, dataset: ImageDataset, statistics: ChannelStatistics) -> Predictor:
    """Return the function from a change of images to the classes (N,) of all test images."""
    device = statistics.mean.device
    split = (torch.split(values, _BATCH_SIZE) for values in (dataset.x_test, dataset.y_test))
    batches = list(zip(*split, strict=True))
    micro_batches = MicroBatches(least=1, on_oom="split", subject="the network", device=device)

    def answers(batch: Iterable[Batch]) -> Tensor:
        return torch.cat([net(images).argmax(dim=1).cpu() for images, _ in batch])

    def predict(change: Change) -> Tensor:
        classes = []
        for images, labels in batches:
            changed = change(images.to(device))
            # As bytes, or within 0..1 where the change is not to be rounded.
            pixels = changed if changed.dtype == torch.uint8 else changed * 255
            classes.append(micro_batches.fitting(answers, (statistics.normalise(pixels), labels)))
        return torch.cat(classes)

    return predict


@contextmanager
def _evaluating(net: nn.Module) -> Iterator[None]:
    """Put `net` in evaluation mode without gradients, and give its mode back."""
    training = net.training
    with torch.no_grad():
        try:
            net.eval()
            yield
        finally:
            net.train(training)


def _corrupted(change: Corruption, strength: float, key: str) -> Change:
    generator = derived_generator(key)
    return lambda images: as_bytes(change(images.float() / 255, strength, generator))


def as_bytes(images: Tensor) -> Tensor:
    """Return `images` within 0..1 as uint8 within 0..255, cut off, not rounded.

    >>> as_bytes(torch.tensor([0.0, 0.5, 1.0])).tolist()
    [0, 127, 255]
    """
    return (images * 255 + _ROUNDING_ERROR).clamp(0, 255).to(torch.uint8)


def _moved(down: int, across: int) -> Change:
    """Move images by at most one pixel, zeros coming in, as crops of the training do."""

    def move(images: Tensor) -> Tensor:
        rows, columns = (
            torch.full((len(images),), 1 - step, device=images.device) for step in (down, across)
        )
        return augment(images, rows, columns, torch.zeros_like(rows, dtype=torch.bool), 1)

    return move


def _at_scale(
    predict: Predictor,
    accuracy: Callable[[Tensor], float],
    scale: float,
) -> float | None:
    def resize(images: Tensor) -> Tensor:
        size = [round(length * scale) for length in images.shape[2:]]
        resized = F.interpolate(images.float() / 255, size, mode="bilinear", antialias=True)
        return resized.clamp(0, 1)

    try:
        return accuracy(predict(resize))
    except Exception:  # noqa: BLE001 - a block may be made for one size and say so in any way
        return None
