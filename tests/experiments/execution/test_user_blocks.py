"""Blocks of users run apart: whatever one does, the others' records stay what they are."""

from __future__ import annotations

import operator
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from blockzoo.blocks import canonical_name, get_block
from blockzoo.cli.app import app
from blockzoo.contract.check import check_blocks
from blockzoo.core.errors import BlockError, InputError
from blockzoo.core.processes import Limits
from blockzoo.experiments.benchmark import benchmark_blocks
from blockzoo.experiments.execution import user_blocks
from blockzoo.experiments.execution.user_blocks import TrialLimits, run_apart
from blockzoo.experiments.profile import profile_blocks
from blockzoo.measure.timing.settings import LatencySettings
from blockzoo.results.records import CostRecord
from blockzoo.scaffold.net import ScaffoldConfig

_FOLDER = Path(__file__).parent / "hostile"
_FILE = _FOLDER / "hostile_blocks.py"
_SMALL = ScaffoldConfig(width=4, depth=1, input_shape=(3, 8, 8))
_KINDS = [
    name
    for name in re.findall(r"^class (\w+)\((?:Forward|Constructor)\)", _FILE.read_text(), re.M)
    if not name.startswith("_")
]
_AT_IMPORT = [f"{path.name}:Patched" for path in sorted(_FOLDER.glob("at_import_*.py"))]


def _named(kind: str) -> str:
    return f"{_FILE}:{kind}"


def _measured(record: CostRecord) -> dict[str, object]:
    """Return what was measured, without what says of which block, where and when."""
    return record.model_dump(
        exclude={"trial_id", "block", "block_fingerprint", "created_at", "environment", "unsure"}
    )


def _profiled(kinds: list[str], limits: TrialLimits | None = None) -> dict[str, CostRecord]:
    names = [_named(kind) if kind.isidentifier() else kind for kind in kinds]
    names = ["ResNetBasicBlock", *names, _named("Good")]
    with run_apart(names, limits):
        records = profile_blocks(names, ["mid"], config=_SMALL, on_error="record")
    return {record.block.rpartition(":")[2]: record for record in records}


_REASONS = {
    "SetsDtypeInForward": r"changed the default dtype \(torch.float32, now torch.float64\)",
    "PatchesConv": r"changed nn.Conv2d, so that it was not computed as others are",
    "Segfaults": r"its process died by SIGSEGV",
    "ExitsAtOnce": r"its process ended with status 0",
    "RaisesGeneratorExit": r"its process ended with status 1",
    "RaisesLoneSurrogate": r"half a pair: \\ud800, and \\x1b\[2J\\x00",
    "RaisesWhatCannotBeSaid": r"_Unspeakable: \(what it says cannot be shown\)",
    "LoopsForEver": r"its process still running after 3 s, the time limit; stopped",
}


def test_a_block_that_harms_its_process_leaves_its_own_record_and_no_other_trace() -> None:
    alone = _profiled([])
    records = _profiled(list(_REASONS), TrialLimits(time_s={"cost": 3.0, "identity": 3.0}))
    for block, record in alone.items():
        assert record.status == "ok"
        assert _measured(records[block]) == _measured(record)
    for kind, reason in _REASONS.items():
        assert records[kind].status == "failed"
        assert re.search(reason, records[kind].reason or ""), records[kind].reason


def test_it_costs_what_it_costs_in_this_process() -> None:
    (here,) = profile_blocks([_named("Good")], ["mid"], config=_SMALL)
    assert _measured(_profiled([])["Good"]) == _measured(here)


def test_what_changes_no_number_is_named_and_the_process_replaced() -> None:
    told: list[str] = []
    name = _named("ChangesFolder")
    with run_apart([name], tell=told.append):
        records = profile_blocks([name], ["early", "mid"], config=_SMALL)
    assert [record.status for record in records] == ["ok", "ok"]
    (line,) = told  # though both did it
    assert re.search(r"ChangesFolder changed the working folder.*; its process was replaced", line)


def test_memory_has_a_limit() -> None:
    record = _profiled(["TakesAllMemory"], TrialLimits(memory_bytes=2**30))["TakesAllMemory"]
    assert record.status == "failed"
    assert "took more than 1,024 MiB of memory, the limit; stopped" in (record.reason or "")


@pytest.mark.parametrize("name", ["never_there.py:A", f"{_FILE}:Missing", f"{_FILE}:Path"])
def test_what_is_no_block_is_refused_before_anything_runs(name: str) -> None:
    with pytest.raises(InputError), run_apart([name]):
        pytest.fail("it was taken")


