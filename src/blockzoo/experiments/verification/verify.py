"""The verb `verify`: whose records are what they say, and a random sample made again."""

from __future__ import annotations

import random
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path

from blockzoo.experiments.recording import failure_fields
from blockzoo.experiments.verification.claims import (
    Claims,
    IdentityError,
    UnknownError,
    UnusualError,
    label_of,
)
from blockzoo.experiments.verification.rerun import Rerunner, Tolerance, platform_text
from blockzoo.measure.machine.devices import resolve_device
from blockzoo.results.records import AnyRecord, CostRecord, LatencyRecord, TrainingRecord
from blockzoo.results.submissions.verification import Rerun, Verification, moment_text

Progress = Callable[[int, int, str], None]
FAMILY_LEVEL = 0.05
"""How often a bundle that is right all over would be found wrong, elsewhere than it was made."""
_SEED_BITS = 32


@dataclass(frozen=True, kw_only=True)
class VerifyRequest:
    """How many trials are made again, and where.

    Args:
        sample: How many are drawn; all there are, where there are fewer.
        sample_seed: What they are drawn by; None for one by chance, which nobody knew before.
        data_dir: Where data sets are found.
        device: The one that trainings run on.
        tolerance: How far results may lie apart; its confidence is divided among the sample.

    Example:
        >>> VerifyRequest(sample=5).device
        'auto'
    """

    sample: int = 0
    sample_seed: int | None = None
    data_dir: Path | None = None
    device: str = "auto"
    tolerance: Tolerance = field(default_factory=Tolerance)


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What was found: the check as it is kept, and how many records could not be judged, and why.

    Args:
        verification: With faults and sample.
        not_rerun: How many records could not be made again, by reason.
        unknown: How many records could not be identified, by reason.
    """

    verification: Verification
    not_rerun: Counter[str]
    unknown: Counter[str]


def verify_records(
    records: Sequence[AnyRecord],
    request: VerifyRequest,
    faults: Sequence[str] = (),
    progress: Progress | None = None,
) -> Verified:
    """Compare all records with what is built here, count all costs, make a sample again.

    Args:
        records: All of a bundle.
        request: How many are made again.
        faults: What else was found wrong, which is kept with the rest.
        progress: Called before each that is made again as `progress(done, total, label)`.

    Returns:
        What was found.

    Raises:
        DeviceError: For a device that is not there.

    Example:
        >>> verify_records([], VerifyRequest(sample=3, sample_seed=0)).verification.agrees
        True
    """
    rerunner = _rerunner(records, request)
    sorting = _Sorting(rerunner=rerunner, faults=[*faults])
    # In the order of their ids, so that a seed draws the same from the same records.
    for record in sorted(records, key=lambda each: each.trial_id):
        sorting.add(record)
    sorting.finish()
    chosen = request.sample_seed
    seed = secrets.randbits(_SEED_BITS) if chosen is None else chosen
    here = rerunner.environment_of(rerunner.device)
    reruns = _reruns(rerunner, drawn(sorting.able, request.sample, seed), progress)
    verification = Verification(
        verified_at=moment_text(datetime.now(timezone.utc)),
        blockzoo=here.blockzoo,
        commit=here.commit,
        platform=platform_text(here),
        records=len(records),
        counted=sorting.counted,
        drawn_from=len(sorting.able),
        sample_seed=seed,
        faults=tuple(sorting.faults),
        reruns=reruns,
    )
    return Verified(verification=verification, not_rerun=sorting.not_rerun, unknown=sorting.unknown)


def _rerunner(records: Sequence[AnyRecord], request: VerifyRequest) -> Rerunner:
    """Return what makes trials again; its confidence is divided among the sample."""
    confidence = 1 - FAMILY_LEVEL / max(1, request.sample)
    return Rerunner(
        records=records,
        claims=Claims(data_dir=request.data_dir),
        device=str(resolve_device(request.device)),
        tolerance=replace(request.tolerance, confidence=confidence),
    )


@dataclass(kw_only=True)
class _Sorting:
    """Records by what can be told of them here; `able` are those that can be made again."""

    rerunner: Rerunner
    faults: list[str]
    able: list[TrainingRecord | LatencyRecord] = field(default_factory=list)
    counted: int = 0
    not_rerun: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    sessions: set[str] = field(default_factory=set)
    unusual: list[LatencyRecord] = field(default_factory=list)

    def add(self, record: AnyRecord) -> None:
        try:
            self.rerunner.claims.check(record)
        except IdentityError as error:
            self._fault(record, str(error))
            return
        except UnusualError:
            if isinstance(record, LatencyRecord):
                self.unusual.append(record)
            return
        except UnknownError as error:
            self.unknown[str(error)] += 1
            return
        if isinstance(record, CostRecord):
            self._count(record)
            return
        if isinstance(record, LatencyRecord):
            self.sessions.add(record.session)
        try:
            self.rerunner.require_rerunnable(record)
            self.able.append(record)
        except UnknownError as error:
            self.not_rerun[str(error)] += 1

    def _count(self, record: CostRecord) -> None:
        if record.status != "ok":
            self.not_rerun["it failed"] += 1
            return
        try:
            different = self.rerunner.differing_counts(record)
        except Exception as error:  # noqa: BLE001 - of a block that cannot be counted here
            self._fault(record, f"it cannot be counted here: {failure_fields(error)['reason']}")
            return
        self.counted += not different
        if different:
            self._fault(record, f"counted again, it has another {', '.join(different)}")

    def _fault(self, record: AnyRecord, what: str) -> None:
        self.faults.append(f"record {record.trial_id}, {label_of(record)}: {what}")

    def finish(self) -> None:
        """Judge timings with unusual settings: those of one session all have the same."""
        for record in self.unusual:
            # A failure tells neither session nor way of running.
            if record.status == "ok" and record.session in self.sessions:
                self._fault(record, "its id is not that of its environment and session")
            else:
                self.unknown[str(UnusualError())] += 1


def drawn(
    records: Sequence[TrainingRecord | LatencyRecord], sample: int, seed: int
) -> list[TrainingRecord | LatencyRecord]:
    """Return a random sample without replacement; of fewer records, all."""
    return random.Random(seed).sample(records, min(sample, len(records)))


def _reruns(
    rerunner: Rerunner,
    chosen: Sequence[TrainingRecord | LatencyRecord],
    progress: Progress | None,
) -> tuple[Rerun, ...]:
    made = []
    for done, record in enumerate(chosen):
        if progress is not None:
            progress(done, len(chosen), label_of(record))
        made.append(rerunner.rerun(record))
    return tuple(made)
