"""Write what the pages of blocks show of the zoo's structures, which takes too long for each build.

    python scripts/make_block_structures.py            all blocks; those that are there stay
    python scripts/make_block_structures.py --anew     all of them again

The file is src/blockzoo/report/site/assets/structures.json. A test makes some of it again.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from blockzoo.blocks import BlockSpec, get_block, list_available_blocks, to_deploy
from blockzoo.core.errors import BlockError
from blockzoo.core.position import Position
from blockzoo.experiments.theory import PROBE_WIDTH, block_graph
from blockzoo.measure.costs.receptive_field import ReceptiveField, receptive_field
from blockzoo.scaffold.net import ScaffoldConfig
from blockzoo.scaffold.placement import Placement

OUT = Path(__file__).parents[1] / "src/blockzoo/report/site/assets/structures.json"


def main() -> None:
    """Write the file, after each block anew: it takes long."""
    found: dict[str, Any] = {}
    if OUT.is_file() and "--anew" not in sys.argv:
        found = json.loads(OUT.read_text(encoding="utf-8"))
    for spec in map(get_block, list_available_blocks()):
        if spec.name not in found:
            found[spec.name] = structure(spec)
            write(found)


def write(found: dict[str, Any]) -> None:
    """Write the structures, a line for each block."""
    lines = [
        f"{json.dumps(name)}: {json.dumps(found[name], ensure_ascii=False, separators=(',', ':'))}"
        for name in sorted(found)
    ]
    OUT.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def structure(spec: BlockSpec) -> dict[str, Any]:
    """Return the graph of the first block of the mid stage, and how far one at stride 1 sees."""
    graph = block_graph(spec, Position.MID)
    return {
        "field": str(field(spec)),
        "traced": graph.traced,
        "nodes": [
            [node.label, node.kind, list(node.shape), list(node.inputs)] for node in graph.nodes
        ],
    }


def field(spec: BlockSpec) -> ReceptiveField:
    """Return the receptive field of one block at stride 1, in deploy form."""
    config = ScaffoldConfig(depth=1, width=PROBE_WIDTH)
    try:
        net = Placement.of(spec, Position.EARLY, config).build()
    except BlockError:  # some refuse so few channels
        net = Placement.of(spec, Position.EARLY, ScaffoldConfig(depth=1)).build()
    channels = net.config.stage_shape(Position.EARLY)[0]
    return receptive_field(to_deploy(net.stage(Position.EARLY)), channels)


if __name__ == "__main__":
    main()
