"""What a benchmark times: a placement, run in one way, once it has passed its gate.

A network must first show that its deploy form computes what its training form computes; one that
does not is never timed.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from blockzoo.blocks import BlockSpec, to_deploy, to_folded
from blockzoo.blocks.registry import Elsewhere
from blockzoo.blocks.user_errors import describe_error
from blockzoo.core.errors import BlockError, reason_of
from blockzoo.core.position import Position
from blockzoo.core.processes import Send
from blockzoo.core.run_way import RunWay
from blockzoo.core.seeding import derived_seed
from blockzoo.experiments.trial_identity import latency_trial_id
from blockzoo.measure.timing.parity import check_merge, with_nontrivial_state
from blockzoo.measure.timing.preparing import prepared
from blockzoo.measure.timing.settings import LatencySettings
from blockzoo.scaffold.net import ScaffoldConfig
from blockzoo.scaffold.placement import Placement

_PARITY_IMAGES = 4


@dataclass(frozen=True, kw_only=True)
class TimedPlacement:
    """One placement, the way it is run, and what it is compared with; then what its gate said.

    `positions` are all at which both it and its baseline are the same networks as here, `asked`
    those of them at which it is to be timed, and
    `baseline_id` is the trial id of the baseline run in the same way. Of the gate: the `network` to
    be timed, of a user's block as bytes that were prepared in its own process, its parameters where
    it is folded, and its `parity_error`, or `reason` and `traceback` of why there is none.
    """

    placement: Placement
    baseline: Placement
    positions: tuple[Position, ...]
    asked: tuple[Position, ...] = ()
    way: RunWay
    trial_id: str
    baseline_id: str
    network: nn.Module | bytes | None = None
    params_folded: int | None = None
    parity_error: float | None = None
    reason: str | None = None
    traceback: str | None = None


def timed_placements(
    blocks: Sequence[BlockSpec],
    positions: Sequence[Position],
    *,
    baseline: Placement,
    settings: LatencySettings,
    ways: Sequence[RunWay],
) -> list[TimedPlacement]:
    """Return one for each distinct record, position by position, in the order of the blocks.

    The baseline, whose scaffold all share and whose position does not matter, comes before the
    others where it is not among them.
    """
    specs = {spec.name: spec for spec in blocks}  # a block named twice is timed once
    if baseline.spec.name not in specs:
        specs = {baseline.spec.name: baseline.spec, **specs}
    timed: dict[str, TimedPlacement] = {}
    for position in positions:
        reference = baseline.at(position)
        for spec in specs.values():
            for way in ways:
                each = _timed(replace(reference, spec=spec), reference, replace(settings, way=way))
                # A network that is the same at several positions, as its baseline is, comes once.
                first = timed.setdefault(each.trial_id, each)
                asked = tuple(dict.fromkeys((*first.asked, position)))
                timed[each.trial_id] = replace(first, asked=asked)
    return list(timed.values())


def _timed(placement: Placement, baseline: Placement, settings: LatencySettings) -> TimedPlacement:
    own_id, baseline_id = (
        latency_trial_id(each, settings=settings, baseline=baseline)
        for each in (placement, baseline)
    )
    return TimedPlacement(
        placement=placement,
        baseline=baseline,
        positions=tuple(p for p in placement.positions if p in baseline.positions),
        way=settings.way,
        trial_id=own_id,
        baseline_id=baseline_id,
    )


def gate(timed: TimedPlacement, settings: LatencySettings, *, raises: bool) -> TimedPlacement:
    """Build the network and let it through, in the form to be timed, only if both forms agree.

    Whatever a block raises is kept as the reason or, with `raises`, raised.
    """
    elsewhere = timed.placement.elsewhere
    if elsewhere is not None:
        return _gated_elsewhere(elsewhere, timed, settings, raises=raises)
    scaffold, seed = timed.placement.scaffold, settings.seed
    try:
        net = timed.placement.build(seed=seed).eval()
        # Others than those that are timed, which come of the seed itself.
        images = random_images(_PARITY_IMAGES, scaffold, derived_seed(f"{seed}/gate"))
        deploy_form, parity_error = check_merge(
            # On a fresh network most mistakes of a merge change nothing.
            with_nontrivial_state(net, seed, images),
            merge_into(timed.way.form, images),
            images,
            tolerance=settings.parity_tolerance,
        )
    except Exception as error:  # a block is foreign code; the others go on
        if raises:
            raise
        return replace(timed, reason=describe_error(error), traceback=traceback.format_exc())
    params = sum(tensor.numel() for tensor in deploy_form.parameters())
    return replace(
        timed,
        network=deploy_form,
        params_folded=params if timed.way.form == "folded" else None,
        parity_error=parity_error,
    )


def _gated_elsewhere(
    elsewhere: Elsewhere, timed: TimedPlacement, settings: LatencySettings, *, raises: bool
) -> TimedPlacement:
    """Have a user's block gated, and its network prepared, in the process that loads it."""
    placement = timed.placement
    task = (placement.spec.name, placement.position, placement.scaffold, timed.way, settings)
    try:
        gate_said = elsewhere(_prepared_there, task, kind="latency")
    except Exception as error:  # it ended its process, or what was prepared cannot be sent
        if raises:
            raise
        return replace(timed, reason=reason_of(error), traceback=traceback.format_exc())
    if raises and gate_said.reason is not None:
        raise BlockError(f"block {placement.label}: {gate_said.reason}")
    return replace(timed, **vars(gate_said))


@dataclass(frozen=True, kw_only=True)
class _GateSaid:
    """What `TimedPlacement` keeps of its gate."""

    network: bytes | None
    params_folded: int | None
    parity_error: float | None
    reason: str | None
    traceback: str | None


def _prepared_there(
    task: tuple[str, Position, ScaffoldConfig, RunWay, LatencySettings], _: Send
) -> _GateSaid:
    block, position, scaffold, way, settings = task
    placement = Placement.of(block, position, scaffold)
    gated = gate(_timed(placement, placement, replace(settings, way=way)), settings, raises=False)
    payload = None
    if gated.network is not None:
        example = random_images(way.batch_size, scaffold, settings.seed)
        try:
            payload = prepared(gated.network, example, way)
        except Exception as error:  # noqa: BLE001 - a block is foreign code
            gated = replace(gated, reason=reason_of(error), traceback=traceback.format_exc())
    return _GateSaid(
        network=payload,
        params_folded=gated.params_folded,
        parity_error=gated.parity_error,
        reason=gated.reason,
        traceback=gated.traceback,
    )


def merge_into(form: str, example: Tensor) -> Callable[[nn.Module], nn.Module]:
    """Return what makes of a network the form of that name, see `RunWay`; `example` is its input.

    >>> merge_into("deploy", torch.zeros(1, 3, 8, 8)) is to_deploy
    True
    """
    return to_deploy if form == "deploy" else lambda network: to_folded(network, example)


def random_images(count: int, scaffold: ScaffoldConfig, seed: int) -> Tensor:
    """Return `count` standard normal images (count, 3, H, W) as the scaffold takes them.

    >>> random_images(2, ScaffoldConfig(input_shape=(3, 8, 8)), seed=0).shape
    torch.Size([2, 3, 8, 8])
    """
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, *scaffold.input_shape, generator=generator)
