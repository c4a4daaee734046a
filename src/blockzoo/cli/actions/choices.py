"""From the text and numbers of options to the objects that the verbs take."""

from __future__ import annotations

import os

import torch

from blockzoo.blocks import get_block, list_available_blocks
from blockzoo.cli.option_groups import ScaffoldOptions
from blockzoo.core.errors import InputError
from blockzoo.core.position import POSITIONS, Position
from blockzoo.core.ranges import BATCH, SEEDS, THREADS
from blockzoo.experiments.protocol import get_protocol
from blockzoo.measure.machine.containers import cpu_quota_cores
from blockzoo.measure.machine.devices import available_cores, usable_cores
from blockzoo.scaffold.net import ScaffoldConfig


def chosen_blocks(names: list[str] | None, everything: bool) -> list[str]:
    """Return the canonical names; raises `UnknownNameError`, or `InputError` when none is given.

    >>> chosen_blocks(["RepVGG", "RepVGGBlock", "Identity"], everything=False)
    ['RepVGGBlock', 'Identity']
    """
    if everything:
        return list_available_blocks()
    if not names:
        raise InputError("no block given; name one or more (see `blockzoo blocks`), or use --all")
    if wrong := [name for name in names if name in tuple(Position)]:
        raise InputError(f"{wrong[0]} is a position and no block; write -p {wrong[0]}")
    # An alias and its name are one block, which is run once.
    return list(dict.fromkeys(get_block(name).name for name in names))


def chosen_positions(names: list[str] | None) -> tuple[Position, ...]:
    """Return the positions named, in the order early, mid, late; all three when none is.

    >>> [str(position) for position in chosen_positions(["late", "early"])]
    ['early', 'late']
    """
    chosen = {Position.parse(name) for name in names or []}
    return tuple(p for p in POSITIONS if p in chosen) or POSITIONS


def chosen_seeds(count: int, first: int = 0) -> tuple[int, ...]:
    """Return that many seeds from the first on.

    >>> chosen_seeds(3, first=7)
    (7, 8, 9)
    """
    SEEDS.checked("seeds", count)
    return tuple(range(first, first + count))


def chosen_shape(
    input_shape: tuple[int, int, int, int] | None, batch_size: int | None, default_batch: int
) -> tuple[tuple[int, int, int], int]:
    """Return (C, H, W) and the batch size of `--input-shape B C H W` and `--batch-size`.

    >>> chosen_shape((8, 3, 64, 64), None, default_batch=1), chosen_shape(None, None, 1)
    (((3, 64, 64), 8), ((3, 32, 32), 1))
    """
    if batch_size is not None:
        BATCH.checked("batch size", batch_size)
    if input_shape is None:
        return (3, 32, 32), batch_size or default_batch
    batch, channels, height, width = input_shape
    BATCH.checked("batch of the input shape", batch)
    # The same number said twice is no mistake; of two, neither is sure to be meant.
    if batch_size is not None and batch_size != batch:
        raise InputError(
            f"--batch-size {batch_size} contradicts --input-shape, whose batch is {batch}"
        )
    return (channels, height, width), batch


def chosen_threads(text: str) -> int:
    """Return the number of threads; "all" is one for each core that this process may use.

    >>> chosen_threads("3"), chosen_threads("all") == available_cores()
    (3, True)
    """
    if text == "all":
        return available_cores()
    try:
        count = int(text)
    except ValueError:
        raise InputError(f"threads is {text!r}; give a whole number or all") from None
    THREADS.checked("threads", count)
    return count


def use_threads(text: str | None) -> None:
    """Have trainings share that many threads; None is as torch says, within a container's quota.

    To be called before anything is trained: this process's number is shared out to its workers.
    """
    if text is not None:
        torch.set_num_threads(chosen_threads(text))
    elif "OMP_NUM_THREADS" not in os.environ:  # else the user has decided
        torch.set_num_threads(min(torch.get_num_threads(), usable_cores(cpu_quota_cores())))


def chosen_scaffold(chosen: ScaffoldOptions, input_shape: tuple[int, int, int]) -> ScaffoldConfig:
    """Return the protocol's scaffold with what the options change.

    >>> chosen_scaffold(ScaffoldOptions(width=16), (3, 32, 32)).width
    16
    """
    changed = get_protocol(chosen.protocol).changed(
        context=chosen.context, depth=chosen.depth, width=chosen.width
    )
    return changed.scaffold(classes=chosen.classes, input_shape=input_shape)
