"""Write what the board says of the zoo and of protocols, so that to build it loads no torch.

    python scripts/make_site_facts.py [--check]

The file is src/blockzoo/report/site/assets/facts.json. With --check nothing is written; the exit
status is 1 if it is not current.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from blockzoo.blocks import get_block, list_available_blocks
from blockzoo.experiments.protocol import get_protocol, protocol_names
from blockzoo.report.site.facts import BlockFacts

OUT = Path(__file__).resolve().parent.parent / "src/blockzoo/report/site/assets/facts.json"


def main() -> None:
    """Write or check the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare; write nothing")
    text = written(found())
    if not parser.parse_args().check:
        OUT.write_text(text, encoding="utf-8")
    elif OUT.read_text(encoding="utf-8") != text:
        sys.exit(f"{OUT.name} is not current; run python scripts/make_site_facts.py")


def found() -> dict[str, dict[str, Any]]:
    """Return the facts of all blocks, and the data set of each protocol."""
    names = [field.name for field in fields(BlockFacts)]
    specs = {name: get_block(name) for name in sorted(list_available_blocks())}
    return {
        "blocks": {
            block: {name: getattr(spec, name) for name in names} for block, spec in specs.items()
        },
        "protocols": {name: get_protocol(name).dataset for name in protocol_names()},
    }


def written(facts: dict[str, dict[str, Any]]) -> str:
    """Return the text of the file, a line for each block or protocol."""
    parts = (
        f'"{part}": {{\n'
        + ",\n".join(
            f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}"
            for name, value in entries.items()
        )
        + "\n}"
        for part, entries in facts.items()
    )
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    main()
