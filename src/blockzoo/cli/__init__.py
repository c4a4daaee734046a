"""The command line: `blockzoo COMMAND`, and the early version's separate commands.

Nothing heavy is imported until a command runs, so that `--help` answers at once.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Sequence

from blockzoo.cli.app import add_commands, app
from blockzoo.cli.commands.benchmark import benchmark
from blockzoo.cli.commands.blocks import blocks
from blockzoo.cli.commands.check import check
from blockzoo.cli.commands.compare import compare
from blockzoo.cli.commands.curves import curves
from blockzoo.cli.commands.doctor import doctor
from blockzoo.cli.commands.exported import exported
from blockzoo.cli.commands.front import front
from blockzoo.cli.commands.marginal import marginal
from blockzoo.cli.commands.profile import profile
from blockzoo.cli.commands.protocol import protocol
from blockzoo.cli.commands.ranks import ranks
from blockzoo.cli.commands.results import results, visualize
from blockzoo.cli.commands.results_verbs import (
    results_board,
    results_bundle,
    results_export,
    results_import,
    results_list,
    results_merge,
    results_prune,
    results_show,
    results_verify,
)
from blockzoo.cli.commands.roofline import roofline
from blockzoo.cli.commands.scaling import scaling
from blockzoo.cli.commands.site import site
from blockzoo.cli.commands.specialisation import specialisation
from blockzoo.cli.commands.sweep import sweep
from blockzoo.cli.commands.train import train
from blockzoo.cli.commands.tune import tune
from blockzoo.cli.encoding import show_what_can_be_shown

# In the order of the work: what there is, what it costs, how it learns, what came of it.
add_commands(
    *(blocks, check, protocol, profile, benchmark, marginal, scaling, roofline),
    *(train, sweep, compare, tune),
    *(ranks, specialisation, front, curves, exported, visualize, site, results),
    *(results_list, results_show, results_export, results_import, results_merge),
    *(results_bundle, results_board, results_verify, results_prune, doctor),
)


_TRAINING = {"train", "sweep", "compare", "tune"}
_SPINS = "20000"  # some tens of microseconds


def main() -> None:
    """Run `blockzoo`."""
    _prepare(sys.argv[1:])
    app()


def _prepare(arguments: Sequence[str]) -> None:
    # Before a command is run, and so before it imports torch.
    _wait_politely(arguments)
    show_what_can_be_shown()
    # The interpreter's last search for cycles goes through all of torch, for a second, in vain.
    atexit.register(gc.freeze)


def _wait_politely(arguments: Sequence[str]) -> None:
    """Have training's OpenMP threads sleep after a short wait, unless the environment says else.

    By default they spin for milliseconds. Where other processes want the cores, a spinning thread
    holds the one that the thread it waits for needs, and training takes tens of times longer. This
    must be said before torch is imported; latencies are left as the user's programs would see them.
    """
    # libgomp lets a spin count go before a policy, so a policy that was set would be undone.
    # Options that all commands share stand before the command's name.
    if not _TRAINING.isdisjoint(arguments) and "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)


def _run(command: str) -> None:
    _prepare([command])
    # With this name, usage and errors teach `blockzoo COMMAND` to who called the early one.
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
