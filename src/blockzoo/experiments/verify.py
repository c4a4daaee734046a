"""The verb `verify --rerun`: whose records are what they say, and a random sample made again."""

from __future__ import annotations

import random
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from blockzoo.core.commit import PACKAGE, commit_of
from blockzoo.core.version import VERSION
from blockzoo.experiments.rerun import (
    IdentityError,
    NotRerunError,
    Rerunner,
    label_of,
    platform_text,
)
from blockzoo.results.records import AnyRecord
from blockzoo.results.submissions.verification import Rerun, Verification, moment_text

Progress = Callable[[int, int, str], None]
FAMILY_LEVEL = 0.05
"""How often a bundle that is right all over would be found wrong, elsewhere than it was made."""
_SEED_BITS = 32


@dataclass(frozen=True, kw_only=True)
class RerunRequest:
    """How many trials are made again, and where.

    Args:
        sample: How many are drawn; all there are, where there are fewer.
        sample_seed: What they are drawn by; None for one by chance, which nobody knew before.
        data_dir: Where data sets are found.
        device: The one that trainings run on.

    Example:
        >>> RerunRequest(sample=5).device
        'auto'
    """

    sample: int
    sample_seed: int | None = None
    data_dir: Path | None = None
    device: str = "auto"


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
    request: RerunRequest,
    faults: Sequence[str] = (),
    progress: Progress | None = None,
) -> Verified:
    """Compare all records with the blocks built here, and make a sample of them again.

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
        >>> verify_records([], RerunRequest(sample=3, sample_seed=0)).verification.agrees
        True
    """
    confidence = 1 - FAMILY_LEVEL / max(1, request.sample)
    rerunner = Rerunner(
        records=records, data_dir=request.data_dir, device=request.device, confidence=confidence
    )
    found, unknown = [*faults], Counter[str]()
    able, not_rerun = [], Counter[str]()
    # In the order of their ids, so that a seed draws the same from the same records.
    for record in sorted(records, key=lambda each: each.trial_id):
        try:
            rerunner.check_identity(record)
        except IdentityError as error:
            found.append(f"record {record.trial_id}, {label_of(record)}: {error}")
        except NotRerunError as error:
            unknown[str(error)] += 1
            not_rerun[str(error)] += 1
            continue
        try:
            rerunner.require_rerunnable(record)
            able.append(record)
        except NotRerunError as error:
            not_rerun[str(error)] += 1
    chosen = request.sample_seed
    seed = secrets.randbits(_SEED_BITS) if chosen is None else chosen
    reruns = _reruns(rerunner, _drawn(able, request.sample, seed), progress)
    verification = Verification(
        verified_at=moment_text(datetime.now(timezone.utc)),
        blockzoo=VERSION,
        commit=commit_of(PACKAGE),
        platform=platform_text(rerunner.environment_of(request.device)),
        records=len(records),
        drawn_from=len(able),
        sample_seed=seed,
        faults=tuple(found),
        reruns=reruns,
    )
    return Verified(verification=verification, not_rerun=not_rerun, unknown=unknown)


def _drawn(records: Sequence[AnyRecord], sample: int, seed: int) -> list[AnyRecord]:
    return random.Random(seed).sample(records, min(sample, len(records)))


def _reruns(
    rerunner: Rerunner, drawn: Sequence[AnyRecord], progress: Progress | None
) -> tuple[Rerun, ...]:
    made = []
    for done, record in enumerate(drawn):
        if progress is not None:
            progress(done, len(drawn), label_of(record))
        made.append(rerunner.rerun(record))
    return tuple(made)
