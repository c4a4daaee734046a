"""One image file read as RGB bytes, resized by a rule; whatever is no clean image is refused."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from blockzoo.core.errors import DataError
from blockzoo.core.ranges import IMAGE_SIDE, check_all
from blockzoo.data.image_dataset import Array

Size = tuple[int, int]

# 8 bits a channel; what has more would be clipped, not scaled, on its way to RGB.
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")


@dataclass(frozen=True, kw_only=True)
class Resizing:
    """To which size (height, width) images are brought, bilinear and antialiased.

    "stretch" does not keep proportions; "crop" resizes the image so that it just covers the size,
    then cuts out the middle. No size leaves images as they are.
    """

    size: Size | None = None
    how: Literal["stretch", "crop"] = "stretch"

    def __post_init__(self) -> None:
        if self.size is not None:
            check_all(self.size, "size in pixels", IMAGE_SIDE)

    def __call__(self, image: Image.Image) -> Image.Image:
        """Return the image brought to the size."""
        from torchvision.transforms.functional import center_crop, resize

        if self.size is None:
            return image
        if self.how == "stretch":
            resized: Image.Image = resize(image, list(self.size))
            return resized
        height, width = self.size
        scale = max(height / image.height, width / image.width)
        # Rounding must not leave a side shorter than what is cut out.
        covering = [
            max(height, round(image.height * scale)),
            max(width, round(image.width * scale)),
        ]
        cropped: Image.Image = center_crop(resize(image, covering), list(self.size))
        return cropped


@contextmanager
def strict_images() -> Iterator[None]:
    """Have huge images raise; threads that read images share the filters set here."""
    log, silent = logging.getLogger("PIL"), logging.NullHandler()
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        # Metadata that a reader stumbles over does not matter for the pixels.
        warnings.simplefilter("ignore", UserWarning)
        # What it logs of a damaged file would stand beside the one line that names the file.
        log.addHandler(silent)
        try:
            yield
        finally:
            log.removeHandler(silent)


def read_image(file: Path | BytesIO, resizing: Resizing, name: str) -> Array:
    """Return that image as RGB, uint8 (H, W, 3); raises `DataError` beginning with `name`.

    Meant to be called within `strict_images`.
    """
    bomb = (Image.DecompressionBombError, Image.DecompressionBombWarning)
    try:
        with Image.open(file) as opened:
            image = _rgb(opened, name)
    except bomb as error:
        raise DataError(
            f"{name}: is larger than {Image.MAX_IMAGE_PIXELS} pixels, the most that is read"
        ) from error
    except DataError:
        # From `_rgb`, and clear as it is.
        raise
    except Exception as error:
        raise DataError(f"{name}: cannot be read as an image ({error})") from error
    return np.asarray(resizing(image))


def _rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode not in _MODES:
        raise DataError(
            f"{name}: its mode is {image.mode}; images of 8 bits a channel are read, "
            f"of mode {', '.join(_MODES)}"
        )
    return image.convert("RGB")
