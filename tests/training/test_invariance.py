"""What must not change a training: the threads that fetch images, and other work on the machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from blockzoo.blocks import get_block
from blockzoo.core.position import Position
from blockzoo.data import load_dataset
from blockzoo.data.residence import default_workers
from blockzoo.scaffold.net import ScaffoldConfig, ScaffoldNet
from blockzoo.training.fit import fit
from blockzoo.training.recipe import get_recipe
from blockzoo.training.run_options import RunOptions
from tests.training.samples import training_settings

RECIPE = replace(get_recipe("v1"), epochs=2, batch_size=16, cutout=3, crop_padding=1)
BUSY = "print(flush=True)\nwhile True: pass"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of 60 training and 20 test images of random pixels, 8x8, red in the one."""
    root = tmp_path_factory.mktemp("images")
    generator = np.random.default_rng(0)
    for split, count in (("train", 60), ("test", 20)):
        for label, name in enumerate(("blue", "red")):
            place = root / split / name
            place.mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 200, (8, 8, 3), dtype=np.uint8)
                pixels[:, :, 0] += 50 * label
                Image.fromarray(pixels).save(place / f"{number:02}.png")
    return root


def trained(
    folder: Path, cache: Path, options: RunOptions | None = None
) -> tuple[Tensor, dict[str, Any]]:
    """Decode and train anew; return all weights and all figures that are not of the clock."""
    config = ScaffoldConfig(width=4, depth=1, classes=2, input_shape=(3, 8, 8))
    net = ScaffoldNet(get_block("classic/InvertedResidual"), Position.MID, config, seed=0)
    data = load_dataset(str(folder), data_dir=cache)
    result = fit(net, training_settings(data, RECIPE), options)
    timed = {"seconds", "elapsed_seconds", "images_per_s"}
    figures = asdict(result) | {
        "epochs": [epoch.model_dump(exclude=timed) for epoch in result.epochs]
    }
    for name in ("training_seconds", "images_per_s", "peak_memory_bytes"):
        del figures[name]
    return torch.cat([value.double().flatten() for value in net.state_dict().values()]), figures


def test_the_number_of_workers_changes_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads that decode, count and fetch: none to fetch (all is on the device), 1, 2, 4."""
    expected = trained(folder, tmp_path / "resident", RunOptions(resident=True))
    for cores in (1, 2, 7):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        assert default_workers() == min(cores, 4)
        weights, figures = trained(folder, tmp_path / str(cores), RunOptions(resident=False))
        assert torch.equal(weights, expected[0])
        assert figures == expected[1]
    assert len(expected[1]["epochs"]) == 2
    assert torch.isfinite(expected[0]).all()


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Keep cores busy with that many processes."""
    with ExitStack() as stack:
        for _ in range(processes):
            process = subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE)
            stack.enter_context(process)
            stack.callback(process.kill)
            assert process.stdout is not None
            process.stdout.readline()  # it has begun
        yield


@pytest.mark.parametrize("resident", [True, False])
def test_load_on_the_machine_changes_nothing(folder: Path, tmp_path: Path, resident: bool) -> None:
    alone = trained(folder, tmp_path / "alone", RunOptions(resident=resident))
    with busy(2):
        beside = trained(folder, tmp_path / "beside", RunOptions(resident=resident))
    assert torch.equal(*(weights for weights, _ in (alone, beside)))
    assert alone[1] == beside[1]


def test_the_same_number_of_threads_gives_the_same_numbers(folder: Path, tmp_path: Path) -> None:
    """As many as are asked for, on however many cores; another number may round differently."""
    weights = []
    for _ in range(2):
        torch.set_num_threads(2)
        weights.append(trained(folder, tmp_path)[0])
    assert torch.equal(*weights)
