"""What pages say of the zoo and of protocols: made beforehand, for to ask either loads torch.

`scripts/make_site_facts.py` writes the file; a static check makes it again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from blockzoo.core.names import published_name
from blockzoo.report.site.pages import asset


@dataclass(frozen=True, kw_only=True)
class BlockFacts:
    """What the zoo knows of a block; the fields are those of its `BlockSpec`."""

    family: str
    year: int
    paper: str
    source: str
    licence: str
    formula: str
    evidence: str
    reparameterisable: bool
    aliases: tuple[str, ...]
    notes: str


@cache
def _known() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(asset("facts.json"))
    return found


@cache
def block_facts(block: str) -> BlockFacts | None:
    """Return what the zoo knows of a block; None of a user's, whose code is never run for a page.

    >>> block_facts("RepVGGBlock").year, block_facts("mine.py:Mine")
    (2021, None)
    """
    found = _known()["blocks"].get(published_name(block))
    return None if found is None else BlockFacts(**{**found, "aliases": tuple(found["aliases"])})


def usual_dataset(protocol: str) -> str | None:
    """Return the data set that a protocol names; None of a label that is no protocol's name.

    >>> usual_dataset("v1"), usual_dataset("v1~3f2a9c")
    ('cifar100', None)
    """
    found: str | None = _known()["protocols"].get(protocol)
    return found
