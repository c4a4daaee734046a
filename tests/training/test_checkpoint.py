from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from blockzoo.results.records import EpochMetrics
from blockzoo.training.checkpoint import load_checkpoint, save_checkpoint
from blockzoo.training.fit import fit
from blockzoo.training.run_options import RunOptions
from tests.training import killed
from tests.training.samples import TINY_RECIPE, tiny_dataset, tiny_net, training_settings

DATA = tiny_dataset()
FOUR_EPOCHS = replace(TINY_RECIPE, epochs=4)


def run(path: Path, *, stop_after: int | None = None, **changes: Any) -> dict[str, Tensor]:
    def stop(metrics: EpochMetrics) -> None:
        if metrics.epoch == stop_after:
            raise KeyboardInterrupt

    net, changes = tiny_net(), {"recipe": FOUR_EPOCHS, **changes}
    fit(net, training_settings(DATA, **changes), checkpoint=path, on_epoch=stop)
    return net.state_dict()


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.ckpt"
    assert load_checkpoint(path, "me") is None
    save_checkpoint(path, "me", {"x": torch.arange(3), "y": [1.5, None, "text"]})
    state = load_checkpoint(path, "me")
    assert state is not None
    assert torch.equal(state["x"], torch.arange(3))
    assert state["y"] == [1.5, None, "text"]
    assert [file.name for file in path.parent.iterdir()] == ["a.ckpt"]


def test_another_trainings_checkpoint_is_not_used(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.ckpt", "me", {})
    with pytest.warns(UserWarning, match=r"a\.ckpt is of another training; training starts afresh"):
        assert load_checkpoint(tmp_path / "a.ckpt", "you") is None


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "noise"])
def test_a_damaged_checkpoint_is_not_used(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    save_checkpoint(path, "me", {"x": torch.zeros(100)})
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1
    cut, flipped = bytes(content[:-50]), bytes(content)
    cases = {"empty": b"", "cut": cut, "flipped": flipped, "noise": os.urandom(999)}
    path.write_bytes(cases[damage])
    with pytest.warns(UserWarning, match=r"a\.ckpt .*; training starts afresh$"):
        assert load_checkpoint(path, "me") is None


def test_a_training_goes_on_instead_of_starting_again(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole.ckpt")
    path = tmp_path / "stopped.ckpt"
    with pytest.raises(KeyboardInterrupt):
        run(path, stop_after=2)
    trained: list[int] = []
    net = tiny_net()
    fit(
        net,
        training_settings(DATA, FOUR_EPOCHS),
        checkpoint=path,
        on_epoch=lambda metrics: trained.append(metrics.epoch),
    )
    assert trained == [3, 4]
    assert all(torch.equal(whole[name], value) for name, value in net.state_dict().items())


@pytest.mark.parametrize("changes", [{"seed": 1}, {"recipe": replace(TINY_RECIPE, epochs=3)}])
def test_other_settings_start_afresh(changes: dict[str, Any], tmp_path: Path) -> None:
    expected = run(tmp_path / "whole.ckpt", **changes)
    path = tmp_path / "stopped.ckpt"
    with pytest.raises(KeyboardInterrupt):
        run(path, stop_after=2)
    with pytest.warns(UserWarning, match="is of another training; training starts afresh"):
        afresh = run(path, **changes)
    assert all(torch.equal(expected[name], afresh[name]) for name in expected)


def test_no_resume_starts_afresh(tmp_path: Path) -> None:
    trained: list[int] = []
    run(tmp_path / "a.ckpt")
    fit(
        tiny_net(),
        training_settings(DATA, FOUR_EPOCHS),
        RunOptions(resume=False),
        checkpoint=tmp_path / "a.ckpt",
        on_epoch=lambda metrics: trained.append(metrics.epoch),
    )
    assert trained == [1, 2, 3, 4]


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is not there")
@pytest.mark.parametrize("kills", [6, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_many_moments_a_training_ends_as_if_it_had_not_been(
    tmp_path: Path, kills: int
) -> None:
    """Real processes, killed within an epoch, while a checkpoint is written or in between."""
    context = multiprocessing.get_context("forkserver")
    moments = random.Random(0)

    def child(path: Path, schedule: str, kill_after: int | None = None) -> str | None:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=killed.train, args=(path, schedule, theirs))
        process.start()
        theirs.close()
        messages: list[Any] = []
        while kill_after is None or kill_after not in messages:
            try:
                messages.append(ours.recv())
            except EOFError:  # noqa: PERF203 - the end of the child's messages
                break
        if kill_after is not None:
            time.sleep(0.02 * moments.random())
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == (0 if kill_after is None else -signal.SIGKILL)
        return messages[-1] if kill_after is None else None

    schedules = ("cosine", "plateau")
    whole = {name: child(tmp_path / f"{name}.ckpt", name) for name in schedules}
    assert whole["cosine"] != whole["plateau"]
    for number in range(kills):
        schedule, path = schedules[number % 2], tmp_path / f"{number}.ckpt"
        child(path, schedule, kill_after=moments.randrange(1, killed.EPOCHS // 2))
        assert path.exists()
        assert child(path, schedule) == whole[schedule], f"kill {number}"
