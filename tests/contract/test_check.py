"""The contract finds what is wrong with a block, and survives blocks that misbehave."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import blockzoo.cli  # noqa: F401 - adds the commands
from blockzoo.blocks import BlockLike, get_block, list_available_blocks
from blockzoo.cli.actions import zoo
from blockzoo.cli.app import app
from blockzoo.contract import check
from blockzoo.contract.check import BlockReport, check_blocks
from blockzoo.contract.findings import Finding, Verdict
from blockzoo.contract.lines import contract_lines
from blockzoo.core.errors import InputError, UnknownNameError
from blockzoo.core.processes import Limits, Send
from tests.contract.misbehaving_blocks import Good

_FILE = Path(__file__).with_name("misbehaving_blocks.py")
_BIG = Limits(time_s=120.0, memory_bytes=4 * 2**30)
_ALL = [line.name for line in contract_lines()]
_EAGER = [line.name for line in contract_lines(exports=False)]
_LINES = {line.name: line for line in contract_lines()}


def _name(block: str) -> str:
    return f"{_FILE}:{block}"


def _judge(block: str, line: str) -> Finding:
    return _LINES[line].judge(get_block(_name(block)))


def _check(*blocks: BlockLike, limits: Limits = _BIG) -> BlockReport:
    (report,) = check_blocks(blocks, exports=False, limits=limits)
    return report


def _failed(report: BlockReport) -> dict[str, str]:
    return {f.line: f.reason for f in report.findings if f.verdict is Verdict.FAILS}


@pytest.mark.parametrize("line", _EAGER)
def test_a_good_block_passes_each_line(line: str) -> None:
    finding = _judge("Good", line)
    expected = Verdict.DOES_NOT_APPLY if line == "deploy" else Verdict.PASSES
    assert (finding.line, finding.verdict) == (line, expected), finding.reason


@pytest.mark.parametrize(
    ("block", "line", "reason"),
    [
        ("WrongShape", "odd sizes", "maps (2, 16, 9, 11) to (2, 16, 9, 10); it must be"),
        ("MakesNaN", "bf16", "values are NaN or infinite"),
        ("UnusedParameter", "gradients", "no gradient reaches spare.bias, spare.weight"),
        ("MixesTheBatch", "batch", "early, stride 1, alone and in a batch: outputs differ by"),
        ("DrawsInEval", "determinism", "two runs in eval differ on the same input"),
        ("ForgetsItsState", "state dict", "outputs differ by"),
        ("WrongDeploy", "deploy", "early, stride 1: outputs differ by"),
        ("ReadsMemoryFormat", "channels_last", "outputs differ by"),
        ("HidesLayers", "parameters", "stride 1: layers, scales: layers in a plain list"),
        ("Raises", "values", "KeyError: 'no such feature' ("),
    ],
)
def test_a_broken_line_fails_with_its_reason(block: str, line: str, reason: str) -> None:
    finding = _judge(block, line)
    assert finding.verdict is Verdict.FAILS
    assert reason in finding.reason
    assert "\n" not in finding.reason


def test_it_is_said_which_start_values_are_the_policys_and_which_the_blocks() -> None:
    """With constants in convolutions, as xindongzhang/ECBSR has Sobel kernels."""
    finding = _judge("FrozenKernel", "parameters")
    assert (finding.verdict, finding.reason) == (
        Verdict.PASSES,
        "drawn by the policy: conv.weight, bn.weight, bn.bias; kept from the constructor: scale; "
        "frozen, kept as constants: edges.weight",
    )


def test_a_merge_that_asks_for_arguments_is_said_not_to_be_called() -> None:
    with pytest.warns(UserWarning, match="FuseWantsFeatures: .* no deploy form is made"):
        finding = _judge("FuseWantsFeatures", "deploy")
    assert (finding.verdict, finding.reason) == (
        Verdict.DOES_NOT_APPLY,
        "the deploy form is the training form; FuseWantsFeatures.fuse(near, far) takes arguments, "
        "so it is not called",
    )


def test_a_class_is_checked_as_its_name_is() -> None:
    assert _check(Good).block.endswith("misbehaving_blocks:Good")
    assert _check(Good).ok


_NOTEBOOK = """
from torch import nn
from blockzoo.contract.check import check_blocks
class Mine(nn.Module):
    def __init__(self, in_channels, out_channels, stride):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride, 1)
    def forward(self, x):
        return self.conv(x)
