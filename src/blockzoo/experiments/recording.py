"""What records of all kinds have in common, filled in one place.

The functions return typed fields, to be spread into the constructor of a record.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal, TypedDict

import torch

from blockzoo.blocks.user_errors import describe_error
from blockzoo.core.errors import BlockZooError, reason_of, traceback_of
from blockzoo.core.position import Position
from blockzoo.experiments.trial_identity import scaffold_settings
from blockzoo.measure.machine.devices import resolve_device
from blockzoo.measure.machine.environment import describe_environment
from blockzoo.results.records import Environment, ScaffoldSettings
from blockzoo.scaffold.placement import Placement
from blockzoo.training.settings import TrainingSettings


class CommonFields(TypedDict):
    """What a record of any kind says of the placement and of where it was made."""

    block: str
    block_fingerprint: str
    unsure: tuple[str, ...]
    positions: tuple[Position, ...]
    asked: tuple[Position, ...]
    scaffold: ScaffoldSettings
    environment: Environment


class TrainingFields(TypedDict):
    """What a training record says of how the network was trained."""

    protocol: str
    dataset: str
    dataset_fingerprint: str
    recipe: dict[str, Any]
    seed: int
    device: str


class FailureFields(TypedDict):
    """What a record of any kind says of a trial that raised."""

    status: Literal["failed"]
    reason: str
    traceback: str


def recorded_environment(device: str | torch.device = "cpu") -> Environment:
    """Return the machine and the software as they are now, as records keep them."""
    return Environment.model_validate(describe_environment(device))


def common_fields(
    placement: Placement,
    environment: Environment,
    positions: tuple[Position, ...] | None = None,
    asked: tuple[Position, ...] = (),
) -> CommonFields:
    """Return what every record of that placement carries.

    `positions` are those it stands for, where that is not all at which its network is the same;
    `asked` those it was wanted at, where that is not the placement's alone.

    >>> fields = common_fields(Placement.of("RepMixer", "mid"), recorded_environment())
    >>> fields["block"], fields["positions"], fields["scaffold"].width
    ('RepMixer', (<Position.MID: 'mid'>,), 64)
    """
    return CommonFields(
        block=placement.spec.name,
        block_fingerprint=placement.recorded_fingerprint,
        unsure=placement.fingerprints.unsure,
        positions=placement.positions if positions is None else positions,
        asked=asked or (placement.position,),
        scaffold=scaffold_settings(placement.scaffold),
        environment=environment,
    )


def training_fields(settings: TrainingSettings) -> TrainingFields:
    """Return what every record of a training with those settings carries, failed or not."""
    return TrainingFields(
        protocol=settings.protocol,
        dataset=settings.dataset.name,
        dataset_fingerprint=settings.dataset.fingerprint,
        recipe=asdict(settings.recipe),
        seed=settings.seed,
        device=resolve_device(settings.device).type,
    )


def failure_fields(error: BaseException) -> FailureFields:
    """Return what a record says of the error that ended its trial.

    >>> failure_fields(ValueError("no\\nkernel"))["reason"]
    'ValueError: no kernel'
    """
    # What was raised on purpose names the block itself and needs no type.
    on_purpose = isinstance(error, BlockZooError)
    return FailureFields(
        status="failed",
        reason=reason_of(error) if on_purpose else describe_error(error),
        traceback=traceback_of(error),
    )
