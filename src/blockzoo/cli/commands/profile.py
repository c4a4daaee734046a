"""`blockzoo profile`: what blocks cost, as a table."""

from __future__ import annotations

from blockzoo.cli import shared_options
from blockzoo.cli.app import examples
from blockzoo.cli.option_groups import ProfileOptions, spread


@examples(
    "blockzoo profile MobileOneBlock --position mid",
    "blockzoo profile --all",
    "blockzoo profile classic/RepMixer --protocol classic --output costs.csv",
    "blockzoo profile RepMixer --width 32 --input-shape 128 3 64 64",
    "blockzoo profile ResNetBasicBlock RepMixer --position mid --measure-memory",
    "blockzoo profile RepMixer --position mid --recipe v1",
)
@spread
def profile(
    chosen: ProfileOptions,
    results: shared_options.SaveTo = None,
    output: shared_options.Output = None,
) -> None:
    """Count parameters, MACs and memory of blocks in the scaffold.

    Counts are exact, of the training form and of the deploy form, of the whole network and of the
    stage under test alone; FLOPs are 2 x MACs. Memory is the peak of inference at batch 1 and of
    one training step: by SGD with momentum, or as `--recipe` trains. Nothing is computed, so any
    machine can profile any block, unless `--measure-memory` asks for the peaks of real processes,
    to stand beside the counted ones.
    """
    from blockzoo.cli.actions import costs

    costs.profile(chosen, results, output)