def test_a_file_that_cannot_be_loaded_leaves_a_failed_record() -> None:
    name = f"{_FOLDER / 'at_import_exits.py'}:A"
    with run_apart([name]):
        (record,) = profile_blocks([name], ["mid"], config=_SMALL, on_error="record")
    assert record.status == "failed"
    assert record.block == canonical_name(name)
    assert "its process ended with status 0" in (record.reason or "")


def test_what_a_block_leaves_its_process_unable_to_do_is_the_blocks_failure() -> None:
    name = _named("Good")
    with run_apart([name]):
        elsewhere = get_block(name).elsewhere
        assert elsewhere is not None
        # It takes two numbers, and is given one and what sends messages.
        with pytest.raises(BlockError, match=r"Good: TypeError: unsupported operand"):
            elsewhere(operator.truediv, 1, kind="cost")


def test_two_files_whose_classes_have_one_name_are_two_failures() -> None:
    files = [f"{_FOLDER / f'at_import_{what}.py'}:A" for what in ("exits", "loops")]
    with run_apart(files, TrialLimits(time_s={"identity": 2.0})):
        records = profile_blocks(files, ["mid"], config=_SMALL, on_error="record")
    assert len({record.trial_id for record in records}) == 2


@pytest.mark.parametrize("limits", [{"time_s": {"cost": 0.0}}, {"memory_bytes": 0}])
def test_a_limit_is_above_zero(limits: dict[str, dict[str, float]]) -> None:
    with pytest.raises(InputError, match="it must be above 0"):
        TrialLimits(**limits)  # type: ignore[arg-type]


@pytest.mark.usefixtures("forked_workers")
def test_one_that_changes_what_timed_networks_share_fails_and_the_rounds_begin_afresh() -> None:
    names = ["Identity", _named("SetsThreads"), _named("Good")]
    once = LatencySettings(processes=1, min_rounds=3, rounds_max=3, warmup_max_s=0.01)
    with run_apart(names):
        records = benchmark_blocks(names, ["mid"], config=_SMALL, settings=once)
    identity, threads, good = records
    assert (identity.status, good.status, threads.status) == ("ok", "ok", "failed")
    assert "it changed torch's threads (1, now 64)" in (threads.reason or "")
    # Of the rounds without it alone.
    assert [len(record.samples_ms) for record in (identity, good)] == [3 * 1, 3]


@pytest.mark.slow
def test_one_that_kills_its_parent_is_not_timed_by_a_child_of_the_command(tmp_path: Path) -> None:
    shutil.copytree(_FOLDER, tmp_path, dirs_exist_ok=True)
    names = ["Identity", f"{_FILE.name}:KillsItsParent"]
    options = ["-p", "mid", "--width", "4", "--depth", "1", "--budget", "0.1", "--processes", "1"]
    done = _blockzoo(tmp_path, "benchmark", *names, *options)
    assert done.returncode == 1
    assert "died by SIGKILL" in " ".join(done.stdout.split())


_TELLS = """
import os
from torch import nn
def tells(in_channels, out_channels, stride):
    with open("processes", "a") as file:
        file.write(f"{os.getpid()} ")
    return nn.Conv2d(in_channels, out_channels, 3, stride, 1)
"""


_TINY = ["-p", "mid", "--width", "4", "--depth", "1"]
_BRIEF = ["own.py:tells", "--protocol", "quick", "--budget", "0.2"]


