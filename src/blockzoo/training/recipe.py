"""Recipes: how a network is trained. A named recipe is a fixed set of values; see `RECIPES`.

This module imports neither torch nor Lightning, so that naming a recipe costs nothing.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace
from numbers import Integral, Real
from typing import Any, Literal, get_args

from blockzoo.core.errors import InputError, UnknownNameError
from blockzoo.core.ranges import BATCH, EPOCHS, PIXELS

Optimizer = Literal["adam", "adamw", "sgd"]
Schedule = Literal["constant", "plateau", "cosine"]
Precision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained.

    Args:
        name: What it is called; "custom" unless it is published.
        epochs: Passes over the training images.
        batch_size: Images per step.
        learning_rate: The peak.
        optimizer: "adam", "adamw" or "sgd".
        momentum: Nesterov's, of "sgd" alone.
        weight_decay: Acts on kernels, not on biases, scales and normalisation.
        schedule: "constant"; "plateau", x 0.1 after 5 epochs without a lower validation loss;
            "cosine", down to 0 over all steps.
        warmup_epochs: Linear warm-up that "constant" and "cosine" begin with.
        label_smoothing: At least 0 and below 1.
        gradient_clip_norm: 0 means no clipping.
        crop_padding: Black pixels that images are padded by before they are cropped back at random.
        flip: Whether images are flipped left to right with probability 1/2, if the data set allows
            it too.
        cutout: The side in pixels of a square blacked out at random; 0 for none.
        ema_decay: Above 0 a moving average of the weights is what is validated, chosen and tested.
        precision: "fp32", "bf16", or "auto" for what the device profits from.
        channels_last: The memory layout, or "auto" for what the device profits from, or "safe" for
            channels-last where a CPU can train the network so, on every device alike.
        drop_path: The probability that the last block of a scaffold is skipped for an image in
            training; towards the first block it falls to 0.

    Raises:
        InputError: For values that cannot work.
        UnknownNameError: For another optimizer, schedule or precision.

    Example:
        >>> Recipe(epochs=3, batch_size=32, learning_rate=3e-3).schedule
        'cosine'
    """

    name: str = "custom"
    epochs: int
    batch_size: int
    learning_rate: float
    optimizer: Optimizer = "adamw"
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: Schedule = "cosine"
    warmup_epochs: float = 0.0
    label_smoothing: float = 0.0
    gradient_clip_norm: float = 0.0
    crop_padding: int = 4
    flip: bool = True
    cutout: int = 0
    ema_decay: float = 0.0
    precision: Precision = "auto"
    channels_last: Literal["auto", "safe"] | bool = "auto"
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        _as_python_numbers(self)
        _check_counts(self)
        _check_rates(self)
        _check_choices(self)

    def lasting(self, epochs: int) -> Recipe:
        """Return this recipe over that many epochs, warming up for the same share of them.

        Args:
            epochs: One or more.

        Raises:
            InputError: For fewer than one.

        Example:
            >>> get_recipe("v1").lasting(10).warmup_epochs
            1.0
        """
        share = self.warmup_epochs / self.epochs
        return replace(self, epochs=epochs, warmup_epochs=share * epochs)

    def determinants(self) -> dict[str, Any]:
        """Return all values, by name, that a training depends on.

        Drop path of 0 is not named, so that what was trained before there was any keeps its id.
        """
        values = asdict(self)
        if not self.drop_path:
            del values["drop_path"]
        return values


def _as_python_numbers(recipe: Recipe) -> None:
    """Put Python's numbers in the place of numpy's, which records cannot hold."""
    for field in fields(recipe):
        value = getattr(recipe, field.name)
        if isinstance(value, Real) and not isinstance(value, int | float):
            number = int(value) if isinstance(value, Integral) else float(value)
            object.__setattr__(recipe, field.name, number)


def _check_counts(recipe: Recipe) -> None:
    ranges = {"epochs": EPOCHS, "batch_size": BATCH, "crop_padding": PIXELS, "cutout": PIXELS}
    for name, allowed in ranges.items():
        allowed.checked(name, getattr(recipe, name))


def _check_rates(recipe: Recipe) -> None:
    # No upper end as on the command line: a study of divergence may ask for any.
    if not (math.isfinite(recipe.learning_rate) and recipe.learning_rate > 0):
        raise InputError(f"learning_rate is {recipe.learning_rate}; it must be above 0")
    for name in ("weight_decay", "warmup_epochs", "gradient_clip_norm"):
        value = getattr(recipe, name)
        if not (math.isfinite(value) and value >= 0):
            raise InputError(f"{name} is {value}; it must be 0 or more")
    for name in ("momentum", "label_smoothing", "ema_decay", "drop_path"):
        value = getattr(recipe, name)
        if not 0 <= value < 1:
            raise InputError(f"{name} is {value}; it must be at least 0 and below 1")


def _check_choices(recipe: Recipe) -> None:
    choices = (("optimizer", Optimizer), ("schedule", Schedule), ("precision", Precision))
    for name, allowed in choices:
        if getattr(recipe, name) not in get_args(allowed):
            raise UnknownNameError(name, str(getattr(recipe, name)), get_args(allowed))
    if recipe.schedule == "plateau" and recipe.warmup_epochs:
        raise InputError("schedule plateau has no warm-up; warmup_epochs must be 0 with it")
    if recipe.channels_last not in (True, False, "auto", "safe"):
        layouts = "auto, safe, True, False"
        raise InputError(f"channels_last is {recipe.channels_last}; allowed: {layouts}")


# For a first look within minutes on any two cores. In fp32 on all of them: without instructions
# for bfloat16 that is the quicker one, and a laptop does what a server does.
_QUICK2 = Recipe(
    name="quick2",
    epochs=2,
    batch_size=32,
    learning_rate=3e-3,
    weight_decay=0.01,
    warmup_epochs=0.5,
    crop_padding=1,
    precision="fp32",
    channels_last=False,
)

RECIPES = {
    recipe.name: recipe
    for recipe in (
        # For a first look on small data: minutes for a whole sweep on two cores.
        Recipe(
            name="quick",
            epochs=3,
            batch_size=32,
            learning_rate=3e-3,
            weight_decay=0.01,
            warmup_epochs=0.5,
            crop_padding=2,
        ),
        _QUICK2,
        # With the channels last where that is safe: two thirds of its time on AVX2.
        replace(_QUICK2, name="quick3", channels_last="safe"),
        # As `v1`, over as few epochs as two cores have time for, and in one arithmetic everywhere.
        # All images in few epochs keep the ranks of blocks better than few images in many (Zhou et
        # al., EcoNAS, 2020, arXiv 2001.01233).
        Recipe(
            name="lite",
            epochs=2,
            batch_size=128,
            learning_rate=4e-3,
            weight_decay=0.05,
            warmup_epochs=0.25,
            label_smoothing=0.1,
            gradient_clip_norm=1.0,
            ema_decay=0.999,
            precision="fp32",
            channels_last="safe",
        ),
        # The early version's: Adam, the rate lowered on a plateau (here of the validation loss).
        Recipe(
            name="classic",
            epochs=50,
            batch_size=256,
            learning_rate=1e-3,
            optimizer="adam",
            schedule="plateau",
        ),
        # AdamW (Loshchilov & Hutter 2019) and cosine decay (same authors, 2017) with a linear
        # warm-up (Goyal et al. 2017) and label smoothing (Szegedy et al. 2016). Adaptive steps
        # suit plain, depthwise, large-kernel and LayerNorm blocks alike, as ConvNeXt (Liu et al.
        # 2022) and FastViT (Vasu et al. 2023) are trained, where SGD needs a rate per family.
        # A moving average of the weights (Polyak & Juditsky 1992). See docs/explanation/recipes.md.
        Recipe(
            name="v1",
            epochs=50,
            batch_size=128,
            learning_rate=2e-3,
            weight_decay=0.05,
            warmup_epochs=5.0,
            label_smoothing=0.1,
            gradient_clip_norm=1.0,
            ema_decay=0.999,
        ),
    )
}


def get_recipe(name: str) -> Recipe:
    """Return the recipe of that name.

    Args:
        name: "quick", "quick2", "quick3", "lite", "classic" or "v1".

    Returns:
        The recipe; `dataclasses.replace` changes it.

    Raises:
        UnknownNameError: For another name, listing those there are.

    Example:
        >>> get_recipe("v1").epochs, get_recipe("v1").optimizer
        (50, 'adamw')
    """
    try:
        return RECIPES[name]
    except KeyError:
        raise UnknownNameError("recipe", name, RECIPES) from None
