"""A driver of a sweep as a process of its own, for tests that kill one.

    python -m tests.experiments.sweep.drivers STORE DATASET EXECUTOR [WORKERS] [ADDRESS] [PAUSE]

Prints a line per trial that it starts and, at the end, how many it ran and how many others did.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil

from blockzoo.experiments.execution.executors import ExecutorChoice, executor_for
from blockzoo.experiments.sweep.choice import Choice
from blockzoo.experiments.sweep.plan import SweepRequest, Trial
from blockzoo.experiments.sweep.run import SweepListener, run_sweep
from blockzoo.results.records import EpochMetrics, TrainingRecord
from blockzoo.results.store.database import Store
from blockzoo.training.run_options import RunOptions
from tests.experiments.sweep.test_run import request_of

SEEDS = 6
TRIALS = SEEDS + 1
"""Of `faulted`: a cost and the trainings."""
STUCK_S = 600.0
"""A pause after each epoch in which a test kills the driver for sure."""


def faulted(dataset: Path, folder: Path) -> SweepRequest:
    """Return a sweep of few and small trials, without latencies, which differ from run to run."""
    request = request_of(dataset, "Identity", positions=("mid",), seeds=range(SEEDS), epochs=4)
    return replace(
        request,
        choice=Choice(only=("cost", "training")),
        options=RunOptions(checkpoints=folder / "checkpoints"),
    )


def learned(location: Path | str) -> dict[str, tuple[float | None, list[float]]]:
    """Return by trial what its training learned, all of it in digits that chance would change."""
    with Store(location) as store:
        records = store.records(kind="training", status="ok")
    return {
        record.trial_id: (record.test_loss, [epoch.val_loss for epoch in record.epochs])
        for record in records
        if isinstance(record, TrainingRecord)
    }


def started(*arguments: object) -> subprocess.Popen[str]:
    """Start a driver."""
    command = [sys.executable, "-m", "tests.experiments.sweep.drivers", *map(str, arguments)]
    # Tiny tensors are slower on two threads.
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True, env=env
    )


def killed(process: subprocess.Popen[str], *, with_group: bool = False) -> None:
    """Kill a driver, as SIGKILL does, and what it has started if it is to be."""
    kill = os.killpg if with_group else os.kill
    kill(process.pid, signal.SIGKILL)
    process.communicate()


def wait_for(process: subprocess.Popen[str], text: str) -> None:
    """Read what the driver prints until a line begins so."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(text):
            return
    raise AssertionError(f"the driver ended with {process.wait()} before {text!r}")


def ended(process: subprocess.Popen[str], timeout_s: float = 200) -> tuple[int, int]:
    """Return how many trials the driver ran and how many others did, at its end."""
    output, _ = process.communicate(timeout=timeout_s)
    assert process.returncode == 0
    ran, elsewhere = output.splitlines()[-1].removeprefix("ended ").split()
    return int(ran), int(elsewhere)


def kill_a_child(pid: int) -> None:
    """Kill the newest process that one has started and that trains."""
    children = psutil.Process(pid).children(recursive=True)
    heaviest = max(children, key=lambda each: each.memory_info().rss)
    os.kill(heaviest.pid, signal.SIGKILL)


def _say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


class Slow(SweepListener):
    """Says what is started, and gives a test the time to kill it by a pause after each epoch."""

    def __init__(self, pause_s: float) -> None:
        self._pause_s = pause_s

    def started(self, trial: Trial) -> None:
        """Say it."""
        _say("started", trial.label)

    def epoch(self, trial: Trial, metrics: EpochMetrics) -> None:
        """Say it, and pause."""
        _say("epoch", metrics.epoch, trial.label)
        time.sleep(self._pause_s)


def main(
    location: str,
    dataset: str,
    executor: str,
    workers: str = "1",
    address: str = "",
    pause_s: str = "0.1",
) -> None:
    """Run the sweep."""
    request = faulted(Path(dataset), Path(dataset).parent)
    choice = ExecutorChoice(name=executor, workers=int(workers), address=address or None)
    with Store(location) as store, executor_for(choice, "cpu") as trainers:
        result = run_sweep(
            request, store, trainers=trainers, listener=Slow(float(pause_s)), lease_s=6.0
        )
    _say("ended", result.ran, result.elsewhere)


if __name__ == "__main__":
    main(*sys.argv[1:])
