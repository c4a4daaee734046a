"""Records made up for tests: small, valid, each value known."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from blockzoo.core.position import Position
from blockzoo.results.records import (
    CostRecord,
    Environment,
    EpochMetrics,
    FormCost,
    LatencyRecord,
    MemoryUse,
    RobustnessMetrics,
    ScaffoldSettings,
    TrainingRecord,
)

START = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=timezone.utc)
SCAFFOLD = ScaffoldSettings(
    context="ResNetBasicBlock",
    depth=3,
    width=16,
    classes=10,
    input_shape=(3, 32, 32),
    stem_bias=False,
)
ENVIRONMENT = Environment(
    blockzoo="0.1.0",
    commit="abc123",
    python="3.11.2",
    torch="2.15.0",
    timm="1.0.31",
    system="Linux",
    processor="Some CPU",
    cores=2,
    threads=1,
    memory_bytes=8_000_000_000,
)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def _common(trial_id: str, block: str, positions: tuple[str, ...]) -> dict[str, Any]:
    return {
        "trial_id": trial_id,
        "block": block,
        "block_fingerprint": f"print-{block}",
        "positions": tuple(Position(position) for position in positions),
        "scaffold": SCAFFOLD,
        "environment": ENVIRONMENT,
        "created_at": START,
    }


def training(
    trial_id: str = "training",
    block: str = "A",
    positions: tuple[str, ...] = ("mid",),
    *,
    seed: int = 0,
    **changes: Any,
) -> TrainingRecord:
    values = _common(trial_id, block, positions) | {
        "protocol": "quick",
        "dataset": "digits",
        "seed": seed,
        "recipe": {"epochs": 2, "batch_size": 64, "learning_rate": 0.1},
        "best_epoch": 1,
        "val_loss": 0.5,
        "val_accuracy": 0.8,
        "test_loss": 0.6,
        "test_accuracy": 0.75,
        "training_seconds": 12.5,
        "images_per_s": 321.0,
        "epochs": (
            EpochMetrics(
                epoch=1,
                learning_rate=0.1,
                train_loss=1.0,
                train_accuracy=0.5,
                val_loss=0.5,
                val_accuracy=0.8,
                seconds=6.0,
            ),
        ),
        "robustness": RobustnessMetrics(
            corruption_accuracy={"contrast": (0.75, 0.25)},
            mean_corruption_accuracy=0.5,
            shift_accuracy=0.625,
            shift_consistency=0.875,
            resolution_accuracy={"0.75": 0.375, "1.5": None},
        ),
    }
    return TrainingRecord(**values | changes)


def cost(
    trial_id: str = "cost",
    block: str = "A",
    positions: tuple[str, ...] = ("mid",),
    **changes: Any,
) -> CostRecord:
    values = _common(trial_id, block, positions) | {
        "train": FormCost(params_total=1100, params_trainable=1000, macs=60_000),
        "deploy": FormCost(params_total=900, params_trainable=900, macs=50_000),
        "stage_train": FormCost(params_total=500, params_trainable=500, macs=30_000),
        "stage_deploy": FormCost(params_total=400, params_trainable=400, macs=20_000),
        "memory_inference": memory(1, 2_500_000),
        "memory_training": memory(64, 80_000_000),
    }
    return CostRecord(**values | changes)


def latency(
    trial_id: str = "latency",
    block: str = "A",
    positions: tuple[str, ...] = ("mid",),
    **changes: Any,
) -> LatencyRecord:
    values = _common(trial_id, block, positions) | {
        "samples_ms": (4.0, 5.0, 6.0),
        "median_ms": 5.0,
        "interval_ms": (4.5, 5.5),
        "std_ms": 1.0,
        "throughput_images_per_s": 200.0,
        "baseline": "B",
        "ratio": 0.9,
        "ratio_interval": (0.88, 0.92),
        "verdict": "faster",
        "flags": ("noisy", "drift"),
    }
    return LatencyRecord(**values | changes)


def memory(batch_size: int, peak_bytes: int) -> MemoryUse:
    return MemoryUse(
        batch_size=batch_size,
        peak_bytes=peak_bytes,
        parameters_bytes=1000,
        gradients_bytes=0,
        optimizer_bytes=0,
        activations_bytes=peak_bytes - 1000,
        temporaries_bytes=0,
    )
