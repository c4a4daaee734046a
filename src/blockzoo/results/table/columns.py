"""The columns of `results.csv` and of every results frame, in order, each with its type.

Units: times in ms or s as named, `training_time` in s, memory in MB of 1,000,000 bytes, accuracies
as fractions of 1, losses in nats. An empty cell is a value that is not known.
"""

from __future__ import annotations

from typing import Literal

ColumnType = Literal["text", "integer", "number"]

EARLY_COLUMNS: dict[str, ColumnType] = {
    "timestamp": "text",
    "block": "text",
    "dataset": "text",
    "position": "text",
    "epochs": "integer",
    "batch_size": "integer",
    "lr": "number",
    "val_loss": "number",
    "val_acc": "number",
    "training_time": "number",
    "params_total": "integer",
    "params_trainable": "integer",
    "flops": "number",
    "memory_mb": "number",
    "latency_ms": "number",
    "latency_std": "number",
    "throughput": "number",
    "device": "text",
    "num_blocks": "integer",
    "base_channels": "integer",
    "out_dim": "integer",
    "experiment_name": "text",
    "notes": "text",
}
"""The early version's columns, in its order.

`timestamp` when the trial ended, in UTC; `epochs`, `batch_size`, `lr` of the recipe; `val_loss`,
`val_acc` of the chosen epoch; `params_total`, `params_trainable` of the training form; `flops` 2 x
MACs of one image through the deploy form of the whole scaffold; `memory_mb` the peak of inference
at batch 1; `latency_ms` the median and `latency_std` the standard deviation of one batch, in ms;
`throughput` in images/s; `device` of the training, or of the latency where there is no training;
`num_blocks` the depth, `base_channels` the width, `out_dim` the classes.
"""

PROTOCOL_COLUMNS: dict[str, ColumnType] = {
    "protocol": "text",
    "seed": "integer",
    "context": "text",
    "input_shape": "text",
}
"""What was repeated how: the protocol, the seed, the context block, the input as 3x32x32."""

TRAINING_COLUMNS: dict[str, ColumnType] = {
    "test_loss": "number",
    "test_acc": "number",
    "best_epoch": "integer",
    "images_per_s": "number",
    "precision": "text",
    "memory_format": "text",
    "test_top5": "number",
    "test_calibration_error": "number",
    "train_peak_memory_mb": "number",
    "micro_batch_size": "integer",
    "weights_path": "text",
}
"""The test read once, with the weights of `best_epoch`; training speed, arithmetic and layout.

`train_peak_memory_mb` was measured (`training_memory_mb` is counted); `micro_batch_size` is there
where batches had to be computed in parts, `weights_path` where the final weights were kept.
"""

ROBUSTNESS_COLUMNS: dict[str, ColumnType] = {
    "corruption_acc": "number",
    "gaussian_noise_acc": "number",
    "gaussian_blur_acc": "number",
    "contrast_acc": "number",
    "jpeg_acc": "number",
    "shift_acc": "number",
    "shift_consistency": "number",
    "resolution_075_acc": "number",
    "resolution_125_acc": "number",
    "resolution_150_acc": "number",
}
"""Accuracy on changed test images, where that was asked for.

`corruption_acc` is the mean over corruptions and severities, the next four that of one corruption
over its severities; `shift_consistency` the share that keeps its class when moved by a pixel;
`resolution_075_acc` at 75% of the height and width, empty where the network does not run.
"""

COST_COLUMNS: dict[str, ColumnType] = {
    "macs_train": "integer",
    "macs_deploy": "integer",
    "params_deploy": "integer",
    "stage_macs_deploy": "integer",
    "stage_params_deploy": "integer",
    "training_memory_mb": "number",
    "training_memory_batch_size": "integer",
    "uncounted": "text",
    "uncounted_macs": "integer",
    "measured_memory_mb": "number",
    "measured_training_memory_mb": "number",
    "measured_memory_device": "text",
}
"""Both forms of the whole scaffold, the stage under test alone, the peak of one training step.

`uncounted` names operations that no counter saw, joined by spaces; `uncounted_macs` are theirs in
the deploy form, in no other count, and empty where one of them has no documented formula.
`measured_memory_mb` is what a process really took on `measured_memory_device` for what `memory_mb`
counts, `measured_training_memory_mb` for `training_memory_mb`.
"""

