"""A trial of others made again: rebuilt of what its record says, run here, and compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import torch

from blockzoo.experiments.benchmark import benchmark_blocks
from blockzoo.experiments.profile import profile_blocks
from blockzoo.experiments.recording import failure_fields, recorded_environment
from blockzoo.experiments.train import train_placement
from blockzoo.experiments.verification.claims import (
    Claims,
    UnknownError,
    cost_settings,
    label_of,
    latency_settings,
    placement_of,
    scaffold_of,
)
from blockzoo.measure.machine.devices import resolve_device
from blockzoo.results.environment import Environment
from blockzoo.results.records import AnyRecord, CostRecord, LatencyRecord, TrainingRecord
from blockzoo.results.submissions.verification import Rerun, Result
from blockzoo.stats.detection import LEAST_OTHERS, interval_of_one_more
from blockzoo.stats.verdicts import LEAST_PROCESSES

PLATFORM = (
    *("blockzoo", "python", "torch", "numpy", "system", "processor", "instructions"),
    *("mkl", "onednn", "openmp", "accelerator", "driver", "cuda", "cudnn"),
)
"""Fields of an environment with which the same trial gives the same bits, threads being equal."""
_HARDWARE = ("processor", "instructions", "cores", "accelerator")
"""What has to be the same for ratios of latencies to be compared."""
_COUNTED = (
    *("train", "deploy", "parts", "stage_train", "stage_deploy"),
    *("training_macs", "stage_training_macs", "uncounted", "uncounted_macs"),
)
_MEMORY = ("memory_inference", "memory_training")
_LEARNED = ("val_loss", "val_accuracy", "test_loss", "test_accuracy", "test_correct")
_MOST_THREADS = 1024
_APART = 0.02
"""By how much a ratio of latencies is measured differently another time, at the most."""


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How far results made again elsewhere may lie from those that are told.

    Args:
        accuracy: By which test accuracies may differ, as a fraction of 1. None asks that both lie
            where one more seed is expected by the other seeds of the bundle.
        ratio: By which the intervals of ratios of latencies may lie apart, as a share. None is 0.02
            where intervals are of three processes or more, and none is judged that is of fewer:
            such an interval does not tell how far processes differ.
        confidence: Of where one more seed is expected.

    Example:
        >>> Tolerance(ratio=0.05).accuracy is None
        True
    """

    accuracy: float | None = None
    ratio: float | None = None
    confidence: float = 0.99


