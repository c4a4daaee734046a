"""`blockzoo compare`: one block against others, down to a sentence."""

from __future__ import annotations

from blockzoo.cli.app import examples
from blockzoo.cli.compare_options import CompareOptions
from blockzoo.cli.option_groups import spread


@examples(
    "blockzoo compare my_block.py:MyBlock --protocol quick --dataset digits --seeds 5",
    "blockzoo compare RepMixer ResNetBasicBlock ConvNeXt -p mid --until-decided",
    "blockzoo compare MobileOneBlock RepVGG --seeds 10 --dry-run",
    "blockzoo compare RepMixer --seeds 5 --report report.html",
)
@spread
def compare(chosen: CompareOptions) -> None:
    """Compare the first block with the others, or with the protocol's context block.

    What the results folder lacks is run first: costs, latencies, and a training per seed. Then
    comes a verdict for each pair and position, and a sentence for each.
    """
    from blockzoo.cli.actions import comparing

    comparing.compare(chosen)
