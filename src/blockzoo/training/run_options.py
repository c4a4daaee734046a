"""How a training is run: what changes no number and is no part of a trial's identity."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from blockzoo.data.residence import Residence
from blockzoo.training.loggers import LogTo
from blockzoo.training.micro_batches import OnOom


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a training is run, where it leaves things and who is told; no number depends on it.

    Args:
        resident: Whether the images lie on the training device; "auto" where they take half of its
            free memory at most.
        on_oom: "split" computes batches that do not fit into memory in parts, and says so in the
            record's notes; "fail" has such a training fail.
        checkpoints: The folder in which all state is kept after each epoch.
        resume: Whether a training goes on from its checkpoint, if it has one.
        save_weights: The folder for the final weights.
        log_to: The loggers that are told.
        progress: Whether a bar is shown.
        cuda_graphs: Whether whole batches are replayed as CUDA graphs of the network's own kernels.
        robustness: Whether the final weights are also evaluated on changed test images.
        experiment_name: Copied into the record.
        notes: Copied into the record.

    Example:
        >>> RunOptions(checkpoints=Path("checkpoints"), notes="warm room").resume
        True
    """

    resident: Residence = "auto"
    on_oom: OnOom = "split"
    checkpoints: Path | None = None
    resume: bool = True
    save_weights: Path | None = None
    log_to: LogTo | None = None
    progress: bool = False
    cuda_graphs: bool = False
    robustness: bool = False
    experiment_name: str = ""
    notes: str = ""
