"""What a sweep file says, and what is refused of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from blockzoo.core.errors import InputError, UnknownNameError
from blockzoo.core.position import Position
from blockzoo.experiments.protocol import get_protocol
from blockzoo.experiments.sweep.sweep_file import SweepFile

WHOLE = """
protocol = "quick"
blocks = ["RepMixer", "ResNetBasicBlock"]
positions = ["late", "early"]
seeds = [3, 5]
dataset = ["digits", "digits@16"]
width = [8, 16]
weight_decay = 0.1
epochs = 4
channels_last = true
latency_budget_s = 1
"""


def test_lists_of_settings_make_a_grid_the_last_varying_fastest() -> None:
    grid = SweepFile.of_text(WHOLE).protocols()
    assert [(each.dataset, each.width) for each in grid] == [
        ("digits", 8),
        ("digits", 16),
        ("digits@16", 8),
        ("digits@16", 16),
    ]
    (first, *_) = grid
    assert first.blocks == ("RepMixer", "ResNetBasicBlock")
    assert first.positions == (Position.EARLY, Position.LATE)
    assert first.seeds == (3, 5)
    assert first.recipe.weight_decay == 0.1
    assert first.recipe.epochs == 4
    assert first.recipe.channels_last is True
    assert first.latency_budget_s == 1


def test_a_point_is_the_protocol_that_options_would_make() -> None:
    grid = SweepFile.of_text("width = [32, 64]\nepochs = 20").protocols()
    assert grid == [
        get_protocol("v1").changed(width=32, epochs=20),
        get_protocol("v1").changed(width=64, epochs=20),
    ]


def test_a_number_of_seeds_is_how_many_and_a_list_is_which() -> None:
    assert SweepFile.of_text("seeds = 3").protocols()[0].seeds == (0, 1, 2)
    assert SweepFile.of_text("seeds = [3]").protocols()[0].seeds == (3,)


def test_protocols_and_budgets_are_axes_too() -> None:
    file = SweepFile.of_text('protocol = ["quick", "v1"]\nmatch = ["macs", "params@0.5x"]')
    assert [each.label for each in file.protocols()] == [
        "quick+macs",
        "quick+params@0.5x",
        "v1+macs",
        "v1+params@0.5x",
    ]


def test_a_value_that_is_given_twice_is_swept_once() -> None:
    assert len(SweepFile.of_text("width = [8, 8]").protocols()) == 1


def test_keys_that_options_say_are_passed_over() -> None:
    file = SweepFile.of_text("width = [8, 16]\nseeds = 3")
    (only,) = file.protocols(protocol="quick", without={"width", "seeds"})
    assert only == get_protocol("quick")


def test_all_blocks() -> None:
    assert len(SweepFile.of_text("blocks = 'all'").protocols()[0].blocks) > 100


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("widht = 8", "unknown key 'widht' in s.toml; allowed: protocol, blocks, positions, seeds"),
        ("[axes]\nwidth = 8", "unknown key 'axes' in s.toml"),
        ("device = 'cpu'", "unknown key 'device' in s.toml"),
        ("width = '8'", "width in s.toml is '8'; it must be a whole number"),
        ("width = [8, true]", "width in s.toml is True; it must be a whole number"),
        ("learning_rate = 'big'", "learning_rate in s.toml is 'big'; it must be a number"),
        ("flip = 1", "flip in s.toml is 1; it must be true or false"),
        ("channels_last = 1.5", "it must be true, false, auto or safe"),
        ("context = 3", "context in s.toml is 3; it must be text in quotes"),
        ("width = []", "width in s.toml is empty; give one value or more"),
        ("seeds = 0", "seeds in s.toml is 0; it must be 1 or more"),
        ("seeds = 1.5", "seeds in s.toml is 1.5; it must be a whole number"),
        ("width = ", "s.toml is no TOML: "),
    ],
)
def test_what_means_nothing_is_refused_in_one_line(text: str, told: str) -> None:
    with pytest.raises(InputError, match=re.escape(told)) as refused:
        SweepFile.of_text(text, name="s.toml")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    ["width = 0", "positions = 'middle'", "protocol = 'v9'", "match = 'flops'", "optimizer = 'x'"],
)
def test_values_that_cannot_work_are_refused_as_those_of_options_are(text: str) -> None:
    with pytest.raises(InputError):
        SweepFile.of_text(text).protocols()


def test_an_unknown_name_says_what_is_near() -> None:
    with pytest.raises(UnknownNameError, match="did you mean mid"):
        SweepFile.of_text("positions = ['middle']").protocols()


def test_a_grid_that_nobody_means_is_refused() -> None:
    widths = ", ".join(map(str, range(1, 1002)))
    with pytest.raises(InputError, match=r"asks for 1,001 protocols; at most 1,000"):
        SweepFile.of_text(f"width = [{widths}]").protocols()


def test_a_file_that_is_not_there_or_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        SweepFile.read(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="cannot be read"):
        SweepFile.read(tmp_path / "bytes.toml")
