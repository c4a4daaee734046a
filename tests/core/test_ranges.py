import math

import numpy as np
import pytest

from blockzoo.core.errors import InputError
from blockzoo.core.ranges import BATCH, SECONDS, SEED, Range


@pytest.mark.parametrize(
    ("allowed", "value", "message"),
    [
        (BATCH, 0, "it is 0; it must be 1 or more"),
        (BATCH, -(10**20), "it is -100000000000000000000; it must be 1 or more"),
        (BATCH, 2**20 + 1, "it is 1048577; it must be within 1..1048576"),
        (BATCH, 10**5000, "it is a number of 16610 bits; it must be within 1..1048576"),
        (BATCH, 2.0, "it is 2.0; it must be a whole number within 1..1048576"),
        (BATCH, True, "it is True; it must be within 1..1048576"),
        (BATCH, "2", "it is 2; it must be within 1..1048576"),
        (SECONDS, 0.0, "it is 0; it must be above 0 and at most 1e+06"),
        (SECONDS, math.nan, "it is nan; it must be above 0 and at most 1e+06"),
        (SECONDS, math.inf, "it is inf; it must be above 0 and at most 1e+06"),
        (SECONDS, -math.inf, "it is -inf; it must be above 0 and at most 1e+06"),
        (SEED, 2**32, "it is 4294967296; it must be within 0..4294967295"),
    ],
    ids=lambda each: each if isinstance(each, str) else type(each).__name__,
)
def test_what_is_out_of_a_range_is_told_in_one_line(
    allowed: Range, value: object, message: str
) -> None:
    with pytest.raises(InputError) as caught:
        allowed.checked("it", value)
    assert str(caught.value).replace("1,000,000", "1e+06") == message


@pytest.mark.parametrize("value", [1, 2**20, np.int64(7)])
def test_both_ends_are_in_it(value: int) -> None:
    found = BATCH.checked("it", value)
    assert found == value
    assert type(found) is int


def test_a_range_of_any_numbers_takes_whole_ones_too() -> None:
    assert SECONDS.checked("it", 1) == 1
    assert SECONDS.checked("it", 1e-9) == 1e-9
