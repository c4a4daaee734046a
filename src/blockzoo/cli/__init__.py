"""The command line: `blockzoo COMMAND`, and the early version's separate commands.

Nothing heavy is imported until a command runs, so that `--help` answers at once.
"""

from __future__ import annotations

import sys

from blockzoo.cli.app import add_commands, app
from blockzoo.cli.blocks import blocks
from blockzoo.cli.check import check
from blockzoo.cli.results import results, visualize
from blockzoo.cli.scaling import scaling
from blockzoo.cli.sweep import sweep
from blockzoo.cli.verbs import benchmark, profile, train

add_commands(blocks, check, profile, benchmark, scaling, train, sweep, visualize, results)


def main() -> None:
    """Run `blockzoo`."""
    app()


def _run(command: str) -> None:
    app([command, *sys.argv[1:]], prog_name="blockzoo")


def profile_main() -> None:
    """Run `blockzoo profile`; the early version's `blockzoo-profile` and `-m blockzoo.profile`."""
    _run("profile")


def benchmark_main() -> None:
    """Run `blockzoo benchmark`; the early version's `blockzoo-benchmark`."""
    _run("benchmark")


def train_main() -> None:
    """Run `blockzoo train`; the early version's `blockzoo-train`."""
    _run("train")


def visualize_main() -> None:
    """Run `blockzoo visualize`; the early version's `-m blockzoo.visualize`."""
    _run("visualize")