LATENCY_COLUMNS: dict[str, ColumnType] = {
    "latency_low_ms": "number",
    "latency_high_ms": "number",
    "latency_iqr_ms": "number",
    "latency_p90_ms": "number",
    "latency_p99_ms": "number",
    "latency_batch_size": "integer",
    "latency_device": "text",
    "latency_hardware": "text",
    "latency_backend": "text",
    "latency_precision": "text",
    "latency_threads": "integer",
    "latency_baseline": "text",
    "latency_ratio": "number",
    "latency_ratio_low": "number",
    "latency_ratio_high": "number",
    "latency_verdict": "text",
    "latency_flags": "text",
    "latency_cache": "text",
}
"""The 95% interval of the median, its spread, how it was measured, and the ratio to a baseline."""

PROVENANCE_COLUMNS: dict[str, ColumnType] = {
    "status": "text",
    "reason": "text",
    "trial_id": "text",
    "block_fingerprint": "text",
    "hardware": "text",
    "python": "text",
    "torch": "text",
    "blockzoo": "text",
    "commit": "text",
    "schema_version": "integer",
    "unsure": "text",
}
"""Whether the trial went well or why not, what it was, and what it ran on.

`unsure`: what of the block its fingerprint does not cover, joined by "; ".
"""

COMPARABILITY_COLUMNS: dict[str, ColumnType] = {
    "dataset_fingerprint": "text",
    "compiled": "text",
    "stem": "text",
    "stem_bias": "text",
    "latency_channels_last": "text",
    "latency_form": "text",
    "latency_verdict_reason": "text",
    "latency_session": "text",
    "latency_environment": "text",
    "latency_torch": "text",
    "latency_governor": "text",
}
"""What else results must have in common to be put together; yes or no where that is the answer.

`latency_session` is the run that a latency was timed in, "" where that was not kept;
`latency_environment` a digest of the machine and the software that it was timed with.
"""

TRAINING_STEP_COLUMNS: dict[str, ColumnType] = {
    "training_macs": "integer",
    "stage_training_macs": "integer",
    "training_memory_optimizer": "text",
}
"""Forward and backward for one image of a training step; what `training_memory_mb` is of."""

DEPLOYMENT_COLUMNS: dict[str, ColumnType] = {
    "exported_bytes": "integer",
    "process_memory_mb": "number",
    "energy_j_per_image": "number",
    "energy_low_j": "number",
    "energy_high_j": "number",
}
"""Of the latency: size of the exported files, peak memory of running them, energy beyond idle.

Empty where the backend exports nothing, or where it was not asked for; `energy_low_j` and
`energy_high_j` are the 95% interval of `energy_j_per_image`.
"""

COLUMNS: dict[str, ColumnType] = {
    **EARLY_COLUMNS,
    **PROTOCOL_COLUMNS,
    **TRAINING_COLUMNS,
    **ROBUSTNESS_COLUMNS,
    **COST_COLUMNS,
    **LATENCY_COLUMNS,
    **PROVENANCE_COLUMNS,
    **COMPARABILITY_COLUMNS,
    **TRAINING_STEP_COLUMNS,
    **DEPLOYMENT_COLUMNS,
}
"""All columns in the order of the file."""

_OF_TIMINGS = (
    *("timestamp", "block", "position", "latency_ms", "latency_std", "throughput"),
    *LATENCY_COLUMNS,
    *(name for name in COMPARABILITY_COLUMNS if name.startswith("latency_")),
    *("params_total", "params_trainable", "flops", "memory_mb"),
    *COST_COLUMNS,
    *("context", "input_shape", "out_dim", "num_blocks", "base_channels", "stem", "stem_bias"),
    *("experiment_name", "notes"),
    *PROVENANCE_COLUMNS,
    *DEPLOYMENT_COLUMNS,
)
LATENCY_TABLE: dict[str, ColumnType] = {name: COLUMNS[name] for name in _OF_TIMINGS}
"""The columns of `latencies.csv`, which mean what they mean in `results.csv`."""

IDENTITY = "identity"
"""A column of frames only, the last: "1" for results of schema version 1 and earlier, else "2"."""