@dataclass(frozen=True, kw_only=True)
class Rerunner:
    """Makes trials of one bundle again, on one machine.

    Args:
        records: All records of the bundle: other seeds say how far results vary.
        claims: What builds networks and settings of what records say.
        device: The one that trainings on that kind of device run on.
        tolerance: How far results may lie apart that cannot be the same bits.

    Example:
        >>> Rerunner(records=(), claims=Claims()).environment_of("cpu").python[:2]
        '3.'
    """

    records: Sequence[AnyRecord]
    claims: Claims
    device: str = "auto"
    tolerance: Tolerance = field(default_factory=Tolerance)

    @cached_property
    def _kind_of_device(self) -> str:
        return resolve_device(self.device).type

    @cached_property
    def _accuracies(self) -> Mapping[tuple[object, ...], Mapping[int, float]]:
        """The test accuracies of each network by seed."""
        found: dict[tuple[object, ...], dict[int, float]] = {}
        for each in self.records:
            if isinstance(each, TrainingRecord) and each.test_accuracy is not None:
                found.setdefault(_network_of(each), {})[each.seed] = each.test_accuracy
        return found

    def environment_of(self, device: str) -> Environment:
        """Return what results are made with here on that device."""
        return recorded_environment(device)

    def require_rerunnable(self, record: TrainingRecord | LatencyRecord) -> None:
        """Raise `UnknownError` for what cannot be made again here, or not judged then.

        Args:
            record: One that `Claims.check` lets pass.
        """
        if record.status != "ok":
            raise UnknownError("it failed")
        if isinstance(record, LatencyRecord):
            self._require_timed_here(record)
            return
        if torch.device(record.device).type != self._kind_of_device:
            raise UnknownError(f"it was trained on {record.device}")
        if record.micro_batch_size is not None:
            raise UnknownError("its batches were computed in parts, for lack of memory there")
        others = len(self._others(record))
        judged = self._gives_equal_bits(record) or others >= LEAST_OTHERS
        if self.tolerance.accuracy is None and not judged:
            raise UnknownError(
                f"it was trained on another platform or on a GPU, and has {others} other seeds; "
                f"it takes {LEAST_OTHERS}, or a tolerance"
            )

    def _require_timed_here(self, record: LatencyRecord) -> None:
        if record.ratio_interval is None or record.baseline in (None, record.block):
            raise UnknownError("it is a baseline, or was timed without one")
        processes = len(record.process_counts)
        if self.tolerance.ratio is None and processes < LEAST_PROCESSES:
            raise UnknownError(
                f"it was timed in {processes} processes, whose interval does not tell how far "
                f"processes differ; it takes {LEAST_PROCESSES}, or a tolerance"
            )
        here = self.environment_of(record.device)
        other = [n for n in _HARDWARE if getattr(here, n) != getattr(record.environment, n)]
        if other:
            raise UnknownError(f"it was timed on another kind of device ({', '.join(other)})")

    def _is_of_here(self, record: AnyRecord) -> bool:
        """Tell whether equal trials are equal bits here and where it was made, threads equal."""
        told = record.environment
        device = "cpu" if isinstance(record, CostRecord) else record.device
        here = self.environment_of(device)
        return told.threads <= _MOST_THREADS and all(
            getattr(told, name) == getattr(here, name) for name in PLATFORM
        )

    def _gives_equal_bits(self, record: TrainingRecord) -> bool:
        """Tell whether the same training gives the same bits here; on a GPU sums may vary."""
        return self._is_of_here(record) and torch.device(record.device).type == "cpu"

    def _others(self, record: TrainingRecord) -> list[float]:
        """Return the accuracies of other seeds of the same network."""
        seeds = self._accuracies.get(_network_of(record), {})
        return [accuracy for seed, accuracy in seeds.items() if seed != record.seed]

    def differing_counts(self, record: CostRecord) -> list[str]:
        """Count a network again and return what of its cost is not exactly what is told.

        How memory is used is decided by torch's operations, and compared where it is of one
        version.

        Args:
            record: One that `Claims.check` lets pass.
        """
        placement = placement_of(record)
        (made,) = profile_blocks(
            [record.block],
            [record.shown[0]],
            config=placement.scaffold,
            settings=cost_settings(record, placement),
        )
        same_torch = record.environment.torch == self.environment_of("cpu").torch
        names = (*_COUNTED, *(_MEMORY if same_torch else ()))
        return [name for name in names if getattr(record, name) != getattr(made, name)]

    def rerun(self, record: TrainingRecord | LatencyRecord) -> Rerun:
        """Make a trial again and say what came of it.

        Args:
            record: One that `require_rerunnable` lets pass.

        Returns:
            Its outcome; "differs" also where it raised here.
        """
        same = self._is_of_here(record)
        try:
            if isinstance(record, TrainingRecord):
                result, detail = self._compared_trainings(record)
            else:
                result, detail = self._compared_latencies(record)
        # A false record may fail in any way there is, and others are still to be checked.
        except Exception as error:  # noqa: BLE001
            result, detail = "differs", f"it failed here: {failure_fields(error)['reason']}"
        return Rerun(
            trial_id=record.trial_id,
            label=label_of(record),
            result=result,
            same_platform=same,
            detail=detail,
        )

    def _compared_trainings(self, told: TrainingRecord) -> tuple[Result, str]:
        placement = placement_of(told)
        settings = self.claims.training_settings(told, placement)
        with _threads(told.environment.threads):
            made = train_placement(placement, settings)
        names = [name for name in _LEARNED if getattr(told, name) != getattr(made, name)]
        if told.test_logits_sha256 not in (None, made.test_logits_sha256):
            names.append("the logits")
        both = f"{_percent(told.test_accuracy)} told, {_percent(made.test_accuracy)} here"
        if not names:
            return "equal", both
        if self._gives_equal_bits(told):
            which = f"{', '.join(names)} should be the same bits on the same platform"
            return "differs", f"{both}; {which}{_commits(told.environment, made.environment)}"
        return self._within(told, made, both)

    def _within(self, told: TrainingRecord, made: TrainingRecord, both: str) -> tuple[Result, str]:
        if told.test_accuracy is None or made.test_accuracy is None:
            return "differs", both
        step = 1 / told.test_images if told.test_images else 0.0
        if (reach := self.tolerance.accuracy) is not None:
            inside = abs(told.test_accuracy - made.test_accuracy) <= reach + step / 2
            return _said(inside), f"{both}; may differ by {100 * reach:g} points"
        others = self._others(told)
        low, high = interval_of_one_more(others, self.tolerance.confidence, step=step) or (1.0, 0.0)
        inside = low <= min(told.test_accuracy, made.test_accuracy)
        inside &= max(told.test_accuracy, made.test_accuracy) <= high
        where = f"{_percent(low)} to {_percent(high)} by {len(others)} other seeds"
        return _said(inside), f"{both}; {where}"

    def _compared_latencies(self, told: LatencyRecord) -> tuple[Result, str]:
        made = benchmark_blocks(
            [told.block],
            [told.shown[0]],
            config=scaffold_of(told),
            settings=latency_settings(told, placement_of(told)),
            baseline=told.baseline,
        )[-1]
        if made.ratio_interval is None or told.ratio_interval is None:
            return "differs", f"it could not be timed here: {made.reason or 'no interval'}"
        (low, high), (lowest, highest) = told.ratio_interval, made.ratio_interval
        apart = 1 + (_APART if self.tolerance.ratio is None else self.tolerance.ratio)
        overlap = low <= highest * apart and lowest <= high * apart
        detail = f"ratio {low:.3f} to {high:.3f} told, {lowest:.3f} to {highest:.3f} here"
        return _said(overlap), detail


def _said(inside: bool) -> Result:
    return "within" if inside else "differs"


def _network_of(record: TrainingRecord) -> tuple[object, ...]:
    """Return what trainings of other seeds have in common."""
    of_data = (record.protocol, record.dataset_fingerprint, record.device, record.compiled)
    return (record.block, record.block_fingerprint, record.positions, record.scaffold, *of_data)


def _commits(told: Environment, here: Environment) -> str:
    """Return what differs of two sources of one version, for a message; "" for nothing."""
    same = told.commit == here.commit
    return "" if same else f" (commit {told.commit or 'unknown'}, here {here.commit or 'unknown'})"


def _percent(accuracy: float | None) -> str:
    return "none" if accuracy is None else f"{100 * accuracy:.2f}%"


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Have torch use that many threads, on which the order of sums depends."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, min(count, _MOST_THREADS)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def platform_text(here: Environment) -> str:
    """Return a platform in one line."""
    known: Mapping[str, object] = {name: getattr(here, name) for name in PLATFORM}
    return ", ".join(f"{name} {value}" for name, value in known.items() if value is not None)
