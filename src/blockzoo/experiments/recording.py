"""The records that a trial leaves which raised: the reason, and what was asked for."""

from __future__ import annotations

import traceback
from dataclasses import asdict

from blockzoo.blocks.user_errors import describe_error
from blockzoo.core.errors import BlockZooError
from blockzoo.experiments.identity import scaffold_settings
from blockzoo.experiments.sweep.plan import SweepRequest, Trial
from blockzoo.measure.machine.devices import resolve_device
from blockzoo.measure.machine.environment import describe_environment
from blockzoo.results.records import CostRecord, Environment, LatencyRecord, Record, TrainingRecord


def failed_records(request: SweepRequest, trial: Trial, error: BaseException) -> tuple[Record, ...]:
    """Return a failed record for each block of the trial; its block fingerprint is not known."""
    kind = {"cost": CostRecord, "latency": LatencyRecord, "training": TrainingRecord}[trial.kind]
    reason = str(error) if isinstance(error, BlockZooError) else describe_error(error)
    device = resolve_device(request.device)
    training = {
        "protocol": request.protocol.label,
        "dataset": request.dataset.name,
        "dataset_fingerprint": request.dataset.fingerprint,
        "recipe": asdict(request.protocol.recipe),
        "seed": trial.seed,
    }
    special: dict[str, dict[str, object]] = {
        "cost": {},
        "latency": {"device": device.type},
        "training": {"device": device.type, **training},
    }
    return tuple(
        kind(
            trial_id=identity,
            status="failed",
            reason=" ".join(reason.split()),
            traceback="".join(traceback.format_exception(error)),
            block=block,
            positions=request.placement(block, trial.position).positions,
            scaffold=scaffold_settings(request.scaffold),
            environment=Environment.model_validate(describe_environment(device)),
            experiment_name=request.options.experiment_name,
            notes=request.options.notes,
            **special[trial.kind],
        )
        for block, identity in zip(trial.blocks, trial.trial_ids, strict=True)
    )
