from __future__ import annotations

import pytest

from blockzoo.core.errors import InputError
from blockzoo.measure.timing.settings import SamplingPlan


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"min_rounds": 0}, "min_rounds is 0; it must be 1 or more"),
        ({"min_rounds": 9, "rounds_max": 5}, "rounds_max is 5; it must be 9 or more"),
        ({"budget_s": 0.0}, "budget_s is 0.0; it must be above 0"),
        ({"budget_s": float("nan")}, "budget_s is nan"),
        ({"target_relative_interval": -1.0}, "must be above 0"),
        ({"warmup_min_s": 6.0}, "warmup_max_s is 5.0; it must be 6.0 or more"),
        ({"stop_on": "mood"}, "stop_on is 'mood'; allowed: median, ratio, verdict"),
    ],
)
def test_a_plan_that_cannot_work_is_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SamplingPlan(**values)  # type: ignore[arg-type]
