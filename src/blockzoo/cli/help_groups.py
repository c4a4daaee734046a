"""The groups in which `--help` shows the options of commands that have many: one vocabulary."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from copy import copy
from typing import Annotated, Any, get_args

from typer.core import TyperCommand
from typer.models import OptionInfo

_REST = "How run"
_NEWER = {"--side-by-side": "--workers"}
"""Options by their older names."""
GROUPS: dict[str, tuple[str, ...]] = {
    "What": (
        *("blocks", "everything", "position", "positions", "protocol", "quick"),
        *("seeds", "first_seed", "until_decided", "time_budget_h", "margin_points", "matches"),
        *("trials", "context", "depth", "width", "stem", "classes", "input_shape", "batch_sizes"),
        *("resolutions", "throughput", "largest_batch", "additivity", "baseline"),
    ),
    "Data": ("dataset", "data_dir", "skip_bad_images", "mirrored"),
    "How trained": (
        *("epochs", "batch_size", "learning_rate", "precision", "channels_last", "compiled"),
        *("cuda_graphs", "robustness"),
    ),
    _REST: (),
    "Where kept": (
        *("results", "output", "plot", "plots", "save_weights", "log", "experiment_name", "notes"),
    ),
}
"""The names of the parameters of each group, in the order of the groups; of "How run", the rest."""
_ORDER = list(GROUPS)


def group_of(name: str, names: Collection[str]) -> str:
    """Return the group of a parameter of a command that has all these.

    >>> group_of("batch_size", ["epochs", "batch_size"]), group_of("batch_size", ["batch_size"])
    ('How trained', 'How run')
    """
    for group, members in GROUPS.items():
        # Where nothing is trained a batch is one of timing, and `--quick` is a short timing.
        of_training = group == "How trained" or name == "quick"
        if name in members and ("epochs" in names or not of_training):
            return group
    return _REST


def place_of(name: str, names: Collection[str]) -> int:
    """Return which group of the command's help a parameter is in, from 0 on.

    >>> place_of("results", ["results"])
    4
    """
    return _ORDER.index(group_of(name, names))


def in_group(annotation: Any, group: str) -> Any:
    """Return the annotation of a parameter with its option shown in that group.

    >>> import typer
    >>> option = typer.Option("--depth")
    >>> get_args(in_group(Annotated[int, option], "What"))[1].rich_help_panel
    'What'
    """
    kind, *more = get_args(annotation)
    # Copies, for commands share their options and may have them in different groups.
    shown = [copy(each) if isinstance(each, OptionInfo) else each for each in more]
    for each in shown:
        if isinstance(each, OptionInfo):
            each.rich_help_panel = group
    return Annotated[(kind, *shown)]


def respelled(arguments: Iterable[str]) -> list[str]:
    """Return the arguments with options by their newest names.

    `--compile` takes no value, so that a block may follow it; cudagraphs is none.

    >>> respelled(["A", "--compile", "cudagraphs", "--side-by-side=2"])
    ['A', '--cuda-graphs', '--workers=2']
    """
    found: list[str] = []
    for each in arguments:
        name, equals, value = each.partition("=")
        if each == "cudagraphs" and found[-1:] == ["--compile"]:
            found[-1] = "--cuda-graphs"
        elif each == "--compile=cudagraphs":
            found.append("--cuda-graphs")
        else:
            found.append(_NEWER.get(name, name) + equals + value)
    return found


class GroupedCommand(TyperCommand):
    """A command whose `--help` is in its last group, so that the first is shown first."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments, also in their older spellings."""
        rest: list[str] = super().parse_args(ctx, respelled(args))
        return rest

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the options, the one for help among those of the last group."""
        params: list[Any] = super().get_params(ctx)
        grouped = [each for each in params if getattr(each, "rich_help_panel", None) in GROUPS]
        for each in params:
            if grouped and each.name == "help":
                each.rich_help_panel = _ORDER[-1]
        return params
