"""What identifies a latency: the networks, the settings, and the machine as far as it counts."""

from __future__ import annotations

from dataclasses import asdict, replace

from blockzoo.blocks import BlockSpec, get_block
from blockzoo.core.position import Position
from blockzoo.measure.machine.devices import resolve_device
from blockzoo.measure.machine.environment import VOLATILE, describe_environment
from blockzoo.measure.timing.settings import LatencySettings
from blockzoo.results.records import trial_id
from blockzoo.scaffold.net import ScaffoldConfig
from blockzoo.scaffold.placement import fingerprints, scaffold_identity

# Not of the environment that determines a latency: the commit changes with every line of
# documentation, the threads are those of the settings, and Lightning only trains; what torch was
# built with comes with torch, and the numbers of cores tell whether they are threads of one.
_NOT_IDENTITY = VOLATILE | {
    "commit", "threads", "lightning", "openmp", "mkl", "onednn", "hyper_threading"
}  # fmt: skip
_RUNTIMES = {"onnxruntime": "onnxruntime", "tensorrt": "onnxruntime", "openvino": "openvino"}


def latency_trial_id(
    block: str | BlockSpec,
    position: str | Position,
    *,
    config: ScaffoldConfig,
    settings: LatencySettings,
    baseline: str | BlockSpec | None = None,
) -> str:
    """Return the id that this block's record will have; `baseline` is the block itself if None.

    It covers the block and the baseline as built, scaffold, settings and environment, not which
    other cells shared the session. A block that cannot be built has an id too.
    """
    spec, place = spec_of(block), Position.parse(str(position))
    reference = spec if baseline is None else spec_of(baseline)
    settings = resolved(settings)
    return trial_id(
        "latency",
        block=spec.name,
        network=fingerprints(spec, place, config).network,
        baseline=reference.name,
        baseline_network=fingerprints(reference, place, config).network,
        scaffold=scaffold_identity(config),
        settings=_settings(settings),
        environment=_identity(settings),
    )


def spec_of(block: str | BlockSpec) -> BlockSpec:
    """Return the spec of a name; a spec is its own."""
    return get_block(block) if isinstance(block, str) else block


def resolved(settings: LatencySettings) -> LatencySettings:
    """Return the settings with the device by its own name; raises `DeviceError`."""
    return replace(settings, device=str(resolve_device(settings.device)))


def _settings(settings: LatencySettings) -> dict[str, object]:
    """Return the settings; ids of the hot regime stay what they were when it was the only one."""
    return {k: v for k, v in asdict(settings).items() if (k, v) != ("cache", "hot")}


def _identity(settings: LatencySettings) -> dict[str, object]:
    """Return what determines a latency of the environment: of the runtimes, only the one used.

    Boost counts where it can be read; elsewhere ids stay what they were before it was.
    """
    used = _RUNTIMES.get(settings.backend)
    left_out = _NOT_IDENTITY | {name for name in _RUNTIMES.values() if name != used}
    described = describe_environment(settings.device)
    if described["boost"] is None:
        left_out |= {"boost"}
    return {name: value for name, value in described.items() if name not in left_out}
