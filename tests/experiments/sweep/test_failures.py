"""What a failed trial leaves: a record on the terms on which it would have counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from blockzoo.analysis.groups import Terms
from blockzoo.core.position import Position
from blockzoo.experiments.sweep.failures import failed_records
from blockzoo.experiments.sweep.plan import training_trial
from blockzoo.experiments.sweep.run import run_trial
from blockzoo.results.records import TrainingRecord
from tests.experiments.sweep.test_run import request_of


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_failed_training_has_the_terms_of_one_that_went_well(
    tiny_npz: Path, precision: str
) -> None:
    request = request_of(tiny_npz, "InvertedResidual", precision=precision, channels_last=False)
    placement = request.placement("InvertedResidual", Position.MID)
    trial = training_trial(request, placement, 0)
    (well,) = run_trial(request, trial).records
    (failed,) = failed_records(request, trial, ValueError("no"))
    assert isinstance(well, TrainingRecord)
    assert isinstance(failed, TrainingRecord)
    assert failed.precision == precision
    assert Terms.of(failed) == Terms.of(well)
