"""Write docs/reference/commands.md, the page of all commands and options, from the command line.

    python scripts/make_commands_page.py [--check]

With --check nothing is written; the exit status is 1 if the page is not current.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import typer
from typer.models import CommandInfo

from blockzoo.cli.app import app

PAGE = Path(__file__).resolve().parent.parent / "docs/reference/commands.md"
INTRODUCTION = """\
<!-- Written by scripts/make_commands_page.py from the command line; do not edit. -->
# Commands

`blockzoo COMMAND --help` says the same in a terminal. `blockzoo` alone lists the commands.

* Bad input ends in one line on standard error and exit status 2, before anything runs.
* A failed block or trial gives status 1, Ctrl-C 130, SIGTERM 143. `check` gives 3 where lines are undecided and none failed.
* Every number has a range, which the line says.
* `blockzoo --theme dark COMMAND` draws plots for dark pages. `blockzoo --version` names version and commit.
* Tables are as wide as the terminal. `COLUMNS` sets another width, in pipes too (160 without it).
* No number is ever cut. A table that is too wide leaves out columns and says which below.
* Names that are too long lose their middle, and different names stay different.
* What a terminal cannot show is replaced by a letter that looks like it, or by its code. Control characters in names and
  reasons are shown as `\\x1b`.

| command | does |
|---|---|
"""  # noqa: E501 - lines of the page
VALUES = {bool: "", str: "TEXT", int: "N", float: "NUMBER", Path: "PATH"}
"""What stands for an option's value where the option does not name it itself."""


def main() -> None:
    """Write or check the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare; write nothing")
    checking = parser.parse_args().check
    text = page()
    if not checking:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        sys.exit(f"{PAGE.name} is not current; run python scripts/make_commands_page.py")


def page() -> str:
    """Return the whole page."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    infos = dict(zip(commands, app.registered_commands, strict=True))
    rows = [
        f"| [`{name}`](#{name.replace(' ', '-')}) | {summary(command)} |"
        for name, command in commands.items()
    ]
    sections = [section(name, commands[name], infos[name]) for name in commands]
    return INTRODUCTION + "\n".join(rows) + "\n\n" + "\n".join(sections)


def summary(command: Any) -> str:
    """Return the first sentence of a command's help, in one line."""
    return " ".join(command.help.split("\n\n")[0].split())


def section(name: str, command: Any, info: CommandInfo) -> str:
    """Return one command's section: what it does, examples, options by group."""
    return "\n".join(
        (
            f"## `{name}`",
            "",
            command.help.strip(),
            "",
            "```sh",
            *examples(command),
            "```",
            "",
            *parameters(command, info),
        )
    )


def examples(command: Any) -> Iterator[str]:
    """Yield the lines with which the command's help ends."""
    for line in command.epilog.splitlines():
        if line.startswith("* `"):
            yield line.removeprefix("* `").removesuffix("`")


def parameters(command: Any, info: CommandInfo) -> Iterator[str]:
    """Yield arguments and options, a definition each, under the headings of `--help`."""
    shown = [each for each in command.params if not getattr(each, "hidden", False)]
    for panel, members in groupby(sorted(shown, key=_panels(shown)), key=panel_of):
        # Bold, not a heading: the same group stands under every command, and links need one place.
        yield from (f"**{panel}**", "")
        for each in members:
            yield from (f"{spelling(each, info)}{default(each)}", f": {text(each)}", "")


def _panels(shown: list[Any]) -> Any:
    """Return the key that puts groups together, in the order in which they come first."""
    order = list(dict.fromkeys(map(panel_of, shown)))
    return lambda each: order.index(panel_of(each))


def panel_of(parameter: Any) -> str:
    """Return the heading under which `--help` shows a parameter."""
    named = parameter.rich_help_panel
    return str(named or ("Arguments" if is_argument(parameter) else "Options"))


def is_argument(parameter: Any) -> bool:
    """Say whether it stands without a name on the command line."""
    return not parameter.opts[0].startswith("-")


def spelling(parameter: Any, info: CommandInfo) -> str:
    """Return how it is written: `-p`, `--position TEXT`, or the argument's name."""
    value = parameter.metavar or VALUES.get(annotated_type(parameter, info), "VALUE")
    if is_argument(parameter):
        return f"`{value}{'...' if parameter.nargs == -1 else ''}`"
    names = [*parameter.opts, *parameter.secondary_opts]
    return ", ".join(f"`{f'{name} {value}'.strip()}`" for name in names)


def annotated_type(parameter: Any, info: CommandInfo) -> type:
    """Return the type of one value: `int` of `Annotated[list[int] | None, ...]`.

    Read from the signature, which all versions of typer have alike.
    """
    assert info.callback is not None
    signature = inspect.signature(info.callback, eval_str=True)
    annotation: Any = signature.parameters[parameter.name].annotation
    while get_origin(annotation) in (Annotated, Union, UnionType, list):
        annotation = next(each for each in get_args(annotation) if each is not type(None))
    return annotation if isinstance(annotation, type) else object


def default(parameter: Any) -> str:
    """Return the default in brackets where there is one that the text does not tell."""
    value = parameter.default
    if value in (None, False, "", (), []) or callable(value) or not parameter.show_default:
        return ""
    if value is True:
        return f" (default: `{parameter.opts[0]}`)"
    shown = f"{value:g}" if isinstance(value, float) else value
    return f" (default: `{shown}`)"


def text(parameter: Any) -> str:
    """Return what it does, in one line; a name in brackets is text, no link."""
    return " ".join((parameter.help or "").split()).replace("[", "\\[").replace("<", "\\<")


if __name__ == "__main__":
    main()
