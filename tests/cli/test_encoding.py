"""No terminal gets a traceback for what it cannot show."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_numbers import COMMANDS

PLAIN = {"PYTHONIOENCODING": "ascii", "LANG": "C", "LC_ALL": "C", "TERM": "dumb", "PYTHONUTF8": "0"}
# All in one process, for each would import the same again.
EVERY = """
import sys
from blockzoo.cli import main
for arguments in {arguments!a}:
    sys.argv = ["blockzoo", *arguments]
    try:
        main()
    except SystemExit as end:
        print("status", end.code or 0)
"""


def run(*arguments: list[str], **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", EVERY.format(arguments=arguments)],
        capture_output=True,
        env={**os.environ, **environment},
    )


def test_every_help_is_shown_in_ascii() -> None:
    helps = [["--help"], *([command, "--help"] for command in COMMANDS)]
    done = run(*helps, **PLAIN)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.isascii()
    assert done.stdout.count(b"status 0\n") == len(helps)
    assert rb"\u" not in done.stdout  # all that BlockZoo itself says has a stand-in


def test_so_are_tables_drawings_and_names_of_any_letters(tmp_path: Path) -> None:
    missing = str(tmp_path / "积木.npz")
    done = run(
        ["blocks", "--no-costs"],
        ["blocks", "RepMixer", "--no-contract"],
        ["train", "RepMixer", "--dataset", missing],
        ["blocks", "\udcff"],
        **PLAIN,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.count(b"status 0\n") == 2
    assert done.stdout.count(b"status 2\n") == 2
    assert b"Traceback" not in done.stderr
    assert rb"\u79ef\u6728.npz" in done.stderr
    assert (done.stdout + done.stderr).isascii()


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "cp437"])
def test_what_an_encoding_has_is_shown_as_it_is(encoding: str) -> None:
    done = run(["blocks", "±", "--no-costs"], ["nöthing"], PYTHONIOENCODING=encoding)
    assert "nöthing" in done.stderr.decode(encoding)
