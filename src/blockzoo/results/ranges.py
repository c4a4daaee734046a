"""What the numbers, times and names of a record can be: the types of its fields.

A record is checked by them when it is made, read from a store or taken in from a bundle, so that
whatever reads records meets no value that cannot be. The bounds are those of what holds them: 64
bits, the generators' seeds, the times of `datetime` in any zone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Annotated, Any

from pydantic import AfterValidator, Field, WrapValidator

from blockzoo.core.names import LONGEST_NAME
from blockzoo.core.position import Position
from blockzoo.core.ranges import SEED
from blockzoo.core.text import is_visible, visible

LARGEST_COUNT = 2**63 - 1

Count = Annotated[int, Field(ge=0, le=LARGEST_COUNT)]
Positive = Annotated[int, Field(ge=1, le=LARGEST_COUNT)]
Seed = Annotated[int, Field(ge=0, le=int(SEED.most))]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


def _in_utc(moment: datetime) -> datetime:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    try:
        year = aware.astimezone(timezone.utc).year
    except OverflowError:
        raise ValueError("in UTC this is no time of the years 1970 to 9999") from None
    if year < 1970:
        raise ValueError("a time must be in the years 1970 to 9999")
    return aware  # with a zone, for times with and without one cannot be compared


def _shown(name: str) -> str:
    if not is_visible(name):
        raise ValueError("a name must not hold control characters")
    return name


def _each_once(positions: tuple[Position, ...]) -> tuple[Position, ...]:
    if len({*positions}) < len(positions):
        raise ValueError("each position must be named once")
    return positions


def _in_64_bits(counts: dict[str, int]) -> dict[str, int]:
    # Tables show the sum.
    if sum(counts.values()) > LARGEST_COUNT:
        raise ValueError(f"the sum must be at most {LARGEST_COUNT}")
    return counts


class UsableRecipe(dict[str, Any]):
    """A recipe that was checked, which many records may share."""


def _checked_once(recipe: Any, check: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    return recipe if type(recipe) is UsableRecipe else check(recipe)


def usable_recipe(recipe: dict[str, Any]) -> dict[str, Any]:
    """Check what tables read of a recipe, and that every number of it is one.

    Args:
        recipe: Its values by name.

    Raises:
        ValueError: For what cannot be.

    Example:
        >>> usable_recipe({"epochs": 2})
        {'epochs': 2}
    """
    for name, value in recipe.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name} must be finite")
        if isinstance(value, int) and abs(value) > LARGEST_COUNT:
            raise ValueError(f"{name} must be a number of 64 bits")
    for name in ("epochs", "batch_size"):
        value = recipe.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ValueError(f"{name} must be a whole number of 0 or more")
    rate = recipe.get("learning_rate", 0.0)
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not math.isfinite(rate):
        raise ValueError("learning_rate must be a number")
    return recipe


def _scale(text: str) -> str:
    try:
        scale = float(text)
    except ValueError:
        scale = math.nan
    if not 0 < scale <= 1000:
        raise ValueError("a scale must be a number above 0 and at most 1000")
    return text


def _lines(text: str) -> str:
    return visible(text, lines=True)


Time = Annotated[datetime, AfterValidator(_in_utc)]
"""One without a zone is taken as UTC."""
Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME), AfterValidator(_shown)]
Identity = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_shown)]
"""An id: as long as the column that holds it."""
Lines = Annotated[str, AfterValidator(_lines)]
"""What an error said, which may be anything: control characters in it are kept escaped."""
SomePositions = Annotated[tuple[Position, ...], AfterValidator(_each_once)]
Positions = Annotated[tuple[Position, ...], Field(min_length=1), AfterValidator(_each_once)]
Fractions = Annotated[tuple[Fraction, ...], Field(min_length=1)]
Scale = Annotated[str, AfterValidator(_scale)]
"""Of height and width; text, as keys are in JSON."""
CountByName = Annotated[dict[str, Count], AfterValidator(_in_64_bits)]
RecipeValues = Annotated[
    dict[str, Any], AfterValidator(usable_recipe), WrapValidator(_checked_once)
]