(report,) = check_blocks([Mine], exports=False)
print(report.block, report.ok)
"""


def test_what_a_file_sets_for_the_whole_process_is_said_with_the_first_line(tmp_path: Path) -> None:
    """Once, though a line ends the process and another one loads the file again."""
    file = tmp_path / "sets.py"
    file.write_text(
        "import os, torch\nfrom torch import nn\n"
        "torch.set_grad_enabled(False)\nnn.functional.relu = print\n"
        "class Mine(nn.Identity):\n"
        "    def __init__(self, in_channels, out_channels, stride): super().__init__()\n"
        "    def forward(self, x): os._exit(3)\n"
    )
    report = _check(f"{file}:Mine")
    assert report.findings[0] == Finding(
        line="builds",
        verdict=Verdict.PASSES,
        reason=f"{file} sets gradients (True, now False) for the whole process as it is imported; "
        f"this is put back; {file} changes nn.functional.relu for the whole process as it is "
        "imported; this stays",
    )
    assert not any("as it is imported" in finding.reason for finding in report.findings[1:])
    assert report.findings[1].verdict is Verdict.FAILS


def test_a_class_of_a_notebook_is_checked(tmp_path: Path) -> None:
    """As a notebook's cells, a command's text is no file that another process could run."""
    told = subprocess.run(
        [sys.executable, "-c", _NOTEBOOK], cwd=tmp_path, capture_output=True, text=True
    )
    assert (told.stdout, told.returncode) == ("Mine True\n", 0), told.stderr


def test_an_error_in_a_block_is_placed_in_its_own_file() -> None:
    line = next(
        n for n, text in enumerate(_FILE.read_text().splitlines(), 1) if "raise Key" in text
    )
    assert f"misbehaving_blocks.py:{line})" in _judge("Raises", "values").reason


def test_a_block_breaks_no_other_line_than_its_own() -> None:
    verdicts = {line: _judge("UnusedParameter", line).verdict for line in _EAGER}
    assert [line for line, verdict in verdicts.items() if verdict is Verdict.FAILS] == ["gradients"]


def test_hanging_leaves_a_line_undecided_and_the_report_goes_on() -> None:
    report = _check(_name("HangsInTraining"), limits=Limits(time_s=3.0))
    assert [finding.line for finding in report.findings] == _EAGER
    failed = _failed(report)
    assert failed == {}
    undecided = {f.line: f.reason for f in report.findings if f.verdict is Verdict.UNDECIDED}
    assert set(undecided) == {"cost", "gradients", "bf16"}
    assert undecided["gradients"] == "still running after 3 s, the time limit; stopped"
    assert not report.ok
    assert not report.broken


def test_a_constructor_that_hangs_is_stopped_once() -> None:
    report = _check(_name("HangsInConstructor"), limits=Limits(time_s=2.0))
    assert [f.line for f in report.findings if f.verdict is Verdict.UNDECIDED] == ["builds"]
    rest = {(f.verdict, f.reason) for f in report.findings[1:]}
    assert rest == {(Verdict.DOES_NOT_APPLY, "the block is not built")}


def test_allocating_without_bound_fails_one_line() -> None:
    limit = Limits(time_s=120.0, memory_bytes=3 * 2**29)
    failed = _failed(_check(_name("Allocates"), limits=limit))
    # The lines that give it one image: the rest of the report is as it should be.
    assert set(failed) == {"batch 1", "batch", "cost", "receptive field"}
    assert set(failed.values()) == {"took more than 1,536 MiB of memory, the limit; stopped"}


def test_a_crash_of_the_process_fails_one_line() -> None:
    failed = _failed(_check(_name("Crashes")))
    assert failed == {"odd sizes": "the process died by SIGABRT"}


def _never_starts(_task: object, _send: Send) -> None:
    os._exit(3)


def test_a_process_that_cannot_start_fails_the_line_and_is_not_started_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(check, "_judge", _never_starts)
    report = _check("Identity")
    assert _failed(report) == {"builds": "the process ended with status 3"}
    assert [finding.line for finding in report.findings] == _EAGER


def test_several_blocks_are_checked_at_a_time_and_findings_told_as_they_come() -> None:
    told: list[tuple[str, str]] = []
    blocks = [_name("Good"), "Identity"]
    reports = check_blocks(
        blocks,
        exports=False,
        limits=_BIG,
        jobs=2,
        on_finding=lambda block, finding: told.append((block, finding.line)),
    )
    assert {report.block: report.ok for report in reports} == dict.fromkeys(blocks, True)
    assert sorted(told) == sorted((block, line) for block in blocks for line in _EAGER)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "there is no file"),
        ("class Block(:", "is not Python"),
        ("import torch", "there is no class 'Block'"),
        ("raise OSError('no licence')", "OSError: no licence"),
    ],
)
def test_a_file_that_does_not_load_is_one_finding(
    text: str | None, reason: str, tmp_path: Path
) -> None:
    if text is not None:
        (tmp_path / "mine.py").write_text(text)
    report = _check(f"{tmp_path / 'mine.py'}:Block")
    failed = _failed(report)
    assert list(failed) == ["builds"]
    assert reason in failed["builds"]


def test_impossible_requests_are_refused() -> None:
    with pytest.raises(InputError, match=r"time limit is 0 s; it must be above 0"):
        Limits(time_s=0)
    with pytest.raises(InputError, match="memory limit is 0 bytes"):
        Limits(memory_bytes=0)
    with pytest.raises(InputError, match="jobs is 0"):
        list(check_blocks(["Identity"], jobs=0))
    with pytest.raises(UnknownNameError, match="did you mean RepMixer"):
        list(check_blocks(["RepMixr"]))


def test_the_command_prints_a_line_each_and_fails_where_one_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(_FILE.read_text())
    arguments = ["check", "--no-export", "--time-limit", "120", "Identity"]
    good = CliRunner().invoke(app, arguments)
    assert good.exit_code == 0, good.output
    assert "Identity: keeps the contract" in good.stdout
    assert all(line in good.stdout for line in _EAGER)
    assert "ONNX" not in good.stdout
    bad = CliRunner().invoke(app, [*arguments, "mine.py:UnusedParameter"])
    assert bad.exit_code == 1
    assert "mine.py:UnusedParameter: does not keep the contract" in bad.stdout
    assert "no gradient reaches spare.bias, spare.weight" in bad.stdout


def _finding(line: str, verdict: Verdict) -> Finding:
    return Finding(line=line, verdict=verdict, reason="because")


@pytest.mark.parametrize(
    ("verdicts", "status", "last"),
    [
        ([Verdict.PASSES, Verdict.DOES_NOT_APPLY], 0, "Identity: keeps the contract"),
        ([Verdict.UNDECIDED], 3, "Identity: undecided, 1 of its lines were stopped"),
        ([Verdict.UNDECIDED, Verdict.FAILS], 1, "Identity: does not keep the contract"),
    ],
)
@pytest.mark.parametrize("blocks", [1, 6])
def test_each_finding_is_shown_as_it_comes(
    verdicts: list[Verdict],
    status: int,
    last: str,
    blocks: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen: list[str] = []

    def check_blocks(
        names: list[str], *, on_finding: Callable[[str, Finding], None], **_: object
    ) -> Iterator[BlockReport]:
        for name in names:
            findings = tuple(_finding(f"line {n}", verdict) for n, verdict in enumerate(verdicts))
            for finding in findings:
                on_finding(name, finding)
                seen.append(capsys.readouterr().out)
            yield BlockReport(block=name, findings=findings)
            seen.append(capsys.readouterr().out)

    monkeypatch.setattr(zoo, "check_blocks", check_blocks)
    names = ["Identity", *list_available_blocks()[: blocks - 1]]
    ended = 0
    try:
        zoo.check(names, False, exports=False, time_limit_s=1.0, memory_limit_gib=1.0, jobs=1)
    except typer.Exit as end:
        ended = end.exit_code
    assert ended == status
    for shown, verdict in zip(seen, verdicts, strict=False):
        bad = verdict in (Verdict.FAILS, Verdict.UNDECIDED)
        assert shown.count("\n") == (blocks == 1 or bad)
        assert f": {verdict.value}: because\n" in shown or not shown
    assert seen[len(verdicts)] == f"{last}\n"
    assert ("blocks keep the contract" in capsys.readouterr().out) == (blocks > 1)


@pytest.mark.slow
def test_compiled_and_exported_forms_equal_eager() -> None:
    (report,) = check_blocks([_name("Good")], limits=Limits(time_s=200.0))
    assert [finding.line for finding in report.findings] == _ALL
    assert report.ok, _failed(report)
