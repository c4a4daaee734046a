"""What pages show of the zoo's structures: made beforehand, for following a graph takes seconds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from markupsafe import Markup

from blockzoo.measure.costs.graph import Graph, Node
from blockzoo.report.figures.diagram import svg_drawing, text_drawing
from blockzoo.report.site.pages import asset


@dataclass(frozen=True, kw_only=True)
class Structure:
    """A block's receptive field, its graph drawn and in text; `traced` as of the graph."""

    field: str
    drawing: Markup
    text: str
    traced: bool


@cache
def _known() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(asset("structures.json"))
    return found


def structure_of(block: str) -> Structure | None:
    """Return the structure of a block of the zoo; None of another.

    >>> structure_of("RepVGGBlock").field, structure_of("mine.py:Mine")
    ('3×3', None)
    """
    found = _known().get(block)
    if found is None:
        return None
    nodes = tuple(
        Node(label=label, kind=kind, shape=tuple(shape), inputs=tuple(inputs))
        for label, kind, shape, inputs in found["nodes"]
    )
    graph = Graph(nodes=nodes, traced=found["traced"])
    # Our own drawing of our own labels; it escapes what it writes.
    drawing = Markup(svg_drawing(graph, f"Structure of {block}"))
    return Structure(
        field=found["field"], drawing=drawing, text=text_drawing(graph), traced=found["traced"]
    )
