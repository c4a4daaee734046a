"""What a paper has to say of its experiments, read from the store.

The questions are those of the NeurIPS paper checklist (experimental setting, statistical
significance, compute) and of REFORMS (Kapoor and others 2024: reproducibility, data, metrics).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from blockzoo.analysis.trainings import by_seeds
from blockzoo.results.records import LatencyRecord, Record, TrainingRecord
from blockzoo.results.table.values import hardware
from blockzoo.stats.accuracy import LEAST_SEEDS


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One data set by one protocol: what it was, and over how many seeds."""

    dataset: str
    fingerprint: str
    protocol: str
    recipe: tuple[tuple[str, str], ...]
    blocks: int
    groups: int
    fewest_seeds: int
    most_seeds: int
    failed: int
    test_images: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Checklist:
    """The answers. `training_hours` are of trainings that went well, by device.

    `timings` counts latencies by what they were measured on; `versions` those of the software.
    """

    settings: tuple[Setting, ...]
    training_hours: dict[str, float]
    failed_by_reason: dict[str, int]
    timings: dict[str, int]
    versions: dict[str, tuple[str, ...]]
    unsure: int


def checklist(records: Iterable[Record]) -> Checklist:
    """Return what the records say; an empty store says nothing, with empty answers."""
    kept = list(records)
    trainings = [r for r in kept if isinstance(r, TrainingRecord)]
    hours: dict[str, float] = {}
    for each in trainings:
        if each.status == "ok" and each.training_seconds is not None:
            device = hardware(each, each.device)
            hours[device] = hours.get(device, 0.0) + each.training_seconds / 3600
    failed = Counter(
        (each.reason or "no reason").splitlines()[0] for each in kept if each.status == "failed"
    )
    timed = Counter(
        hardware(each, each.device)
        for each in kept
        if isinstance(each, LatencyRecord) and each.status == "ok"
    )
    return Checklist(
        settings=tuple(_settings(trainings)),
        training_hours=hours,
        failed_by_reason=dict(failed.most_common()),
        timings=dict(timed),
        versions=_versions(kept),
        unsure=sum(bool(each.unsure) for each in kept),
    )


def _settings(trainings: Iterable[TrainingRecord]) -> Iterable[Setting]:
    groups: dict[tuple[str, str, str], list[tuple[TrainingRecord, ...]]] = {}
    failed: Counter[tuple[str, str, str]] = Counter()
    for seeds in by_seeds(trainings):
        first = seeds.records[0]
        key = first.dataset, first.protocol, first.dataset_fingerprint
        groups.setdefault(key, []).append(seeds.records)
        failed[key] += seeds.failed
    for key, found in sorted(groups.items()):
        counts = [len(records) for records in found]
        dataset, protocol, fingerprint = key
        yield Setting(
            dataset=dataset,
            fingerprint=fingerprint,
            protocol=protocol,
            recipe=tuple((k, str(v)) for k, v in sorted(found[0][0].recipe.items())),
            blocks=len({records[0].block for records in found}),
            groups=len(found),
            fewest_seeds=min(counts),
            most_seeds=max(counts),
            failed=failed[key],
            test_images=tuple(
                sorted({r.test_images for records in found for r in records if r.test_images})
            ),
        )


def _versions(records: Iterable[Record]) -> dict[str, tuple[str, ...]]:
    found: dict[str, set[str]] = {}
    for record in records:
        of_record = record.environment
        for name in ("blockzoo", "commit", "python", "torch", "timm", "system"):
            value = getattr(of_record, name)
            found.setdefault(name, set()).add(value or "not known")
    return {name: tuple(sorted(values)) for name, values in found.items()}


def too_few(setting: Setting) -> bool:
    """Tell whether some block has too few seeds for any conclusion."""
    return setting.fewest_seeds < LEAST_SEEDS
