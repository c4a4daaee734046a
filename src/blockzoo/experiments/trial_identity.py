"""What identifies a trial: a hash of everything that determines its result.

Costs depend on the network alone, latencies on the machine as far as it counts, trainings on data,
recipe and seed. Ids of placements at which the network is the same are the same. No id holds where
a file lies, or which of several equal devices was used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from blockzoo.blocks import get_block
from blockzoo.core.position import Position
from blockzoo.core.processes import Send
from blockzoo.measure.costs.memory import SGD_STEP, TrainingStep
from blockzoo.measure.machine.devices import resolve_device
from blockzoo.measure.machine.environment import VOLATILE, describe_environment
from blockzoo.measure.timing.settings import LatencySettings, resolved_way
from blockzoo.results.records import Environment, ScaffoldSettings, trial_id
from blockzoo.scaffold.net import ScaffoldConfig
from blockzoo.scaffold.placement import Placement
from blockzoo.training.arithmetic import Arithmetic, resolve_arithmetic
from blockzoo.training.recipe import Recipe
from blockzoo.training.settings import TrainingSettings

DEFAULT_TRAINING_BATCH_SIZE = 64
"""Of the training step whose memory a cost tells, where nothing else is asked for."""

# Not of the environment that determines a latency: the commit changes with every line of
# documentation, the threads are those of the settings, and Lightning only trains; what torch was
# built with comes with torch, and the numbers of cores tell whether they are threads of one.
_NOT_IDENTITY = VOLATILE | {
    "commit", "threads", "lightning", "openmp", "mkl", "onednn", "hyper_threading"
}  # fmt: skip
_GPU = re.compile(r"cuda:\d{1,4}")
_RUNTIMES = {"onnxruntime": "onnxruntime", "tensorrt": "onnxruntime", "openvino": "openvino"}


def scaffold_settings(scaffold: ScaffoldConfig) -> ScaffoldSettings:
    """Return the scaffold's configuration as records keep it."""
    return ScaffoldSettings(**{**asdict(scaffold), "stem": scaffold.stem_kind})


def scaffold_identity(scaffold: ScaffoldConfig) -> dict[str, Any]:
    """Return what of the scaffold is part of a trial's identity: all that records keep of it.

    A context by its path counts by its class alone, wherever it lies: its code is part of the
    network's fingerprint.
    """
    context = get_block(scaffold.context).identity_name
    return {**scaffold_settings(scaffold).model_dump(), "context": context}


def cost_trial_id(
    placement: Placement,
    *,
    training_batch_size: int = DEFAULT_TRAINING_BATCH_SIZE,
    memory: bool = True,
    training_step: TrainingStep = SGD_STEP,
) -> str:
    """Return the id of the record of what this placement costs.

    Without `memory` batch size and optimizer of the training step play no part.
    """
    # Only where it is another, so that costs from before there was a choice keep their ids.
    other_step = memory and training_step != SGD_STEP
    return trial_id(
        "cost",
        block=placement.spec.identity_name,
        network=placement.fingerprints.network,
        scaffold=scaffold_identity(placement.scaffold),
        training_batch_size=training_batch_size if memory else None,
        **({"training_step": asdict(training_step)} if other_step else {}),
    )


def latency_trial_id(
    placement: Placement,
    *,
    settings: LatencySettings,
    baseline: Placement | None = None,
    environment: Environment | None = None,
) -> str:
    """Return the id of the record of this placement's latency; `baseline` is itself if None.

    It covers the block and the baseline as built, scaffold, settings and environment, which is the
    one here if None. It does not cover which other networks shared the session. A block that cannot
    be built has an id too.
    """
    reference = baseline or placement
    settings = settings if environment else resolved(settings)
    described = environment.model_dump() if environment else None
    return trial_id(
        "latency",
        block=placement.spec.identity_name,
        network=placement.fingerprints.network,
        baseline=reference.spec.identity_name,
        baseline_network=reference.fingerprints.network,
        scaffold=scaffold_identity(placement.scaffold),
        settings=_settings(settings),
        environment=_identity(settings, described),
    )


def training_trial_id(placement: Placement, settings: TrainingSettings) -> str:
    """Return the id of the record of this training.

    "auto" precision and layout count as what they come to on the device. A block that cannot be
    built has an id too, for the record that says why.
    """
    return training_trial_ids(placement, {settings.seed: settings})[settings.seed]


