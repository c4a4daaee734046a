"""Commands run in this process, in a folder of their own."""

from __future__ import annotations

from typer.testing import CliRunner

from blockzoo.cli.app import app


def run(*arguments: str) -> tuple[int, str, str]:
    """Return exit status, standard output and standard error of `blockzoo` with these arguments."""
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr
