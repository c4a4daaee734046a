from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor, nn

from blockzoo.data.batches import channel_statistics
from blockzoo.data.split import split_train_validation
from blockzoo.results.table.columns import ROBUSTNESS_COLUMNS
from blockzoo.results.table.join import result_rows
from blockzoo.training.robustness import (
    CORRUPTIONS,
    RESOLUTIONS,
    SHIFTS,
    as_bytes,
    contrast,
    evaluate_robustness,
    gaussian_blur,
    gaussian_noise,
    jpeg,
)
from tests.record_samples import training
from tests.training.samples import tiny_dataset


class Brightness(nn.Module):
    """Class 1 where the mean is above that of the training set."""

    def forward(self, images: Tensor) -> Tensor:
        mean = images.mean(dim=(1, 2, 3))
        return torch.stack((-mean, mean), dim=1)


class OneSize(Brightness):
    """The same, for images of 8x8 alone."""

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[2:] != (8, 8):
            raise ValueError("made for 8x8")
        return super().forward(images)


class Corner(nn.Module):
    """Class 1 where the upper left pixel is above the mean."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.stack((-images[:, 0, 0, 0], images[:, 0, 0, 0]), dim=1)


def draw() -> torch.Generator:
    return torch.Generator().manual_seed(0)


class Small(Brightness):
    """The same, where memory holds three images of 8x8 at once."""

    def forward(self, images: Tensor) -> Tensor:
        if images.numel() > 3 * 3 * 8 * 8:
            raise torch.OutOfMemoryError("no room")
        return super().forward(images)


def test_images_that_do_not_fit_are_evaluated_in_parts() -> None:
    assert evaluate_robustness(Small(), tiny_dataset()) == evaluate_robustness(
        Brightness(), tiny_dataset()
    )


def test_brightness_stands_everything() -> None:
    result = evaluate_robustness(Brightness(), tiny_dataset())
    assert result.corruption_accuracy == dict.fromkeys(CORRUPTIONS, (1.0,) * 5)
    assert result.mean_corruption_accuracy == 1
    assert (result.shift_accuracy, result.shift_consistency) == (1, 1)
    assert result.resolution_accuracy == {"0.75": 1.0, "1.25": 1.0, "1.5": 1.0}


def test_a_corner_is_lost_by_five_shifts_of_eight() -> None:
    """Bright images (half) turn dark where a row or column of zeros comes in at the corner."""
    assert len(SHIFTS) == 8
    result = evaluate_robustness(Corner(), tiny_dataset())
    assert result.shift_accuracy == result.shift_consistency == 1 - 5 / 8 / 2


def test_a_network_of_one_size_has_no_accuracy_at_others() -> None:
    net = OneSize().train()
    result = evaluate_robustness(net, tiny_dataset())
    assert set(result.resolution_accuracy.values()) == {None}
    assert result.mean_corruption_accuracy == 1
    assert net.training


def test_the_seed_determines_the_result() -> None:
    first, again = (evaluate_robustness(Corner(), tiny_dataset(), seed=3) for _ in range(2))
    assert first == again
    images = torch.full((2, 3, 4, 4), 0.5)
    assert torch.equal(gaussian_noise(images, 0.1, draw()), gaussian_noise(images, 0.1, draw()))


def test_noise_has_its_deviation() -> None:
    noisy = gaussian_noise(torch.full((8, 3, 32, 32), 0.5), 0.08, draw())
    assert float(noisy.std()) == pytest.approx(0.08, rel=0.02)
    assert float(noisy.mean()) == pytest.approx(0.5, abs=0.003)


def test_blur_spreads_a_point_as_a_gaussian() -> None:
    image = torch.zeros(1, 3, 9, 9)
    image[:, :, 4, 4] = 1
    blurred = gaussian_blur(image, 1.0, draw())
    torch.testing.assert_close(blurred.sum(dim=(2, 3)), torch.ones(1, 3))
    ratio = blurred[0, 1, 4, 5] / blurred[0, 1, 4, 4]
    assert float(ratio) == pytest.approx(0.60653, rel=1e-4)  # exp(-1/2)
    torch.testing.assert_close(blurred, blurred.transpose(2, 3))
    flat = torch.full((1, 3, 5, 5), 0.3)
    torch.testing.assert_close(gaussian_blur(flat, 0.4, draw()), flat)


def test_contrast_by_hand() -> None:
    image = torch.tensor([0.0, 1.0]).expand(1, 3, 2, 2)
    expected = torch.tensor([0.35, 0.65]).expand(1, 3, 2, 2)
    torch.testing.assert_close(contrast(image, 0.3, draw()), expected)


def test_jpeg_keeps_a_flat_image_and_loses_noise() -> None:
    flat = torch.full((2, 3, 16, 16), 128 / 255)
    torch.testing.assert_close(jpeg(flat, 40, draw()), flat, atol=1 / 255, rtol=0)
    noise = torch.rand(2, 3, 16, 16, generator=draw())
    errors = [float((jpeg(noise, quality, draw()) - noise).abs().mean()) for quality in (80, 40)]
    assert 0 < errors[0] < errors[1]


def test_strengths_are_those_of_the_published_script() -> None:
    """Source: hendrycks/robustness, ImageNet-C/create_c/make_cifar_c.py, commit ca360085."""
    assert {name: strengths for name, (_, strengths) in CORRUPTIONS.items()} == {
        "gaussian_noise": (0.04, 0.06, 0.08, 0.09, 0.10),
        "gaussian_blur": (0.4, 0.6, 0.7, 0.8, 1.0),
        "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),
        "jpeg": (80, 65, 58, 50, 40),
    }


@pytest.mark.parametrize("deviation", CORRUPTIONS["gaussian_blur"][1])
def test_blur_is_that_of_the_published_script(deviation: float) -> None:
    """Theirs is scikit-image's, which is scipy's with borders repeated, cut at four deviations."""
    images = torch.rand(2, 3, 32, 32, generator=draw())
    spread = (0, 0, deviation, deviation)
    expected = ndimage.gaussian_filter(images.double().numpy(), spread, mode="nearest", truncate=4)
    found = gaussian_blur(images, deviation, draw())
    torch.testing.assert_close(found, torch.from_numpy(expected).float(), atol=1e-6, rtol=0)


def test_bytes_are_cut_off_and_whole_numbers_stay() -> None:
    numbers = torch.arange(256)
    assert as_bytes(numbers.float() / 255).equal(numbers.to(torch.uint8))
    assert as_bytes(torch.tensor([-0.1, 7.9 / 255, 7.9995 / 255, 1.1])).tolist() == [0, 7, 8, 255]


def test_networks_see_whole_bytes_of_corrupted_images() -> None:
    seen: list[Tensor] = []

    class Watching(Brightness):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(images)
            return super().forward(images)

    dataset = tiny_dataset()
    evaluate_robustness(Watching(), dataset)
    statistics = channel_statistics(dataset.x_train, split_train_validation(dataset.y_train)[0])
    mean, std = (t.view(1, 3, 1, 1) for t in (statistics.mean, statistics.std))
    corrupted = seen[:20]
    for images in corrupted:
        pixels = images * std + mean
        torch.testing.assert_close(pixels, pixels.round(), atol=1e-3, rtol=0)
    strongest = dataset.x_test.double().numpy() / 255
    means = strongest.mean(axis=(2, 3), keepdims=True)
    expected = np.floor(((strongest - means) * 0.15 + means) * 255 + 1e-3)
    found = (corrupted[14] * std + mean).round().numpy()  # contrast is third
    assert np.array_equal(found, expected)


def test_every_figure_has_its_column() -> None:
    stood = evaluate_robustness(Corner(), tiny_dataset())
    (row,) = result_rows([training(robustness=stood)])
    named = [f"{name}_acc" for name in CORRUPTIONS]
    scaled = [f"resolution_{round(100 * scale):03}_acc" for scale in RESOLUTIONS]
    columns = ["corruption_acc", *named, "shift_acc", "shift_consistency", *scaled]
    assert list(ROBUSTNESS_COLUMNS) == columns
    assert row["shift_acc"] == 1 - 5 / 8 / 2
    assert row["jpeg_acc"] == np.mean(stood.corruption_accuracy["jpeg"])
    assert [row[name] for name in scaled] == list(stood.resolution_accuracy.values())
    assert None not in [row[name] for name in columns]
