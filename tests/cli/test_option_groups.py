"""Groups of options: what typer sees of a command that takes one, and what the command gets."""

from __future__ import annotations

import ast
import inspect
from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from blockzoo import cli
from blockzoo.cli.commands.benchmark import benchmark
from blockzoo.cli.commands.marginal import marginal
from blockzoo.cli.commands.profile import profile
from blockzoo.cli.commands.roofline import roofline
from blockzoo.cli.commands.scaling import scaling
from blockzoo.cli.commands.sweep import sweep
from blockzoo.cli.commands.train import train
from blockzoo.cli.commands.tune import tune
from blockzoo.cli.help_groups import place_of
from blockzoo.cli.option_groups import (
    BenchmarkOptions,
    ProfileOptions,
    ScalingOptions,
    TimingOptions,
    TrainingOptions,
    spread,
)
from blockzoo.cli.sweep_options import SweepOptions


@pytest.mark.parametrize(
    ("command", "group", "own"),
    [
        (train, TrainingOptions, ["seeds", "first_seed", "output"]),
        (sweep, SweepOptions, []),
        (tune, TrainingOptions, ["trials", "seeds"]),
        (benchmark, BenchmarkOptions, ["results", "output", "plot"]),
        (profile, ProfileOptions, ["results", "output"]),
        (marginal, TimingOptions, ["additivity", "processes", "budget", "output"]),
        (roofline, TimingOptions, ["precision", "budget", "plot", "output"]),
        (scaling, ScalingOptions, ["budget", "processes", "plot", "results", "output"]),
    ],
)  # fmt: skip
def test_typer_sees_the_shared_options_and_then_the_commands_own(
    command: Any, group: Any, own: list[str]
) -> None:
    parameters = inspect.signature(command).parameters
    names = [field.name for field in fields(group)] + own
    # By the group in which help shows them, and within it what is shared before what is not.
    assert list(parameters) == sorted(names, key=lambda name: place_of(name, names))
    assert {p.name: p.default for p in parameters.values()}.items() >= {
        field.name: field.default for field in fields(group)
    }.items()


def test_a_command_gets_its_group_as_one_value() -> None:
    seen: list[object] = []

    @spread
    def show(chosen: TimingOptions, extra: Annotated[int, typer.Option("--extra")] = 1) -> None:
        seen.append((chosen, extra))

    one_command = typer.Typer()
    one_command.command()(show)
    result = CliRunner().invoke(
        one_command, ["A", "B", "-p", "mid", "--device", "cpu", "--extra", "7"]
    )
    assert result.exit_code == 0, result.output
    chosen = TimingOptions(blocks=["A", "B"], positions=["mid"], device="cpu")
    assert seen == [(chosen, 7)]


def test_no_option_is_spelled_twice() -> None:
    """An option that two commands have is one object; the calls that make it are in one place."""
    calls = Counter(
        ast.unparse(node)
        for path in Path(cli.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("typer.Option", "typer.Argument")
    )
    assert calls.total() > 50
    assert {call: count for call, count in calls.items() if count > 1} == {}
