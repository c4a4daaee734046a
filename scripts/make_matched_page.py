"""Write docs/measurements/matched.md: every block of the zoo fitted to the context block's stage.

    python scripts/make_matched_page.py [--check]

With --check nothing is written; the exit status is 1 if the page is not current.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from blockzoo.blocks import list_available_blocks
from blockzoo.core.names import settings_of
from blockzoo.core.position import POSITIONS
from blockzoo.experiments.matching import TOLERANCE, Fit, fit
from blockzoo.results.budgets import MATCHED_COSTS, Match
from blockzoo.scaffold.net import ScaffoldConfig
from blockzoo.scaffold.placement import Placement

# A latency is timed, and so belongs to a machine.
COSTS = tuple(cost for cost in MATCHED_COSTS if cost != "latency")
PAGE = Path(__file__).resolve().parent.parent / "docs/measurements/matched.md"
INTRODUCTION = """\
<!-- Written by scripts/make_matched_page.py; do not edit. -->
# Blocks at equal cost

How far each block's capacity is turned so that its stage costs what a stage of {context} does: in the default scaffold (width
{width}, depth {depth}, {size}×{size} images), in deploy form. `blockzoo compare --match` does the same for your scaffold, see
[At equal cost](../how-to/match-budgets.md).

Costs are counted, so no machine matters: `python scripts/make_matched_page.py` writes this page anew.

A number is the value of the block's [knob](../reference/blocks.md#a-block-s-capacity); "depth 2" is a stage of two blocks besides, where the knob
ends above the target; for a block without a knob its depth is the number. Where nothing reaches the target, the table says how far off
the nearest is.

{reached} of {count} fits are within {tolerance:.0%}: {blocks} blocks, three positions, MACs and parameters.
"""  # noqa: E501 - lines of the page


def main() -> None:
    """Write or check the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say whether it is current")
    page = _page()
    if not parser.parse_args().check:
        PAGE.write_text(page, encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != page:
        sys.exit(f"{PAGE.name} is not current; run python scripts/make_matched_page.py")


def _page() -> str:
    scaffold, blocks = ScaffoldConfig(), list_available_blocks()
    fits = {block: _fits(block, scaffold) for block in blocks}
    every = [each for row in fits.values() for each in row]
    introduction = INTRODUCTION.format(
        context=scaffold.context,
        width=scaffold.width,
        depth=scaffold.depth,
        size=scaffold.input_shape[1],
        tolerance=TOLERANCE,
        blocks=len(blocks),
        count=len(every),
        reached=sum(each.reached for each in every),
    )
    columns = [f"{cost}, {position}" for cost in COSTS for position in POSITIONS]
    header = [
        f"| block | knob | {' | '.join(columns)} |",
        f"|---|---|{'---|' * len(columns)}",
    ]
    rows = [
        f"| {block} | {row[0].knob} | {' | '.join(map(_value, row))} |"
        for block, row in fits.items()
    ]
    return "\n".join([introduction, *header, *rows, ""])


def _fits(block: str, scaffold: ScaffoldConfig) -> list[Fit]:
    return [
        fit(Placement.of(block, position, scaffold), Match(cost=cost))
        for cost in COSTS
        for position in POSITIONS
    ]


def _value(found: Fit) -> str:
    if not found.reached:
        return f"{found.off:+.0%}"
    if found.fitted == found.block:
        return "as published"
    settings = settings_of(found.fitted)
    knob = f"{settings.pop(found.knob):.4g}"
    return f"{knob}, depth {settings['depth']:.0f}" if settings else knob


if __name__ == "__main__":
    main()
