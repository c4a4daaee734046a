"""`blockzoo ranks`: which block learns better, with what is open of it."""

from __future__ import annotations

from blockzoo.cli import shared_options
from blockzoo.cli.app import examples


@examples("blockzoo ranks", "blockzoo ranks results/blockzoo.db")
def ranks(source: shared_options.Whole = "results") -> None:
    """Rank the blocks of a store by test accuracy, for each data set, protocol and position.

    A rank is an interval, for blocks that no seed tells apart share it. Below the tables stands how
    far the rankings at two positions, on two data sets, by two protocols agree (Kendall's tau).
    """
    from blockzoo.cli.actions import deciding

    deciding.ranks(source)
