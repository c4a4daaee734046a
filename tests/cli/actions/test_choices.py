"""Which blocks are meant, and how many threads trainings have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from blockzoo.cli.actions import choices
from blockzoo.cli.actions.choices import chosen_blocks, use_threads
from blockzoo.core.errors import InputError
from blockzoo.experiments.execution.executors import ExecutorChoice, executor_for
from blockzoo.measure.machine.containers import cpu_quota_cores
from blockzoo.results.store.database import Store
from tests.cli.commands.running import run


@pytest.fixture(autouse=True)
def _threads_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(choices, "available_cores", lambda: 8)
    monkeypatch.setattr("blockzoo.measure.machine.devices.available_cores", lambda: 8)
    torch.set_num_threads(6)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("text", "cpu_max", "threads"),
    [
        (None, "max 100000", 6),
        (None, "350000 100000", 3),
        (None, "50000 100000", 1),
        (None, "900000 100000", 6),
        # What is asked for is what there is.
        ("2", "max 100000", 2),
        ("5", "350000 100000", 5),
        ("all", "max 100000", 8),
    ],
)
def test_threads_are_those_asked_for_or_what_a_container_has_time_for(
    text: str | None,
    cpu_max: str,
    threads: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "cpu.max").write_text(cpu_max)
    (tmp_path / "membership").write_text("0::/\n")
    quota = cpu_quota_cores(root=tmp_path, membership=tmp_path / "membership")
    monkeypatch.setattr(choices, "cpu_quota_cores", lambda: quota)
    use_threads(text)
    assert torch.get_num_threads() == threads


def test_what_the_environment_says_is_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    monkeypatch.setattr(choices, "cpu_quota_cores", lambda: 1.0)
    use_threads(None)
    assert torch.get_num_threads() == 6


def _threads(_: None) -> int:
    return torch.get_num_threads()


@pytest.mark.usefixtures("forked_workers")
def test_workers_share_the_threads_out() -> None:
    use_threads("7")
    with executor_for(ExecutorChoice(workers=3), "cpu") as trainers:
        assert [trainers.submit(_threads, None).result() for _ in range(3)] == [2, 2, 2]


def test_threads_are_recorded_and_are_no_part_of_what_a_training_is(
    tiny_npz: Path, tmp_path: Path
) -> None:
    found = {}
    for threads in ("1", "2"):
        results = str(tmp_path / threads)
        status, _, errors = run(
            "train", "Identity", "--protocol", "quick", "--width", "4", "--depth", "1",
            "--epochs", "1", "--dataset", str(tiny_npz), "--device", "cpu",
            "--threads", threads, "--results", results,
        )  # fmt: skip
        assert status == 0, errors
        with Store(results) as store:
            (record,) = store.records(kind="training")
        found[record.environment.threads] = record.trial_id
    assert [*found] == [1, 2]
    assert len({*found.values()}) == 1


def test_a_position_in_the_place_of_a_block_is_told_where_it_belongs() -> None:
    with pytest.raises(InputError, match="mid is a position and no block; write -p mid"):
        chosen_blocks(["ResNetBasicBlock", "mid"], everything=False)
