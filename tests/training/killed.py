"""What the test of killed trainings runs in processes of their own."""

from __future__ import annotations

import faulthandler
import hashlib
import json
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from blockzoo.training.fit import fit
from tests.training.samples import TINY_RECIPE, tiny_dataset, tiny_net, training_settings

EPOCHS = 12
HANGS_AFTER_S = 60
"""A training of a second or two that takes longer says where it stands, and ends."""

RECIPE = replace(
    TINY_RECIPE, epochs=EPOCHS, ema_decay=0.9, label_smoothing=0.1, gradient_clip_norm=1.0
)


def train(checkpoint: Path, schedule: str, epochs: Connection) -> None:
    """Train, send each epoch's number, and at the end a digest of weights and metrics."""
    faulthandler.dump_traceback_later(HANGS_AFTER_S, exit=True)
    torch.set_num_threads(1)
    plateau = schedule == "plateau"
    recipe = replace(RECIPE, schedule="plateau" if plateau else "cosine")
    net = tiny_net()
    result = fit(
        net,
        training_settings(tiny_dataset(per_class=20), recipe, seed=3),
        checkpoint=checkpoint,
        on_epoch=lambda metrics: epochs.send(metrics.epoch),
    )
    timed = {"seconds", "elapsed_seconds", "images_per_s"}
    metrics = [epoch.model_dump(exclude=timed) for epoch in result.epochs]
    learned = (metrics, result.best_epoch, result.test_loss, result.test_calibration_error)
    digest = hashlib.sha256(json.dumps(learned).encode())
    for value in net.state_dict().values():
        digest.update(value.numpy().tobytes())
    epochs.send(digest.hexdigest())
