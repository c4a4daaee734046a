from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from rich.table import Table
from rich.text import Text

from blockzoo.cli.screen.consoles import load_data, output_console, say, say_data
from tests.training.samples import TINY_RECIPE, tiny_dataset


@pytest.mark.parametrize("steps", [[], [(0.5, "1 of 2"), (1.0, "2 of 2")]])
def test_the_bar_of_the_decoding_is_shown_where_there_is_some(
    monkeypatch: pytest.MonkeyPatch, steps: list[tuple[float, str]]
) -> None:
    seen: list[object] = []

    @contextmanager
    def progress(title: str) -> Iterator[Callable[[float, str], None]]:
        seen.append(title)
        yield lambda *told: seen.append(told)
        seen.append("closed")

    def load_dataset(show: Callable[[float, str], None]) -> Any:
        for step in steps:
            show(*step)
        return SimpleNamespace(skipped=())

    monkeypatch.setattr("blockzoo.cli.screen.consoles.progress", progress)
    load_data(SimpleNamespace(load_dataset=load_dataset))  # type: ignore[arg-type]
    assert seen == (["decode", *steps, "closed"] if steps else [])


def test_skipped_images_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    data = replace(tiny_dataset(), skipped=("train/a/1.png", "test/b/2.png"))
    protocol = SimpleNamespace(recipe=TINY_RECIPE)
    say_data(SimpleNamespace(dataset=data, protocol=protocol))  # type: ignore[arg-type]
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(
        "data: tiny, 2 classes, 20 images to train on and 8 to test on, 3x8x8, "
    )
    assert second == "skipped 2 bad images, first train/a/1.png"


@pytest.mark.parametrize("form", [str, lambda name: Text(name, style="red")])
def test_no_text_reaches_the_terminal_as_a_command(
    capsys: pytest.CaptureFixture[str], form: Callable[[str], Any]
) -> None:
    name = "\x1b]0;owned\x07Block\x9b2J"
    table = Table("block", "x")
    table.add_row(form(name), "1")
    output_console().print(form(name))
    output_console().print(table)
    say(name)
    written = capsys.readouterr()
    assert not {"\x1b", "\x07", "\x9b"} & {*written.out, *written.err}
    assert written.err == "\\x1b]0;owned\\x07Block\\x9b2J\n"
    # A text with a style has lost its bell to rich by then.
    assert written.out.count("\\x1b]0;owned") == 2


@pytest.mark.parametrize(("columns", "width"), [("60", 60), (None, 160), ("0", 160), ("wide", 160)])
def test_what_goes_into_a_pipe_is_as_wide_as_columns_says(
    monkeypatch: pytest.MonkeyPatch, columns: str | None, width: int
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    assert output_console().width == width
