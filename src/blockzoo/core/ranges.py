"""What the numbers of users can be: one range a quantity, for options and for Python alike.

Upper ends lie far beyond what anybody measures. They are there so that a slip of the keyboard is
told at once, and not by a library, hours later or never.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral, Real

from blockzoo.core.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Range:
    """Numbers from `least` to `most`, `least` itself left out where they are to be `above` it.

    >>> Range(least=1, most=9).checked("depth", 3)
    3
    >>> Range(least=0, most=1, above=True, whole=False).checked("--time-to", 0.0)
    Traceback (most recent call last):
    blockzoo.core.errors.InputError: --time-to is 0; it must be above 0 and at most 1
    """

    least: float
    most: float
    above: bool = False
    whole: bool = True

    def checked(self, name: str, value: object) -> float:
        """Return the value; raises `InputError` where it is no number of the range."""
        if isinstance(value, bool) or not isinstance(value, Integral if self.whole else Real):
            whole = "a whole number " if self.whole and isinstance(value, float) else ""
            raise InputError(f"{name} is {value}; it must be {whole}{self}")
        number = int(value) if isinstance(value, Integral) else float(value)
        too_low = number <= self.least if self.above else number < self.least
        if too_low or number > self.most or math.isnan(number):
            allowed = self._lower if too_low else str(self)
            raise InputError(f"{name} is {_shown(number)}; it must be {allowed}")
        return number

    @property
    def _lower(self) -> str:
        if self.above:
            return str(self)
        return f"{self.least:g} or more"

    def __str__(self) -> str:
        if self.above:
            return f"above {self.least:g} and at most {self.most:,g}"
        return f"within {self.least}..{self.most}"


def _shown(number: float) -> str:
    if isinstance(number, float):
        return f"{number:.15g}"
    # Python writes no numbers of thousands of digits.
    return str(number) if abs(number) < 10**30 else f"a number of {number.bit_length()} bits"


DEPTH = Range(least=1, most=1000)
WIDTH = Range(least=1, most=4096)
CLASSES = Range(least=2, most=1_000_000)
SIDE = Range(least=4, most=8192)
"""Height or width of an input in pixels: two stages halve it, and 4 is what both halve exactly."""
PIXELS = Range(least=0, most=8192)
"""Of a border or a square in an image; 0 is none."""
IMAGE_SIDE = Range(least=1, most=8192)
"""Height or width to which images are resized, in pixels."""
BATCH = Range(least=1, most=2**20)
THREADS = Range(least=1, most=1024)
PROCESSES = Range(least=0, most=1000)
AT_ONCE = Range(least=1, most=1024)
SECONDS = Range(least=0, most=1_000_000, above=True, whole=False)
POINTS = Range(least=0, most=99, above=True, whole=False)
LIMIT = Range(least=0, most=1e18, above=True, whole=False)
MARGIN = Range(least=0, most=0.99, above=True, whole=False)
BUDGET = Range(least=0, most=100, above=True, whole=False)
"""Of a stage, as a share of another's cost."""
CAPACITY = Range(least=0, most=1000, above=True, whole=False)
GIBIBYTES = Range(least=0, most=2**20, above=True, whole=False)
CALLS = Range(least=0, most=1_000_000)
ROUNDS = Range(least=1, most=1_000_000)
EPOCHS = Range(least=1, most=100_000)
LEARNING_RATE = Range(least=0, most=1000, above=True, whole=False)
DAYS = Range(least=0, most=100_000, whole=False)
LISTED = Range(least=1, most=10**9)
"""Lines of a list."""
SEED = Range(least=0, most=2**32 - 1)
"""What numpy's legacy generator takes."""
SEEDS = Range(least=1, most=10_000)
"""Of one command; by then the seed of the tuning would be reached."""
TRIALS = Range(least=1, most=10_000)
REACHED = Range(least=0, most=1, above=True, whole=False)
"""An accuracy that is to be reached, as a fraction."""


def check_all(values: Iterable[object], name: str, range_: Range) -> None:
    """Check several numbers of one name.

    >>> check_all([1, 2], "batch size", BATCH)
    """
    for value in values:
        range_.checked(name, value)
