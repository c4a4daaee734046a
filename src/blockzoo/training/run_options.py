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

    `resident`: whether the images lie on the training device. `on_oom`: "split" computes batches
    that do not fit into memory in parts and says so in the record's notes. `checkpoints`: the
    folder in which all state is kept after each epoch, and from which a training goes on unless
    `resume` is False. `save_weights`: the folder for the final weights. `log_to`: the loggers that
    are told. `progress`: whether a bar is shown. `robustness`: whether the final weights are also
    evaluated on changed test images. `experiment_name` and `notes` are copied into the record.
    """

    resident: Residence = "auto"
    on_oom: OnOom = "split"
    checkpoints: Path | None = None
    resume: bool = True
    save_weights: Path | None = None
    log_to: LogTo | None = None
    progress: bool = False
    robustness: bool = False
    experiment_name: str = ""
    notes: str = ""
