"""The trainings of a tuned track whose block runs in a process of its own.

The search itself stays here; each try, and each seed afterwards, is trained over there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from blockzoo.blocks.registry import Elsewhere
from blockzoo.core.position import Position
from blockzoo.core.processes import Send
from blockzoo.experiments.sweep.plan import SweepRequest
from blockzoo.experiments.tuning.trial import TunedNetwork
from blockzoo.experiments.tuning.tries import Point, Report, Try
from blockzoo.experiments.tuning.tune import Tuning, train_tuned, tuned_network
from blockzoo.results.records import EpochMetrics, TrainingRecord
from blockzoo.scaffold.placement import Placement
from blockzoo.training.run_options import RunOptions

OnEpoch = Callable[[EpochMetrics], None]


def network_of(request: SweepRequest, placement: Placement) -> TunedNetwork:
    """Return what is tuned of a sweep's placement, wherever its block is loaded."""
    network = tuned_network(
        placement.spec,
        placement.position,
        request.protocol,
        request.dataset,
        device=request.device,
        compiled=request.compiled,
    )
    elsewhere = placement.elsewhere
    if elsewhere is None:
        return network
    return _NetworkElsewhere(**vars(network), request=request, elsewhere=elsewhere)


def train_seed(
    request: SweepRequest, tuning: Tuning, seed: int, on_epoch: OnEpoch
) -> TrainingRecord:
    """Train the placement with the chosen values and that seed, wherever its block is loaded."""
    placement = tuning.placement
    if placement.elsewhere is None:
        return _trained(request, tuning, seed, on_epoch)
    task = (request, placement.spec.name, placement.position, tuning.trials, seed)
    return placement.elsewhere(_trained_there, task, kind="training", listener=on_epoch)


@dataclass(frozen=True, kw_only=True)
class _NetworkElsewhere(TunedNetwork):
    request: SweepRequest
    elsewhere: Elsewhere

    def merit(
        self, point: Point, report: Report, options: RunOptions, on_epoch: OnEpoch | None
    ) -> tuple[float, float]:
        """See `TunedNetwork`."""

        def hear(message: EpochMetrics | _Reported) -> None:
            if isinstance(message, _Reported):
                report(*message)
            elif on_epoch is not None:
                on_epoch(message)

        place = (self.placement.spec.name, self.placement.position)
        task = (self.request, *place, dict(point), options)
        return self.elsewhere(_merit_there, task, kind="training", listener=hear)


class _Reported(NamedTuple):
    step: int
    value: float


def _merit_there(
    task: tuple[SweepRequest, str, Position, Point, RunOptions], send: Send
) -> tuple[float, float]:
    request, block, position, point, options = task

    def report(step: int, value: float) -> None:
        send(_Reported(step, value))

    network = network_of(request, request.placement(block, position))
    return network.merit(point, report, options, send)


def _trained_there(
    task: tuple[SweepRequest, str, Position, tuple[Try, ...], int], send: Send
) -> TrainingRecord:
    request, block, position, trials, seed = task
    placement = request.placement(block, position)
    tuning = Tuning(placement=placement, protocol=request.protocol, trials=trials)
    return _trained(request, tuning, seed, send)


def _trained(request: SweepRequest, tuning: Tuning, seed: int, on_epoch: OnEpoch) -> TrainingRecord:
    return train_tuned(
        tuning,
        dataset=request.dataset,
        seed=seed,
        device=request.device,
        compiled=request.compiled,
        options=request.options,
        on_epoch=on_epoch,
    )
