from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from blockzoo.core.files import replacing
from blockzoo.training.checkpoint import checkpointed_trials

KILLED = """
import os, sys
from blockzoo.core.files import replacing
with replacing(sys.argv[1]) as scratch:
    scratch.write_text("half")
    os.kill(os.getpid(), 9)
"""


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """The folder of what a process was killed over."""
    folder = tmp_path / "checkpoints"
    subprocess.run([sys.executable, "-c", KILLED, str(folder / "a.ckpt")], check=False)
    (scrap,) = folder.iterdir()
    assert scrap.read_text() == "half"
    return folder


def test_what_a_killed_process_left_goes_with_the_next_write(left: Path) -> None:
    with replacing(left / "b.ckpt") as scratch:
        scratch.write_text("whole")
    assert [path.name for path in left.iterdir()] == ["b.ckpt"]


def test_a_sweep_that_has_nothing_to_train_removes_it_too(left: Path) -> None:
    assert checkpointed_trials(left) == set()
    assert list(left.iterdir()) == []


def test_scraps_of_earlier_versions_go_and_what_is_not_ours_stays(left: Path) -> None:
    (ours,) = left.iterdir()
    dead = ours.name.rpartition("-")[2]  # the id, and ".tmp"
    gone = [f".{'0a' * 16}.ckpt.{dead}", f".results.csv.{dead}"]
    stays = [
        f".{'0a' * 16}.ckpt.{os.getpid()}.tmp",  # of a process that lives
        f".notes.txt.{dead}",  # of another program
        f".a.ckpt.00000000-{dead}",  # of another machine
        "a.ckpt",
    ]
    for name in (*gone, *stays):
        (left / name).touch()
    assert checkpointed_trials(left) == {"a"}
    assert {path.name for path in left.iterdir()} == {*stays}


def fail_to_write(target: Path) -> None:
    with replacing(target) as scratch:
        scratch.write_text("half")
        raise ZeroDivisionError


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError):
        fail_to_write(target)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("table.csv", "old")]
