"""One image file read as RGB bytes, resized by a rule; whatever is no clean image is refused."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from blockzoo.core.errors import DataError
from blockzoo.core.ranges import IMAGE_SIDE, check_all
from blockzoo.data.image_dataset import Array

Size = tuple[int, int]

# 8 bits a channel; what has more would be clipped, not scaled, on its way to RGB.
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")

_ORIENTATION_TAG = 0x0112
# How an image that is stored so is turned for the eye, by the tag's value; 1 is upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, kw_only=True)
class Resizing:
    """To which size (height, width) images are brought, bilinear and antialiased.

    "stretch" does not keep proportions; "crop" resizes the image so that it just covers the size,
    then cuts out the middle. No size leaves images as they are. `upright`: whether an image is
    turned first as its EXIF tag of orientation says, as every viewer does.
    """

    size: Size | None = None
    how: Literal["stretch", "crop"] = "stretch"
    # Told by `key` alone, so that caches from before images were turned keep their names.
    upright: bool = field(default=True, repr=False)

    def __post_init__(self) -> None:
        if self.size is not None:
            check_all(self.size, "size in pixels", IMAGE_SIDE)

    @property
    def key(self) -> tuple[object, ...]:
        """All that pixels depend on here, by values whose text tells them apart."""
        return (self, "upright") if self.upright else (self,)

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
            # Asked after the pixels were read, for readers of TIFF turn images on their own.
            turn = _TURNS.get(_orientation(opened)) if resizing.upright else None
    except bomb as error:
        raise DataError(
            f"{name}: is larger than {Image.MAX_IMAGE_PIXELS} pixels, the most that is read"
        ) from error
    except DataError:
        # From `_rgb`, and clear as it is.
        raise
    except Exception as error:
        raise DataError(f"{name}: cannot be read as an image ({error})") from error
    return np.asarray(resizing(image if turn is None else image.transpose(turn)))


def _orientation(image: Image.Image) -> Any:
    """Return the value of the EXIF tag of orientation; None where there is none to be read."""
    try:
        return image.getexif().get(_ORIENTATION_TAG)
    except Exception:  # noqa: BLE001 - damaged metadata does not matter for the pixels
        return None


def _rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode not in _MODES:
        raise DataError(
            f"{name}: its mode is {image.mode}; images of 8 bits a channel are read, "
            f"of mode {', '.join(_MODES)}"
        )
    return image.convert("RGB")
