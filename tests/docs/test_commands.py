"""Commands in README and docs: their options and names exist, and they run where that is quick."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import typer

from blockzoo.blocks import canonical_name
from blockzoo.cli.app import app
from blockzoo.experiments.protocol import get_protocol
from tests.cli.commands.running import run
from tests.docs.pages import PAGES, ROOT, blocks, commands, inline_commands

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
READING = ("results", "ranks", "front", "specialisation", "curves", "visualize")
"""Commands that read a store."""
STORES = ("results", "device", "machine-a", "machine-b", "together")
"""Results folders that pages speak of."""
OF_PAGES = [(page, command) for page, text in PAGES.items() for command in commands(text)]


def named(words: Sequence[str]) -> tuple[str, list[str]]:
    """Return the name of a command, which may be two words, and what follows."""
    two = " ".join(words[:2])
    return (two, [*words[2:]]) if two in COMMANDS else (words[0], [*words[1:]])


@pytest.mark.parametrize(("page", "command"), OF_PAGES, ids=lambda value: " ".join(value))
def test_options_and_names_exist(page: str, command: tuple[str, ...]) -> None:
    name, arguments = named(command)
    given = COMMANDS[name].make_context(name, list(arguments)).params
    for block in given.get("blocks") or []:
        if ":" not in block and name != "blocks":
            canonical_name(block)
    if protocol := given.get("protocol"):
        get_protocol(protocol.partition("+")[0])
    for position in given.get("positions") or []:
        assert position in ("early", "mid", "late")


def test_options_in_the_text_exist() -> None:
    unknown = []
    for page, text in PAGES.items():
        for spoken in inline_commands(text):
            name, words = named(spoken.split()[1:])
            if name in ("--version", "--theme") or not name.islower():
                continue  # what stands before any command, and `blockzoo COMMAND --help`
            known = {spelt for each in COMMANDS[name].params for spelt in each.opts}
            known |= {spelt for each in COMMANDS[name].params for spelt in each.secondary_opts}
            unknown += [
                (page, spoken)
                for word in words
                if word[0] == "-" and word not in {*known, "--help"}
            ]
    assert unknown == []


@pytest.fixture(scope="session")
def tutorial_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results folder with which the first tutorial ends."""
    folder = tmp_path_factory.mktemp("tutorial") / "results"
    bundle = ROOT / "benchmarks/results/first_result.jsonl"
    status, _, error = run("results", str(folder), "--import", str(bundle))
    assert (status, error) == (0, "")
    run("results", str(folder), "--export", str(folder / "results.csv"))  # as a sweep does
    return folder


def is_quick(command: tuple[str, ...]) -> bool:
    """Say whether a command takes seconds at the most."""
    name, *arguments = command
    long = {"--all", "--measure-memory", "--device"} & set(arguments)
    # A plan by `quick` needs no data set but the digits; others would be downloaded.
    planned = {"--dry-run", "quick"} <= set(arguments)
    # The store of the first tutorial has no changed images, and no trainings at several budgets.
    # Trainings that are made again take as long as they took.
    lacking = {"--robustness", "--over", "show", "--sample"} & set(arguments)
    lacking |= {each for each in arguments if "*" in each or "://" in each}
    reading = name in READING and not lacking
    return reading or (name == "profile" and not long) or planned


RUN = {
    page: [command for command in commands(text) if is_quick(command)]
    for page, text in PAGES.items()
}


@pytest.mark.usefixtures("forked_workers")
@pytest.mark.parametrize("page", [page for page, found in RUN.items() if found])
def test_quick_commands_run(
    page: str, tutorial_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order of the page, so that what one writes the next can read."""
    monkeypatch.chdir(tmp_path)
    for store in STORES:
        shutil.copytree(tutorial_store, tmp_path / store)
    write_blocks(tmp_path)
    for command in RUN[page]:
        status, shown, error = run(*command)
        assert (command, status, error if status else "") == (command, 0, "")
        assert shown or error


def write_blocks(folder: Path) -> None:
    """Put the blocks there that pages name by their files."""
    tutorial = PAGES["docs/tutorials/your-own-block.md"]
    (block,) = (each.text for each in blocks(tutorial, "python") if "class MyBlock" in each.text)
    for name in ("scratch/my_block.py", "my_block.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(block)
    (folder / "examples").mkdir()
    shutil.copy(ROOT / "examples/own_block.py", folder / "examples")
