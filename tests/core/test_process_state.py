"""What of a process is seen to have changed."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from blockzoo.core.process_state import changes_since, process_state, put_back


def _patched(undo: ExitStack, owner: object, name: str, value: object) -> None:
    undo.callback(setattr, owner, name, getattr(owner, name))
    setattr(owner, name, value)


def _with(undo: ExitStack, change: Callable[[], object], back: Callable[[], object]) -> None:
    undo.callback(back)
    change()


def _thread(undo: ExitStack) -> None:
    event = threading.Event()
    thread = threading.Thread(target=event.wait, name="burner")
    thread.start()
    undo.callback(thread.join)
    undo.callback(event.set)


_CHANGES: dict[str, Callable[[ExitStack], object]] = {
    "the default dtype (torch.float32, now torch.float64)": lambda undo: _with(
        undo,
        partial(torch.set_default_dtype, torch.float64),
        partial(torch.set_default_dtype, torch.float32),
    ),
    "the default device (cpu, now meta)": lambda undo: _with(
        undo, partial(torch.set_default_device, "meta"), partial(torch.set_default_device, None)
    ),
    "gradients (True, now False)": lambda undo: _with(
        undo, partial(torch.set_grad_enabled, False), partial(torch.set_grad_enabled, True)
    ),
    "deterministic algorithms (False, now True)": lambda undo: _with(
        undo,
        partial(torch.use_deterministic_algorithms, True),
        partial(torch.use_deterministic_algorithms, False),
    ),
    "the precision of matrix products": lambda undo: _with(
        undo,
        partial(torch.set_float32_matmul_precision, "medium"),
        partial(torch.set_float32_matmul_precision, "highest"),
    ),
    "anomaly detection (False, now True)": lambda undo: _with(
        undo,
        partial(torch.autograd.set_detect_anomaly, True),
        partial(torch.autograd.set_detect_anomaly, False),
    ),
    "hooks on all modules ((0, 0, 0), now (1, 0, 0))": lambda undo: undo.callback(
        nn.modules.module.register_module_forward_hook(lambda *_: None).remove
    ),
    "numpy's error handling": lambda undo: undo.callback(np.seterr, **np.seterr(all="raise")),
    "the environment": lambda undo: _with(
        undo,
        partial(os.environ.update, BLOCKZOO_TEST_CHANGED="1"),
        partial(os.environ.pop, "BLOCKZOO_TEST_CHANGED", None),
    ),
    "threads of Python": _thread,
    "nn.Conv2d.forward": lambda undo: _patched(undo, nn.Conv2d, "forward", lambda self, x: x),
    "nn.Conv2d": lambda undo: _patched(undo, nn, "Conv2d", type("Conv2d", (nn.Conv2d,), {})),
    "nn.functional.relu": lambda undo: _patched(undo, nn.functional, "relu", lambda x: x),
    "torch.cat": lambda undo: _patched(undo, torch, "cat", lambda x: x),
    "torch.Tensor.add": lambda undo: _patched(undo, torch.Tensor, "add", lambda x: x),
    "random.random": lambda undo: _patched(undo, random, "random", lambda: 0.5),
}


@pytest.fixture
def undo() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("change", _CHANGES)
def test_what_code_changes_of_the_process_is_named(change: str, undo: ExitStack) -> None:
    before = process_state()
    _CHANGES[change](undo)
    # With the default dtype torch changes what it offers as its storage, too.
    assert changes_since(before)[0].text.startswith(change)


def test_threads_and_the_working_folder_are_named(tmp_path: Path) -> None:
    before, threads, folder = process_state(), torch.get_num_threads(), Path.cwd()
    try:
        torch.set_num_threads(threads + 3)
        os.chdir(tmp_path)
        assert [
            (change.text.partition(" (")[0], change.is_arithmetic)
            for change in changes_since(before)
        ] == [("torch's threads", True), ("the working folder", False)]
    finally:
        torch.set_num_threads(threads)
        os.chdir(folder)
    assert changes_since(before) == ()


def test_ordinary_work_and_loading_more_of_torch_change_nothing() -> None:
    before = process_state()
    import torch._dynamo

    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    net(torch.ones(2, 3, 8, 8)).sum().backward()
    with torch.no_grad(), torch.autocast("cpu"):
        net.eval()(torch.ones(1, 3, 8, 8))
    assert torch._dynamo is not None
    assert changes_since(before) == ()


_SETTINGS: dict[str, Callable[[], object]] = {
    "gradients": lambda: torch.set_grad_enabled(False),
    "the default dtype": lambda: torch.set_default_dtype(torch.float64),
    "the default device": lambda: torch.set_default_device("meta"),
    "torch's threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "deterministic algorithms": lambda: torch.use_deterministic_algorithms(True),
    "the precision of matrix products": lambda: torch.set_float32_matmul_precision("medium"),
    "cuDNN's flags": lambda: setattr(torch.backends.cudnn, "benchmark", True),
    "oneDNN": lambda: setattr(torch.backends.mkldnn, "enabled", False),
    "attention kernels": lambda: torch.backends.cuda.enable_flash_sdp(False),
    "anomaly detection": lambda: torch.autograd.set_detect_anomaly(True),
    "autocast": lambda: torch.set_autocast_enabled("cpu", True),
    "TorchScript's profiling": lambda: torch._C._jit_set_profiling_mode(False),
    "numpy's error handling": lambda: np.seterr(divide="raise"),
    "the working folder": lambda: os.chdir("/"),
}


@pytest.mark.parametrize("name", _SETTINGS)
def test_what_was_set_is_put_back_and_named(name: str) -> None:
    before = process_state()
    _SETTINGS[name]()
    undone = put_back(before)
    assert [change.text.partition(" (")[0] for change in undone] == [name]
    assert changes_since(before) == ()
    assert put_back(before) == ()
