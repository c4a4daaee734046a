"""Write docs/reference/zoo.md, the page of all blocks, from the registry.

    python scripts/make_zoo_page.py [--check]

With --check nothing is written; the exit status is 1 if the page is not current.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from blockzoo.blocks import BlockSpec, get_block, list_available_blocks
from blockzoo.core.position import POSITIONS
from blockzoo.experiments.part_costs import stage_cost

PAGE = Path(__file__).resolve().parent.parent / "docs/reference/zoo.md"
ARXIV = re.compile(r"\d{4}\.\d{4,5}")
INTRODUCTION = """\
<!-- Written by scripts/make_zoo_page.py from the registry; do not edit. -->
# The zoo

{count} blocks in {families} families. `blockzoo blocks WORD...` searches this table, `blockzoo blocks NAME` shows one block in
full, with a drawing of its structure; `--svg FILE` writes the drawing. Costs are of the block's own stage in the scaffold: three
blocks, the first one with the stage's stride, of 64, 128 and 256 channels at the early, mid and late position, for one 32×32
image, as parameters in thousands / MACs in millions, in deploy form; where the training form costs something else, it stands
below in brackets. [Knobs](blocks.md#a-block-s-capacity) set how large a block is inside.

The column "checked by" says how it was established that a block is what its name says. Parameters and MACs of every block are
exact in the tests, so "counts" is the least:

* **official code**: equal to the authors' code on the same random weights in float64, in evaluation and training; where the
  authors have none in PyTorch, to an independent implementation of it. Notes say what is meant to differ.
* **network totals**: whole networks made of the block have the published number of parameters. For `classic/` blocks those are the
  scaffolds of the early version.
* **counts**: parameters as a second statement has them, the paper's table or the authors' configuration, where there is one.

## Left out

* **OverLoCK's ContMix** (arXiv 2502.20087) takes two inputs in its network, the features and the context of another part of the
  network. A block here has one. Its authors' form for other networks, without that context, is not written yet.
* **ShiftwiseConv** (arXiv 2401.12736) draws at random which channels it leaves alone, and its shifts are an operation that the
  authors publish as a CUDA module alone. There was no second statement to check an own one against.
* **FDConv** (arXiv 2503.18783) makes the weights of other networks' convolutions from frequencies. It is not written yet.
  `ODConvBasicBlock` and `CondConvMBConv` have kernels that depend on the image.

## Theory

`blockzoo blocks NAME` also shows what follows from the structure, without a clock.

* **Receptive field** (theoretical) of stage and network: the extent of the input that the middle of the output depends on, read
  off a gradient in double precision at random weights, so exact for any operation; "whole image" where something global (a pooled
  gate, attention) connects all, or where it exceeds the 384 pixels that are tried.
* **Effective receptive field** of the stage as initialised (Luo et al., arXiv 1701.04128): the square root of the number of pixels
  whose gradient is above 1 - 95.45% of the largest, on 64×64 random inputs. A block whose layer scale starts near zero has a small
  one until it is trained.
* **Arithmetic intensity**: FLOPs per byte moved when each operation reads its inputs and weights and writes its outputs, as eager
  PyTorch does; "if fused" counts weights, input and output once, the limit for a compiler.
* **Memory**: the bytes of the weights, and what a training step keeps of one image for the backward pass.
"""  # noqa: E501 - lines of the page


def main() -> None:
    """Write or check the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare; write nothing")
    checking = parser.parse_args().check
    text = page()
    if not checking:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        sys.exit("docs/reference/zoo.md is not current; run python scripts/make_zoo_page.py")


def page() -> str:
    """Return the whole page."""
    specs = sorted(map(get_block, list_available_blocks()), key=lambda spec: spec.family)
    families = [(name, list(members)) for name, members in groupby(specs, lambda s: s.family)]
    head = INTRODUCTION.format(count=len(specs), families=len(families))
    return head + "".join(section(name, members) for name, members in families)


def section(family: str, specs: Iterable[BlockSpec]) -> str:
    """Return one family's heading and table."""
    lines = [
        f"\n## {family}\n",
        "| block | year | paper | licence | checked by | formula | knob | early | mid | late |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *map(row, specs),
    ]
    return "\n".join(lines) + "\n"


def row(spec: BlockSpec) -> str:
    """Return one block's row."""
    names = f"**{spec.name}**" + "".join(f"<br>{alias}" for alias in spec.aliases)
    paper, formula = paper_link(spec.paper), f"`{spec.formula}`"
    cells = [names, str(spec.year), paper, spec.licence, spec.evidence, formula, spec.knob]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in (*cells, *costs(spec))) + " |"


def paper_link(paper: str) -> str:
    """Return a link where the paper is an arXiv number."""
    if ARXIV.fullmatch(paper):
        return f"[arXiv:{paper}](https://arxiv.org/abs/{paper})"
    return paper


def costs(spec: BlockSpec) -> list[str]:
    """Return the cost at each position."""
    cells = []
    for position in POSITIONS:
        cost = stage_cost(spec, position)
        cell = f"{cost.deploy.params_total / 1e3:,.1f} / {cost.deploy.macs / 1e6:,.1f}"
        if cost.train != cost.deploy:
            cell += f"<br>({cost.train.params_total / 1e3:,.1f} / {cost.train.macs / 1e6:,.1f})"
        cells.append(cell)
    return cells


if __name__ == "__main__":
    main()
