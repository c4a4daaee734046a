"""The typer application and how a command is added to it."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, ParamSpec

import typer
from typer.core import TyperGroup

from blockzoo.cli.help_groups import GroupedCommand
from blockzoo.cli.numbers import checking_numbers
from blockzoo.core.errors import BlockZooError, in_one_line, reason_of
from blockzoo.core.termination import TERMINATED, terminable
from blockzoo.report.figures.colours import THEMES, drawn_in

Arguments = ParamSpec("Arguments")
# 128 and the number of SIGINT, as shells report a program that was interrupted.
INTERRUPTED = 130
_GOES_ON = "what has ended is kept, and the same command goes on from there"
_BEGINS_ANEW = "nothing is kept before its end, so the same command begins anew"
_AFTER_INTERRUPTION = {
    **dict.fromkeys(("sweep", "compare", "tune"), _GOES_ON),
    "train": "what has ended is kept; the same command goes on with the training that was stopped, "
    "after those before it are trained anew (`sweep` runs only what is missing)",
    **dict.fromkeys(
        ("profile", "benchmark", "marginal", "scaling", "roofline", "exported"), _BEGINS_ANEW
    ),
    "check": "name the blocks that are not shown yet to go on with them",
}
"""What commands that take long say of going on, by name."""


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
            with terminable():
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
            line = _line_of_foreseen(error)
            if line is None:
                raise
            _say(f"error: {line}")
            raise typer.Exit(1) from error
        except KeyboardInterrupt:
            _say_how_to_go_on("interrupted", command.__name__)
            raise typer.Exit(INTERRUPTED) from None
        except SystemExit as end:
            if end.code == TERMINATED:
                _say_how_to_go_on("terminated", command.__name__)
            raise

    return guarded


def _say_how_to_go_on(ended: str, command: str) -> None:
    how = _AFTER_INTERRUPTION.get(command)
    _say(f"{ended}: {how}" if how else ended)


def _line_of_foreseen(error: Exception) -> str | None:
    """Return the line for an error of a user's block or of a full memory, None for any other."""
    # Only here, because it brings torch: an error that nobody foresaw may take its time.
    from blockzoo.blocks.user_errors import describe_error, own_place
    from blockzoo.measure.machine.devices import is_out_of_memory

    if own_place(error) is None and not is_out_of_memory(error):
        return None
    return describe_error(error)


def _say(line: str) -> None:
    # A line break within a reason would make two lines of it for whoever reads by lines.
    sys.stderr.write(in_one_line(line) + "\n")


class _Commands(TyperGroup):
    """The group of all commands; arguments that it cannot read are one line on standard error."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; one whose name is two words goes before one whose name is the first."""
        two = " ".join(args[:2])
        return super().resolve_command(ctx, [two, *args[2:]] if two in self.commands else args)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        run = functools.partial(
            super().main, args, prog_name, complete_var,
            windows_expand_args=windows_expand_args, **extra,
        )  # fmt: skip
        given = sys.argv[1:] if args is None else args
        if not given or not standalone_mode:
            # Help is shown where nothing is given; else somebody wants the error itself.
            return run(standalone_mode=standalone_mode)
        try:
            status = run(standalone_mode=False)
        except typer.Abort:
            _say("interrupted")
            sys.exit(INTERRUPTED)
        except Exception as error:
            # Typer's own errors have no public class in all its versions; this is what marks them.
            message, context = getattr(error, "format_message", None), getattr(error, "ctx", None)
            if message is None:
                raise
            more = f" (see `{context.command_path} --help`)" if context else ""
            _say(f"error: {message()}{more}")
            sys.exit(getattr(error, "exit_code", 2))
        sys.exit(status if isinstance(status, int) else 0)


app = typer.Typer(
    cls=_Commands,
    name="blockzoo",
    help="Compare convolutional blocks fairly: cost, speed and accuracy in one fixed scaffold.",
    epilog="Start with: `blockzoo sweep --quick`",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    # What passes the border is a fault of BlockZoo's, and Python's own traceback can be quoted.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(asked: bool) -> None:
    if asked:
        # Only here, because it asks git.
        from blockzoo.core.commit import version_line

        sys.stdout.write(f"{version_line()}\n")
        raise typer.Exit


def _known_theme(name: str) -> str:
    if name not in THEMES:
        raise typer.BadParameter(f"it is {name!r}; allowed: {', '.join(THEMES)}")
    return name


@app.callback()
def _common(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Show version and commit.",
            callback=_show_version,
            is_eager=True,
        ),
    ] = False,
    theme: Annotated[
        str,
        typer.Option("--theme", callback=_known_theme, help="Draw plots for light or dark pages."),
    ] = "light",
) -> None:
    """Options that stand before any command."""
    context.with_resource(drawn_in(theme))


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
    """Add commands, in the order in which help lists them; their errors are one line each.

    That of a function `results_list` has two words as its name: `results list`.
    """
    for function in functions:
        # No default: a command without examples is found out here, as the package is imported.
        lines = "".join(f"\n\n* `{line}`" for line in _EXAMPLES[function.__name__])
        name = function.__name__.replace("_", " ")
        app.command(name, cls=GroupedCommand, epilog=f"Examples:{lines}")(
            command_border(checking_numbers(function))
        )