@pytest.mark.usefixtures("forked_workers")
@pytest.mark.parametrize(
    ("arguments", "here"),
    [
        (["profile", "own.py:tells", *_TINY], False),
        (["profile", "own.py:tells", "--in-process", *_TINY], True),
        (["profile", "ConvBNAct", "Identity", "--context", "own.py:tells", *_TINY], False),
        (
            [
                *("benchmark", "ConvBNAct", "--context", "own.py:tells", "--quick"),
                *("--budget", "1", *_TINY),
            ],
            False,
        ),
        (
            [
                *("sweep", "ConvBNAct", "--context", "own.py:tells", "--protocol", "quick"),
                *("--epochs", "1", "--seeds", "1", "--latency-budget", "0.5", "--no-plots"),
                *_TINY,
            ],
            False,
        ),
        pytest.param(["roofline", *_BRIEF, "-p", "mid"], False, marks=pytest.mark.slow),
        pytest.param(["marginal", *_BRIEF, "--additivity"], False, marks=pytest.mark.slow),
        pytest.param(["scaling", *_BRIEF, "--threads", "1,2"], False, marks=pytest.mark.slow),
    ],
)
def test_a_users_code_runs_in_the_command_itself_on_request_alone(
    arguments: list[str], here: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(user_blocks, "_is_inside", False)  # and so it is again after `--in-process`
    (tmp_path / "own.py").write_text(_TELLS)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.stderr
    pids = {int(pid) for pid in (tmp_path / "processes").read_text().split()}
    assert (pids == {os.getpid()}) == here
    assert (os.getpid() in pids) == here


def test_a_context_that_harms_its_process_fails_what_it_is_in() -> None:
    config = replace(_SMALL, context=_named("SetsDtypeInForward"))
    names = ["ConvBNAct", _named("Good")]
    with run_apart([*names, config.context]):
        records = profile_blocks(names, ["mid"], config=config, on_error="record")
    assert [record.status for record in records] == ["failed", "failed"]
    assert all(re.search("changed the default dtype", record.reason or "") for record in records)
    assert torch.get_default_dtype() == torch.float32


def test_a_context_of_a_user_costs_what_it_costs_in_this_process() -> None:
    config = replace(_SMALL, context=_named("Good"))
    (here,) = profile_blocks(["ConvBNAct"], ["mid"], config=config)
    with run_apart([config.context]):
        (apart,) = profile_blocks(["ConvBNAct"], ["mid"], config=config)
    assert _measured(apart) == _measured(here)
    assert apart.trial_id == here.trial_id


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("soon", "--time-limit is 'soon'; give seconds, or KIND=SECONDS"),
        ("nap=3", "unknown kind of trial in --time-limit 'nap'"),
        ("training=0", "--time-limit is 0; it must be above 0"),
    ],
)
def test_a_time_limit_that_is_none_is_one_line(limit: str, said: str) -> None:
    result = CliRunner().invoke(app, ["profile", "Identity", "--time-limit", limit])
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"error: {said}")


def _blockzoo(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "blockzoo", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=3000)


_OF_COMMANDS = {
    "profile": ["--width", "4", "--depth", "1"],
    "train": ["--width", "4", "--depth", "1", "--epochs", "1", "--dataset", "digits"],
    "sweep": [
        *("--width", "4", "--depth", "1", "--epochs", "1", "--dataset", "digits", "--seeds", "1"),
        *("--latency-budget", "0.1", "--no-plots"),
    ],
    "benchmark": ["--width", "4", "--depth", "1", "--budget", "0.1", "--processes", "1"],
}


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("command", _OF_COMMANDS)
def test_of_every_kind_each_command_ends_with_status_1_and_the_others_records(
    command: str, tmp_path: Path
) -> None:
    import pandas as pd

    assert len(_KINDS) + len(_AT_IMPORT) >= 40
    shutil.copytree(_FOLDER, tmp_path, dirs_exist_ok=True)
    others = ["ResNetBasicBlock", f"{_FILE.name}:Good"]
    hostile = [*(f"{_FILE.name}:{kind}" for kind in _KINDS), *_AT_IMPORT]
    usual = ["-p", "mid", "--protocol", "quick", *_OF_COMMANDS[command], "--results"]
    alone = _blockzoo(tmp_path, command, *others, *usual, "alone")
    assert alone.returncode == 0, alone.stderr
    limits = ["--time-limit", "10", "--time-limit", "training=90", "--memory-limit", "4"]
    done = _blockzoo(tmp_path, command, *others, *hostile, *usual, "all", *limits)
    assert done.returncode == 1
    assert "Traceback (most recent call last)" not in done.stdout
    rows = pd.read_csv(tmp_path / "all" / "results.csv")
    expected = pd.read_csv(tmp_path / "alone" / "results.csv")
    assert set(rows.block) >= {*hostile, *others}
    measured = ["val_acc", "val_loss", "params_total", "flops", "memory_mb"]
    for _, row in expected.iterrows():
        (twin,) = rows[(rows.block == row.block) & (rows.position == row.position)].itertuples()
        for column in measured:
            pair = [getattr(twin, column), row[column]]
            assert pair[0] == pair[1] or pd.isna(pair).all(), (row.block, column, pair)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_beside_every_kind_check_finds_of_the_others_what_it_finds_of_them_alone() -> None:
    others = ["ResNetBasicBlock", _named("Good")]
    hostile = [*map(_named, _KINDS), *(f"{_FOLDER / name}" for name in _AT_IMPORT)]
    limits = Limits(time_s=5.0, memory_bytes=4 * 2**30)
    alone = {each.block: each for each in check_blocks(others, exports=False, jobs=2)}
    names = [*others, *hostile]
    beside = {
        each.block: each for each in check_blocks(names, exports=False, limits=limits, jobs=2)
    }
    assert len(beside) == len(names)
    for block, report in alone.items():
        assert report.ok
        assert beside[block] == report
    for kind in ("Segfaults", "ExitsAtOnce", "RaisesGeneratorExit", "TakesAllMemory"):
        assert not beside[_named(kind)].ok
