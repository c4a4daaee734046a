"""The typer application and how a command is added to it."""

from __future__ import annotations

from collections.abc import Callable

import typer

from blockzoo.cli.border import command_border

app = typer.Typer(
    name="blockzoo",
    help="Compare convolutional blocks fairly: cost, speed and accuracy in one fixed scaffold.",
    epilog="Start with: `blockzoo sweep --quick`",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Command = Callable[..., None]
_EXAMPLES: dict[str, tuple[str, ...]] = {}


def examples(*lines: str) -> Callable[[Command], Command]:
    """Give a command the examples that its `--help` ends with."""

    def give(function: Command) -> Command:
        _EXAMPLES[function.__name__] = lines
        return function

    return give


def add_commands(*functions: Command) -> None:
    """Add commands, in the order in which help lists them; their errors are one line each."""
    for function in functions:
        lines = "".join(f"\n\n* `{line}`" for line in _EXAMPLES[function.__name__])
        app.command(epilog=f"Examples:{lines}")(command_border(function))
