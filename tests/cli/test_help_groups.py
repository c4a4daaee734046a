"""What `--help` shows: groups in one order, a first group of a screen, and values by name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

import pytest
from typer.models import OptionInfo
from typer.testing import CliRunner

from blockzoo.analysis.curves import EPOCH_MEASURES
from blockzoo.analysis.fronts import CostName
from blockzoo.blocks.catalog import search_blocks
from blockzoo.cli.app import app
from blockzoo.cli.help_groups import GROUPS
from blockzoo.cli.numbers import flag_of
from blockzoo.core.position import POSITIONS
from blockzoo.core.run_way import CACHES, FORMS, PRECISIONS
from blockzoo.data.datasets import DATASET_NAMES
from blockzoo.experiments.execution.executors import Name as ExecutorName
from blockzoo.experiments.protocol import protocol_names
from blockzoo.measure.timing.backends import backend_names
from blockzoo.report.tables.zoo import SORTS
from blockzoo.training.loggers import LOGGERS
from blockzoo.training.recipe import RECIPES

LONG = ("train", "sweep", "compare", "tune", "benchmark")
VALUES: dict[str, Any] = {
    "--position": list(map(str, POSITIONS)),
    "--protocol": protocol_names(),
    "--recipe": list(RECIPES),
    "--backend": backend_names(),
    "--cache": CACHES,
    "--form": FORMS,
    "--device": ["cpu", "cuda", "cuda:N"],
    "--stem": ["auto", "small", "half", "large"],
    "--resident": ["auto", "yes", "no"],
    "--on-oom": ["split", "fail"],
    "--log": LOGGERS,
    "--sort": SORTS,
    "--family": sorted({spec.family for spec in search_blocks([])}),
    "--cost": get_args(CostName),
    "--over": ["epochs", "budget"],
    "--of": EPOCH_MEASURES,
    "--format": ["png", "svg"],
    "--dataset": DATASET_NAMES,
    "--match": ["macs", "params"],
    "--time-limit": ["identity", "cost", "latency", "training"],
    "--executor": get_args(ExecutorName),
    "--address": ["auto", "local"],
    "--only": ["cost", "latency", "training"],
    "--kind": ["cost", "latency", "training"],
    "--status": ["ok", "failed"],
    **dict.fromkeys(("--shard", "--pace-from", "--block", "--into")),
    "--threads": None,  # numbers, or a word that is named
    **dict.fromkeys(("--context", "--baseline", "--results", "--experiment-name", "--notes")),
    **dict.fromkeys(("--batch-sizes", "--resolutions", "--set", "--by", "--about")),
}
"""What each option that is text can be; None where anything can be."""
PRECISIONS_OF = {
    "benchmark": PRECISIONS,
    "exported": PRECISIONS,
    "roofline": ("fp32", "bf16", "fp16"),
}


def options(command: Any) -> Iterator[tuple[str, type, OptionInfo]]:
    for hint in get_type_hints(command.callback, include_extras=True).values():
        kind, *more = get_args(hint) or (hint,)
        for option in (each for each in more if isinstance(each, OptionInfo)):
            yield flag_of(option), kind, option


def helped(command: str, width: int = 80) -> str:
    result = CliRunner().invoke(app, [*command.split(), "--help"], env={"COLUMNS": str(width)})
    assert result.exit_code == 0
    return result.output


@pytest.mark.parametrize("command", app.registered_commands, ids=lambda c: c.name)
def test_options_of_a_closed_set_name_all_its_values(command: Any) -> None:
    for flag, kind, option in options(command):
        if "str" not in str(kind):
            continue
        if flag == "--precision":
            values = PRECISIONS_OF.get(command.callback.__name__, ("auto", "fp32", "bf16"))
        else:
            values = VALUES[flag] or ()
        told = re.findall(r"[\w:@-]+", f"{option.metavar or ''} {option.help}")
        assert set(values) <= {word.strip(":") for word in told}, flag


@pytest.mark.parametrize("command", LONG)
def test_groups_come_in_one_order_and_the_first_is_a_screen_at_most(command: str) -> None:
    text = helped(command)
    titles = re.findall(r"^╭─ ([\w ]+?) ─+╮$", text, re.M)
    assert titles[0] == "Arguments"
    assert titles[1:] == [group for group in GROUPS if group in titles]
    assert {"What", "How run", "Where kept"} <= {*titles}
    first = text.partition("╭─ What")[2].partition("╰")[0]
    assert len(first.splitlines()) <= 30


@pytest.mark.parametrize("command", app.registered_commands, ids=lambda c: c.name)
@pytest.mark.parametrize("width", [80, 120])
def test_no_option_is_cut(command: Any, width: int) -> None:
    text = helped(command.name, width)
    assert "…" not in text
    for flag, _, _ in options(command):
        assert all(name in text for name in flag.split("/"))


def test_every_name_in_a_group_is_a_parameter_of_some_command() -> None:
    known = {
        name for command in app.registered_commands for name in command.callback.__annotations__
    }
    assert {name for names in GROUPS.values() for name in names} <= known
