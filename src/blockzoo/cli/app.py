"""The typer application and how a command is added to it."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec

import typer

from blockzoo.core.errors import BlockZooError, in_one_line, reason_of

Arguments = ParamSpec("Arguments")
# 128 and the number of SIGINT, as shells report a program that was interrupted.
INTERRUPTED = 130


def command_border(command: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Turn foreseen errors of a command into one line on standard error and an exit status.

    The one place where that is done. What is neither raised on purpose, nor of the system, nor of a
    user's block, is a fault of BlockZoo's and passes with its traceback.

    >>> from blockzoo.core.errors import InputError
    >>> @command_border
    ... def failing():
    ...     raise InputError("width is 0; it must be 1 or more")
    >>> try:
    ...     failing()
    ... except typer.Exit as end:
    ...     print(end.exit_code)
    2
    """

    # Typer reads the signature through this; without it a command had no options.
    @functools.wraps(command)
    def guarded(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except BlockZooError as error:
            _say(f"error: {reason_of(error)}")
            raise typer.Exit(error.exit_status) from error
        except OSError as error:
            # "No such file or directory: a.png" says all; "[Errno 2]" before it says nothing more.
            file = f": {error.filename}" if error.filename else ""
            _say(f"error: {error.strerror or error}{file}")
            raise typer.Exit(1) from error
        except Exception as error:
            line = _line_of_user_code(error)
            if line is None:
                raise
            _say(f"error: {line}")
            raise typer.Exit(1) from error
        except KeyboardInterrupt:
            _say("interrupted")
            raise typer.Exit(INTERRUPTED) from None

    return guarded


def _line_of_user_code(error: Exception) -> str | None:
    """Return the line for an error that came through a user's block, None for any other."""
    # Only here, because it brings torch: an error that nobody foresaw may take its time.
    from blockzoo.blocks.user_errors import describe_error, own_place

    return None if own_place(error) is None else describe_error(error)


def _say(line: str) -> None:
    # A line break within a reason would make two lines of it for whoever reads by lines.
    sys.stderr.write(in_one_line(line) + "\n")


app = typer.Typer(
    name="blockzoo",
    help="Compare convolutional blocks fairly: cost, speed and accuracy in one fixed scaffold.",
    epilog="Start with: `blockzoo sweep --quick`",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    # What passes the border is a fault of BlockZoo's, and Python's own traceback can be quoted.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Command = Callable[..., None]
_EXAMPLES: dict[str, tuple[str, ...]] = {}


def examples(*lines: str) -> Callable[[Command], Command]:
    """Give a command the examples that its `--help` ends with.

    >>> @examples("blockzoo doctor")
    ... def doctor():
    ...     pass
    """

    def give(function: Command) -> Command:
        _EXAMPLES[function.__name__] = lines
        return function

    return give


def add_commands(*functions: Command) -> None:
    """Add commands, in the order in which help lists them; their errors are one line each."""
    for function in functions:
        # No default: a command without examples is found out here, as the package is imported.
        lines = "".join(f"\n\n* `{line}`" for line in _EXAMPLES[function.__name__])
        app.command(epilog=f"Examples:{lines}")(command_border(function))
