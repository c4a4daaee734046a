"""The records that a trial leaves which raised: the reason, and what was asked for."""

from __future__ import annotations

from blockzoo.experiments.recording import (
    CommonFields,
    FailureFields,
    common_fields,
    failure_fields,
    recorded_environment,
    training_fields,
)
from blockzoo.experiments.sweep.plan import SweepRequest, Trial
from blockzoo.experiments.trial_identity import trained_arithmetic
from blockzoo.measure.machine.devices import resolve_device
from blockzoo.results.records import CostRecord, LatencyRecord, Record, TrainingRecord


class _Fields(CommonFields, FailureFields):
    trial_id: str
    experiment_name: str
    notes: str


def failed_records(request: SweepRequest, trial: Trial, error: BaseException) -> tuple[Record, ...]:
    """Return a failed record for each block of the trial, in their order."""
    device = resolve_device(request.device)
    environment, failure = recorded_environment(device), failure_fields(error)
    records: list[Record] = []
    for block, position, identity in trial.parts:
        placement = request.placement(block, position)
        fields: _Fields = {
            **common_fields(placement, environment),
            **failure,
            "trial_id": identity,
            "experiment_name": request.options.experiment_name,
            "notes": request.options.notes,
            # Not told, for it may not have been built; it then counts for the newest structure.
            "block_fingerprint": "",
        }
        if trial.kind == "training":
            assert trial.seed is not None
            settings = request.training_settings(trial.seed)
            # On the terms on which it would have counted, so that it is shown beside the others.
            arithmetic = trained_arithmetic(placement, settings)
            records.append(
                TrainingRecord(
                    **fields,
                    **training_fields(settings),
                    precision=arithmetic.precision,
                    channels_last=arithmetic.channels_last,
                    compiled=settings.compiled,
                )
            )
        elif trial.kind == "latency":
            records.append(LatencyRecord(**fields, device=str(device)))
        else:
            records.append(CostRecord(**fields))
    return tuple(records)
