"""Data, networks and stores small enough that a whole sweep takes seconds."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from functools import cache, partial
from multiprocessing import forkserver
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.main import get_command

from blockzoo.core.processes import Worker
from blockzoo.experiments.execution import pool, user_blocks
from blockzoo.measure.costs import process_memory
from blockzoo.measure.timing import driver, further

# Tables are as wide as it says, and whoever runs the tests may have a terminal of any width.
os.environ.pop("COLUMNS", None)

TINY_CLASSES = ("red", "green", "blue")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite-golden", action="store_true", help="write the golden files anew")


PRELOADED = user_blocks._PRELOADED


@pytest.fixture(scope="session", autouse=True)
def _fork_server() -> None:
    """Start the one fork server of this process with all that is slow to import.

    The first test to need one decides for all later ones what it has loaded.
    """
    if "forkserver" in multiprocessing.get_all_start_methods():
        multiprocessing.get_context("forkserver").set_forkserver_preload(list(PRELOADED))
        forkserver.ensure_running()


@pytest.fixture(scope="session", autouse=True)
def _commands_built_once() -> Iterator[None]:
    """Keep `CliRunner` from building all commands for each call, which takes longer than most."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("typer.testing._get_command", cache(get_command))
        yield


@pytest.fixture
def forked_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork the processes that time, measure memory and train from the fork server.

    A fresh interpreter imports torch and the zoo for seconds of a core. For tests of what such
    processes do; how they are started is for the tests that do without.
    """
    forked = partial(Worker, "forkserver", preload=PRELOADED)
    for module in (driver, further, process_memory):
        monkeypatch.setattr(module, "Worker", lambda **_: forked())
    monkeypatch.setattr(pool, "Worker", lambda _: forked())


@pytest.fixture(scope="session")
def tiny_npz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 3 classes, 20 training and 10 test images each, 8x8: learnable by colour."""
    generator = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("data") / "tiny.npz"
    arrays: dict[str, np.ndarray] = {"classes": np.array(TINY_CLASSES)}
    for part, per_class in (("train", 20), ("test", 10)):
        labels = np.repeat(np.arange(3), per_class)
        images = generator.integers(0, 120, (len(labels), 8, 8, 3), dtype=np.uint8)
        images[np.arange(len(labels)), :, :, labels] += 100
        arrays |= {f"x_{part}": images, f"y_{part}": labels}
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


@pytest.fixture(autouse=True)
def _own_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep decoded images out of the user's cache."""
    monkeypatch.setenv("BLOCKZOO_DATA", str(tmp_path / "data-of-tests"))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny tensors are slower on two threads, and a busy machine makes that much worse."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
