"""The cells of a latency session: a block at a position, run in one way, and through its gate.

A cell must first show that its deploy form computes what its training form computes; one that does
not is never timed.
"""

from __future__ import annotations

import itertools
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from blockzoo.blocks import BlockSpec, to_deploy
from blockzoo.blocks.user_errors import describe_error
from blockzoo.core.errors import BlockError
from blockzoo.core.position import Position
from blockzoo.experiments.identity import latency_trial_id
from blockzoo.measure.timing.backends import get_backend
from blockzoo.measure.timing.parity import check_merge, with_nontrivial_state
from blockzoo.measure.timing.settings import LatencySettings
from blockzoo.scaffold.net import ScaffoldConfig, ScaffoldNet
from blockzoo.scaffold.placement import Placement

_PARITY_IMAGES = 4


@dataclass(frozen=True, kw_only=True)
class LatencyCell:
    """One block at one position, how it is run, and the id of the cell it is compared with.

    `positions` are all at which both it and its baseline are the same networks as here.
    """

    spec: BlockSpec
    position: Position
    positions: tuple[Position, ...]
    settings: LatencySettings
    trial_id: str
    baseline_id: str


@dataclass(frozen=True, kw_only=True)
class GatedCell:
    """A cell after its gate: the network to be timed, or why there is none."""

    cell: LatencyCell
    network: nn.Module | None = None
    parity_error: float | None = None
    reason: str | None = None
    traceback: str | None = None


def ways_to_run(
    settings: LatencySettings,
    backends: Sequence[str],
    precisions: Sequence[str],
    threads: Sequence[int],
    caches: Sequence[str],
) -> tuple[LatencySettings, ...]:
    """Return the settings of every way to run a network; raises for unknown names.

    Where there is no choice given, that of `settings` holds.
    """
    chosen = list(
        itertools.product(
            backends or (settings.backend,),
            precisions or (settings.precision,),
            threads or (settings.threads,),
            caches or (settings.cache,),
        )
    )
    for backend, *_ in chosen:
        get_backend(backend)
    return tuple(
        replace(
            settings, backend=backend, precision=cast(Any, precision), threads=count, cache=cache
        )
        for backend, precision, count, cache in chosen
    )


def latency_cells(
    blocks: Sequence[BlockSpec],
    positions: Sequence[Position],
    *,
    config: ScaffoldConfig,
    ways: Sequence[LatencySettings],
    baseline: BlockSpec,
) -> list[LatencyCell]:
    """Return one cell per distinct record, position by position, in the order of the blocks.

    The baseline comes before the others where it is not among them.
    """
    specs = {spec.name: spec for spec in blocks}
    if baseline.name not in specs:
        specs = {baseline.name: baseline, **specs}
    cells: dict[str, LatencyCell] = {}
    for position in positions:
        for spec, way in itertools.product(specs.values(), ways):
            cell = _cell(spec, position, way, config, baseline)
            cells.setdefault(cell.trial_id, cell)
    return list(cells.values())


def _cell(
    spec: BlockSpec,
    position: Position,
    way: LatencySettings,
    config: ScaffoldConfig,
    baseline: BlockSpec,
) -> LatencyCell:
    compared_alike = _same_positions(baseline, position, config)
    alike = _same_positions(spec, position, config)
    compared = Placement(baseline, position, config)
    own_id, baseline_id = (
        latency_trial_id(Placement(each, position, config), settings=way, baseline=compared)
        for each in (spec, baseline)
    )
    return LatencyCell(
        spec=spec,
        position=position,
        positions=tuple(p for p in alike if p in compared_alike),
        settings=way,
        trial_id=own_id,
        baseline_id=baseline_id,
    )


def gate(cell: LatencyCell, config: ScaffoldConfig, *, raises: bool) -> GatedCell:
    """Build the cell's network and let it through only if both its forms agree.

    With `raises`, whatever a block raises is raised instead of kept as the reason.
    """
    settings = cell.settings
    try:
        net = ScaffoldNet(cell.spec, cell.position, config, seed=settings.seed).eval()
        images = random_images(_PARITY_IMAGES, config, settings.seed)
        deploy_form, parity_error = check_merge(
            with_nontrivial_state(net, settings.seed, images),
            to_deploy,
            images,
            tolerance=settings.parity_tolerance,
        )
    except Exception as error:  # a block is foreign code; the others go on
        if raises:
            raise
        reason = describe_error(error)
        return GatedCell(cell=cell, reason=reason, traceback=traceback.format_exc())
    return GatedCell(cell=cell, network=deploy_form, parity_error=parity_error)


def _same_positions(
    spec: BlockSpec, position: Position, config: ScaffoldConfig
) -> tuple[Position, ...]:
    try:
        return Placement(spec, position, config).positions
    except BlockError:
        return (position,)  # it cannot be built there; its failed record says why


def random_images(count: int, config: ScaffoldConfig, seed: int) -> Tensor:
    """Return `count` standard normal images (count, 3, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, *config.input_shape, generator=generator)