def training_trial_ids(
    placement: Placement, settings_by_seed: Mapping[int, TrainingSettings]
) -> dict[int, str]:
    """Return the ids of trainings that differ in their seeds alone, by seed."""
    alike = _training_determinants(placement, next(iter(settings_by_seed.values())))
    return {seed: trial_id("training", **alike, seed=seed) for seed in settings_by_seed}


def _training_determinants(placement: Placement, settings: TrainingSettings) -> dict[str, Any]:
    """Return all that determines a training, but for its seed."""
    scaffold, recipe, data = placement.scaffold, settings.recipe, settings.dataset
    arithmetic = trained_arithmetic(placement, settings)
    determinants = replace(recipe, **asdict(arithmetic)).determinants()
    return {
        "compiled": settings.compiled,
        "block": placement.spec.identity_name,
        "network": placement.fingerprints.network,
        # Fingerprints of the zoo tell the structure, and not how weights are drawn.
        "initialisation": (placement.spec.initialisation, placement.context.spec.initialisation),
        "scaffold": scaffold_identity(scaffold),
        "protocol": settings.protocol,
        # A recipe of the same values under another name trains the same.
        "recipe": {k: value for k, value in determinants.items() if k != "name"},
        # Not its name, which may be a path: its fingerprint covers all of it.
        "dataset": data.fingerprint,
        "split": (settings.validation_fraction, settings.split_seed),
        # The kind alone, so that a sweep may go on on another GPU.
        "device": _named_device(settings.device).type,
    }


def trained_arithmetic(placement: Placement, settings: TrainingSettings) -> Arithmetic:
    """Return the precision and the layout that "auto" comes to for this training.

    Of a block that cannot be built, what they would be for a network without narrow layers.
    """
    return _arithmetic(placement, settings.recipe, _named_device(settings.device))


def _named_device(text: str) -> torch.device:
    """Return the device of that name; a GPU need not be here for the id of what it trained."""
    return torch.device(text) if _GPU.fullmatch(text) else resolve_device(text)


# Asked of another process for a block of a user's.
@lru_cache(maxsize=4096)
def _arithmetic(placement: Placement, recipe: Recipe, device: torch.device) -> Arithmetic:
    elsewhere = placement.elsewhere
    if elsewhere is None:
        return resolve_arithmetic(recipe, device, placement.meta_network())
    task = (placement.spec.name, placement.position, placement.scaffold, recipe, device)
    try:
        return elsewhere(_arithmetic_there, task, kind="identity")
    except Exception:  # noqa: BLE001 - it cannot be built, which its trials will say
        return resolve_arithmetic(recipe, device, nn.Sequential())


def _arithmetic_there(
    task: tuple[str, Position, ScaffoldConfig, Recipe, torch.device], _: Send
) -> Arithmetic:
    block, position, scaffold, recipe, device = task
    return _arithmetic(Placement.of(block, position, scaffold), recipe, device)


def machine_digest(settings: LatencySettings) -> str:
    """Return six hexadecimal digits of all that a latency depends on but networks and inputs.

    >>> len(machine_digest(LatencySettings()))
    6
    """
    settings = resolved(settings)
    return trial_id("machine", way=_settings(settings)["way"], environment=_identity(settings))[:6]


def resolved(settings: LatencySettings) -> LatencySettings:
    """Return the settings with the device by its own name; raises `DeviceError`."""
    return replace(settings, way=resolved_way(settings.way))


def _settings(settings: LatencySettings) -> dict[str, object]:
    """Return the settings with the kind of device: which one it is, the environment tells."""
    kind = torch.device(settings.way.device).type
    return asdict(replace(settings, way=replace(settings.way, device=kind)))


def _identity(
    settings: LatencySettings, described: Mapping[str, object] | None = None
) -> dict[str, object]:
    """Return what determines a latency of the environment: of the runtimes, only the one used."""
    used = _RUNTIMES.get(settings.way.backend)
    left_out = _NOT_IDENTITY | {name for name in _RUNTIMES.values() if name != used}
    described = described or describe_environment(settings.way.device)
    return {name: value for name, value in described.items() if name not in left_out}
