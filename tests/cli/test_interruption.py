"""Ctrl-C ends a command with one line that says how to go on, and what it says is true."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from blockzoo.core.errors import BlockZooError
from blockzoo.results.store.database import Store
from tests.cli.commands.running import run

SWEEP = ["sweep", "Identity", "ConvBNAct", "-p", "mid", "--protocol", "quick", "--width", "4",
         "--depth", "1", "--latency-budget", "0.1", "--processes", "0", "--no-plots",
         "--device", "cpu"]  # fmt: skip
TIME_LIMIT_S = 120.0
ONCE_A_TRAINING_ENDED = 1


def started(arguments: list[str], folder: Path) -> subprocess.Popen[str]:
    code = "from blockzoo.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},  # tiny tensors are slower on two threads
        # As a terminal's own group, so that the signal reaches it and its workers alone.
        start_new_session=True,
    )


def wait_until(process: subprocess.Popen[str], ready: Callable[[], bool]) -> None:
    end = time.monotonic() + TIME_LIMIT_S
    while not ready() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)


def interrupted(
    process: subprocess.Popen[str], ready: Callable[[], bool], *, times: int = 1
) -> tuple[int, str]:
    """Interrupt the process and its workers, as Ctrl-C does, once it is ready."""
    wait_until(process, ready)
    for _ in range(times):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.5)  # two at once the system would make one of
    _, errors = process.communicate(timeout=TIME_LIMIT_S)
    return process.returncode, errors


def trained(folder: Path) -> int:
    try:
        with Store(folder / "results") as store:
            return len(list(store.listed("training", status="ok")))
    except BlockZooError:
        return 0


def left_checkpoints(folder: Path) -> int:
    return len(list((folder / "results" / "checkpoints").glob("*.ckpt")))


@pytest.mark.parametrize(
    ("times", "epochs", "last"),
    [
        (1, 30, "stopped: what has ended is kept, and the same command goes on from there"),
        # Of which the second, half a second later, still has to find some to come.
        (2, 100, "interrupted: what has ended is kept, and the same command goes on from there"),
    ],
)
def test_a_sweep_that_was_interrupted_goes_on(
    times: int,
    epochs: int,
    last: str,
    tmp_path: Path,
    tiny_npz: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = [*SWEEP, "--seeds", "5", "--epochs", str(epochs), "--dataset", str(tiny_npz)]
    process = started(command, tmp_path)
    # In mid-training, after one that has ended.
    status, errors = interrupted(
        process,
        lambda: trained(tmp_path) >= ONCE_A_TRAINING_ENDED and left_checkpoints(tmp_path) == 1,
        times=times,
    )
    assert status == 130, errors
    told = errors.splitlines()
    assert told[-1] == last
    assert "finishing what runs, then stopping; Ctrl-C again stops now; either way" in errors
    assert "Traceback" not in errors
    kept = trained(tmp_path)
    assert 1 <= kept < 10
    # What ran came to its end after the first; after the second it is to go on.
    assert left_checkpoints(tmp_path) == times - 1
    monkeypatch.chdir(tmp_path)
    _, planned, _ = run(*command, "--dry-run")
    # Two costs and one session of latencies, and each training that has ended.
    assert f"  {3 + kept} trials are there" in planned
    assert f"  {10 - kept} trainings to run, about " in planned
    assert planned.count(" to run, about ") == 1


def test_a_sweep_that_was_terminated_goes_on_too(tmp_path: Path, tiny_npz: Path) -> None:
    """By SIGTERM, to one process alone, as job schedulers and `timeout` send it."""
    process = started(
        [*SWEEP, "--seeds", "5", "--epochs", "30", "--dataset", str(tiny_npz)], tmp_path
    )
    wait_until(process, lambda: trained(tmp_path) >= ONCE_A_TRAINING_ENDED)
    process.terminate()
    _, errors = process.communicate(timeout=TIME_LIMIT_S)
    assert process.returncode == 128 + signal.SIGTERM
    last = "terminated: what has ended is kept, and the same command goes on from there"
    assert errors.splitlines()[-1] == last
    assert "Traceback" not in errors
    assert 1 <= trained(tmp_path) < 10


def test_trainings_in_other_processes_come_to_their_end_too(tmp_path: Path, tiny_npz: Path) -> None:
    command = [*SWEEP, "--seeds", "5", "--epochs", "60", "--dataset", str(tiny_npz)]
    process = started([*command, "--side-by-side", "2"], tmp_path)
    status, errors = interrupted(process, lambda: left_checkpoints(tmp_path) == 2)
    assert status == 130, errors
    assert errors.splitlines()[-1].startswith("stopped: ")
    assert "Traceback" not in errors
    assert trained(tmp_path) >= 2
    assert left_checkpoints(tmp_path) == 0


def test_a_comparison_that_was_interrupted_judges_nothing(tmp_path: Path, tiny_npz: Path) -> None:
    command = ["compare", "Identity", "ConvBNAct", *SWEEP[3:], "--seeds", "5", "--epochs", "30"]
    command.remove("--no-plots")
    process = started([*command, "--dataset", str(tiny_npz)], tmp_path)
    status, errors = interrupted(process, lambda: left_checkpoints(tmp_path) == 1)
    assert status == 130, errors
    assert errors.splitlines()[-1].startswith("stopped: ")
    assert "Traceback" not in errors


@pytest.mark.parametrize("seconds", [3.0, 6.0])
def test_a_check_has_no_traceback_however_early_it_is_interrupted(
    seconds: float, tmp_path: Path
) -> None:
    process = started(["check", "--all"], tmp_path)
    ready = time.monotonic() + seconds
    status, errors = interrupted(process, lambda: time.monotonic() > ready)
    assert status == 130, errors
    assert "Traceback" not in errors


def test_a_command_that_keeps_nothing_before_its_end_says_so(tmp_path: Path) -> None:
    command = ["benchmark", "Identity", "-p", "mid", "--budget", "1000", "--device", "cpu"]
    process = started(command, tmp_path)
    # Once a process that times is at work, behind its guardian.
    family = psutil.Process(process.pid)
    status, errors = interrupted(process, lambda: len(family.children(recursive=True)) >= 2)
    assert status == 130, errors
    assert errors.splitlines()[-1] == (
        "interrupted: nothing is kept before its end, so the same command begins anew"
    )
    assert "Traceback" not in errors
