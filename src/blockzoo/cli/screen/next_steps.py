"""The lines that a sweep ends with: what its seeds cannot tell, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

CONFIRMING_SEEDS = 10
"""With so many a comparison is worth the wait; a first look has fewer."""


def unfound_line(seeds: int, detectable: float | None) -> str:
    """Return which differences in accuracy so many seeds do not find; "" where that is unknown.

    `detectable`: the true difference that they find with 80% power, a fraction of 1.

    >>> unfound_line(3, 0.0412)
    '3 seeds: differences in accuracy below 4.1 points cannot be found (80% power)'
    """
    if detectable is None:
        return ""
    # Two digits say as much as a deviation of a few seeds knows.
    points = f"{100 * detectable:.1f}"
    return (
        f"{seeds} seeds: differences in accuracy below {points} points cannot be found (80% power)"
    )


def next_steps(
    blocks: Sequence[str], context: str, *, position: str, options: Sequence[str], results: str
) -> list[str]:
    """Return three lines: a verdict on these blocks, a block of one's own, the results again.

    `options`: those of the sweep, which a comparison needs to go on from its trainings. `results`:
    where they are kept, as options take it.

    >>> for line in next_steps(
    ...     ["ResNetBasicBlock", "RepMixer"], "ResNetBasicBlock",
    ...     position="mid", options=["--protocol", "quick3"], results="results",
    ... ):
    ...     print(line)
    next: blockzoo compare RepMixer ResNetBasicBlock -p mid --protocol quick3 --seeds 10
    your own block: blockzoo sweep --quick ResNetBasicBlock my_block.py:MyBlock
    the table and the plots again: blockzoo results results; blockzoo visualize results
    """
    others = [block for block in blocks if block != context]
    first = (
        shlex.join(
            [
                *("blockzoo", "compare", others[0], context, *others[1:], "-p", position),
                *(*options, "--seeds", str(CONFIRMING_SEEDS)),
            ]
        )
        if others
        else f"blockzoo blocks  (names of blocks to compare {context} with)"
    )
    return [
        f"next: {first}",
        f"your own block: {shlex.join(['blockzoo', 'sweep', '--quick', context])} "
        "my_block.py:MyBlock",
        "the table and the plots again: "
        f"{shlex.join(['blockzoo', 'results', results])}; "
        f"{shlex.join(['blockzoo', 'visualize', results])}",
    ]
