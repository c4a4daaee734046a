"""The file that says how far a sweep is, as others read it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import psutil

from blockzoo.experiments.protocol import get_protocol
from blockzoo.experiments.sweep.plan import Plan, SweepRequest
from blockzoo.experiments.sweep.progress_file import ProgressFile
from blockzoo.experiments.sweep.run import Outcome
from blockzoo.experiments.sweep.sweep_state import SweepState, read_progress
from tests.experiments.sweep.test_log import EPOCH, TRIAL
from tests.record_samples import training

TIME_LIMIT_S = 60.0


def _request() -> SweepRequest:
    return SweepRequest(protocol=get_protocol("quick"), device="cpu")


def _once(folder: Path, holds: Callable[[SweepState], bool]) -> SweepState:
    """Return what is read once it is as wanted: the file is written by a thread."""
    end = time.monotonic() + TIME_LIMIT_S
    while time.monotonic() < end:
        for state in read_progress(folder):
            if holds(state):
                return state
        time.sleep(0.05)
    raise AssertionError(f"not so in time: {read_progress(folder)}")


def test_what_is_told_can_be_read_while_it_runs_and_after(tmp_path: Path) -> None:
    with ProgressFile(tmp_path, _request(), part=2, parts=3) as file:
        file.planned(Plan(trials=(TRIAL,), done=4))
        file.started(TRIAL)
        file.epoch(TRIAL, EPOCH)
        state = _once(tmp_path, lambda state: bool(state.running and state.running[0].epoch))
        (running,) = state.running
        assert (running.label, running.epoch, running.val_accuracy) == (TRIAL.label, 2, 0.25)
        assert (state.to_run, state.there, state.done, state.part, state.parts) == (1, 4, 0, 2, 3)
        assert (state.pid, state.protocol, state.dataset) == (os.getpid(), "quick", "digits")
        assert state.life() == "running"
        failed = training("1f", "A", status="failed", reason="no memory")
        file.finished(Outcome(trial=TRIAL, records=(failed,), seconds=1.0))
    (state,) = read_progress(tmp_path)
    assert (state.done, state.failed, state.running) == (1, 1, ())
    assert state.life() == "ended"


def _state(**changes: object) -> SweepState:
    me = psutil.Process()
    own = SweepState.model_validate(
        {
            "host": "",
            "pid": me.pid,
            "process_started": me.create_time(),
            "started_at": "2026-01-01T00:00:00Z",
            "written_at": "2026-01-01T00:00:00Z",
            "protocol": "v1",
            "dataset": "digits",
            "epochs": 1,
        }
    )
    return own.model_copy(update=changes)


def test_a_driver_that_was_killed_is_gone_and_so_is_one_whose_number_another_has() -> None:
    here = platform.node()
    assert _state(host=here).life() == "running"
    assert _state(host=here, process_started=1.0).life() == "gone"
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert _state(host=here, pid=ended.pid).life() == "gone"


def test_a_driver_that_ended_before_its_trials_had_was_stopped() -> None:
    now = _state().written_at
    assert _state(ended_at=now, to_run=3, done=3).life() == "ended"
    assert _state(ended_at=now, to_run=3, done=2).life() == "stopped"


def test_of_another_machine_one_that_is_silent_is_gone() -> None:
    state = _state(host="another", pid=1)
    assert state.life(state.written_at + timedelta(seconds=30)) == "running"
    assert state.life(state.written_at + timedelta(seconds=90)) == "gone"


def test_files_of_drivers_that_are_gone_do_not_pile_up(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text(_state(host="another").model_dump_json())
    (tmp_path / "foreign.json").write_text("[]")
    with ProgressFile(tmp_path, _request()):
        assert [state.pid for state in read_progress(tmp_path)] == [os.getpid()]
    assert (tmp_path / "foreign.json").exists()
    assert not (tmp_path / "old.json").exists()


def test_a_folder_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "progress").write_text("a file in the place of the folder")
    with ProgressFile(tmp_path / "progress", _request()) as file:
        file.planned(Plan(trials=(TRIAL,), done=0))
    assert (tmp_path / "progress").is_file()
