"""What the columns of `results.csv` say of the records of one block at one position."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timezone

from blockzoo.core.position import Position
from blockzoo.results.environment import PASSING
from blockzoo.results.records import (
    CostRecord,
    Environment,
    LatencyRecord,
    MemoryUse,
    Record,
    RobustnessMetrics,
    ScaffoldSettings,
    TrainingRecord,
)
from blockzoo.results.table.columns import COLUMNS

BYTES_PER_MB = 1_000_000
Row = Mapping[str, object]
_EMPTY: Row = dict.fromkeys(COLUMNS)


def row_of(
    position: Position,
    training: TrainingRecord | None,
    cost: CostRecord | None,
    latency: LatencyRecord | None,
    measured: Row | None = None,
) -> Row:
    """Return the row of a block at `position`, every column of it; one record at least is there.

    `measured`: what `measured_columns` returned for these, where that is known.
    """
    sources = [record for record in (training, cost, latency) if record is not None]
    row = {
        **_EMPTY,  # all columns, in their order
        **_identity(sources[0], position),
        **_training(training),
        **(measured_columns(position, cost, latency) if measured is None else measured),
        **_outcome(sources),
    }
    # Without a training the one column for a device tells where the latency was measured.
    if training is None and latency is not None:
        row["device"] = latency.device
    # Of what there is no column for nothing is said.
    return row if len(row) == len(_EMPTY) else {name: row[name] for name in COLUMNS}


def measured_columns(
    position: Position, cost: CostRecord | None, latency: LatencyRecord | None
) -> Row:
    """Return what a row there says of a cost and a latency."""
    columns = {**_cost(cost, position), **_latency(latency)}
    return {name: value for name, value in columns.items() if name in COLUMNS}


def terms_columns(record: TrainingRecord) -> Row:
    """Return what a row says of how a network was built and trained, but for its seed."""
    return {**_scaffold(record.scaffold), **_trained_how(record)}


def _scaffold(scaffold: ScaffoldSettings) -> dict[str, object]:
    return {
        "num_blocks": scaffold.depth,
        "base_channels": scaffold.width,
        "out_dim": scaffold.classes,
        "context": scaffold.context,
        "input_shape": "x".join(map(str, scaffold.input_shape)),
        "stem": scaffold.stem,
        "stem_bias": _yes_or_no(scaffold.stem_bias),
    }


def _trained_how(record: TrainingRecord) -> dict[str, object]:
    return {
        "dataset": record.dataset,
        "dataset_fingerprint": record.dataset_fingerprint,
        "compiled": _yes_or_no(record.compiled),
        "protocol": record.protocol,
        "device": record.device,
        "precision": record.precision,
        "memory_format": "channels_last" if record.channels_last else "contiguous",
        "micro_batch_size": record.micro_batch_size,
    }


def _identity(record: Record, position: Position) -> dict[str, object]:
    environment = record.environment
    # A cost has no device: it is counted, on the CPU.
    device = getattr(record, "device", "cpu")
    return {
        "timestamp": record.created_at.astimezone(timezone.utc).isoformat(timespec="seconds"),
        "block": record.block,
        "position": str(position),
        **_scaffold(record.scaffold),
        "experiment_name": record.experiment_name,
        "notes": record.notes,
        "trial_id": record.trial_id,
        "block_fingerprint": record.block_fingerprint,
        "hardware": hardware(record, device),
        "python": environment.python,
        "torch": environment.torch,
        "blockzoo": environment.blockzoo,
        "commit": environment.commit,
        "schema_version": record.schema_version,
        "unsure": "; ".join(record.unsure),
    }


def _yes_or_no(answer: bool) -> str:
    return "yes" if answer else "no"


def hardware(record: Record, device: str) -> str:
    """Return the name of what that record was measured on."""
    environment = record.environment
    on_cpu = device.startswith("cpu")
    return environment.named_processor if on_cpu else environment.accelerator or device


def _training(record: TrainingRecord | None) -> dict[str, object]:
    if record is None:
        return {}
    return {
        **_trained_how(record),
        "seed": record.seed,
        "epochs": record.recipe.get("epochs"),
        "batch_size": record.recipe.get("batch_size"),
        "lr": record.recipe.get("learning_rate"),
        "val_loss": record.val_loss,
        "val_acc": record.val_accuracy,
        "test_loss": record.test_loss,
        "test_acc": record.test_accuracy,
        "best_epoch": record.best_epoch,
        "training_time": record.training_seconds,
        "images_per_s": record.images_per_s,
        "test_top5": record.test_top5_accuracy,
        "test_calibration_error": record.test_calibration_error,
        "train_peak_memory_mb": _in_mb(record.peak_memory_bytes),
        "weights_path": record.weights_path,
        **_robustness(record.robustness),
    }


def _robustness(robustness: RobustnessMetrics | None) -> dict[str, object]:
    if robustness is None:
        return {}
    by_scale = robustness.resolution_accuracy.items()
    return {
        "corruption_acc": robustness.mean_corruption_accuracy,
        **{
            f"{name}_acc": sum(by_severity) / len(by_severity)
            for name, by_severity in robustness.corruption_accuracy.items()
        },
        "shift_acc": robustness.shift_accuracy,
        "shift_consistency": robustness.shift_consistency,
        # Scales are text, as keys are in JSON.
        **{f"resolution_{round(100 * float(scale)):03}_acc": value for scale, value in by_scale},
    }


def _cost(record: CostRecord | None, position: Position) -> dict[str, object]:
    if record is None:
        return {}
    train, deploy, part = record.train, record.deploy, record.stage_at(position)
    stage = part and part.deploy
    step = record.memory_training
    return {
        "params_total": train and train.params_total,
        "params_trainable": train and train.params_trainable,
        "macs_train": train and train.macs,
        "flops": deploy and deploy.flops,
        "macs_deploy": deploy and deploy.macs,
        "params_deploy": deploy and deploy.params_total,
        "stage_macs_deploy": stage and stage.macs,
        "stage_params_deploy": stage and stage.params_total,
        "memory_mb": _peak_mb(record.memory_inference),
        "training_memory_mb": _peak_mb(step),
        "training_memory_batch_size": step and step.batch_size,
        "uncounted": " ".join(record.uncounted),
        "uncounted_macs": _uncounted_macs(record),
        "measured_memory_mb": _in_mb(record.measured_inference_bytes),
        "measured_training_memory_mb": _in_mb(record.measured_training_bytes),
        "measured_memory_device": record.measured_memory_device,
        "training_macs": record.training_macs,
        "stage_training_macs": part and part.training_macs,
        "training_memory_optimizer": step and step.optimizer,
    }


def _uncounted_macs(record: CostRecord) -> int | None:
    """Return the MACs of all operations that no counter saw; None where one has no formula."""
    known = record.uncounted_macs
    # A sum that lacks one operation would read as if it were all.
    return sum(known.values()) if set(record.uncounted) <= set(known) else None


def _peak_mb(memory: MemoryUse | None) -> float | None:
    # Megabytes are 10^6 bytes here, as disks and networks count, not 2^20.
    return None if memory is None else _in_mb(memory.peak_bytes)


def _in_mb(size_bytes: int | None) -> float | None:
    return None if size_bytes is None else size_bytes / BYTES_PER_MB


def _latency(record: LatencyRecord | None) -> dict[str, object]:
    if record is None:
        return {}
    low, high = record.interval_ms or (None, None)
    ratio_low, ratio_high = record.ratio_interval or (None, None)
    energy_low_j, energy_high_j = record.energy_interval_j or (None, None)
    return {
        "latency_ms": record.median_ms,
        "latency_std": record.std_ms,
        "throughput": record.throughput_images_per_s,
        "latency_low_ms": low,
        "latency_high_ms": high,
        "latency_iqr_ms": record.iqr_ms,
        "latency_p90_ms": record.p90_ms,
        "latency_p99_ms": record.p99_ms,
        "latency_hardware": hardware(record, record.device),
        # Those of which there are columns; the others `row_of` leaves out.
        **{f"latency_{name}": value for name, value in asdict(record.way).items()},
        "latency_channels_last": _yes_or_no(record.channels_last),
        "latency_session": record.session,
        "latency_environment": _environment_digest(record.environment),
        "latency_torch": record.environment.torch,
        "latency_governor": record.environment.governor,
        "latency_baseline": record.baseline,
        "latency_ratio": record.ratio,
        "latency_ratio_low": ratio_low,
        "latency_ratio_high": ratio_high,
        "latency_verdict": record.verdict,
        "latency_verdict_reason": record.verdict_reason,
        "latency_flags": " ".join(record.flags),
        "exported_bytes": record.exported_bytes,
        "process_memory_mb": _in_mb(record.process_memory_bytes),
        "energy_j_per_image": record.energy_j_per_image,
        "energy_low_j": energy_low_j,
        "energy_high_j": energy_high_j,
    }


def _environment_digest(environment: Environment) -> str:
    """Return 8 hexadecimal digits of all of the environment that does not change by itself.

    Medians of two environments are not comparable; ratios, each to a baseline of its own, are.
    """
    described = environment.model_dump(exclude={*PASSING})
    if described["instructions"] is None:  # older records keep the digest that they had
        del described["instructions"]
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:8]


_KIND_WORDS = {TrainingRecord: "training", CostRecord: "cost", LatencyRecord: "latency"}


def _kind_words(record: Record) -> str:
    # Not by the very class: records that were listed are of others.
    return next(words for kind, words in _KIND_WORDS.items() if isinstance(record, kind))


def _outcome(sources: Sequence[Record]) -> dict[str, object]:
    """Return the status of the row and, on one line, the reason of every part that failed.

    With a training the row's status is the training's: a missing latency does not undo it.
    """
    reasons = {
        # On one line: a reason with breaks would break the row for whoever reads it by lines.
        _kind_words(record): " ".join((record.reason or "no reason given").split())
        for record in sources
        if record.status == "failed"
    }
    decisive = sources[:1] if isinstance(sources[0], TrainingRecord) else sources
    failed = any(record.status == "failed" for record in decisive)
    return {
        "status": "failed" if failed else "ok",
        "reason": "; ".join(f"{kind}: {reason}" for kind, reason in reasons.items()),
    }
