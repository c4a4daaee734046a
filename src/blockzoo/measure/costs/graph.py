"""A network's structure as plain data: what is computed from what, in which shapes; no torch.

Drawings are made from it, so it must be readable where torch may not be imported.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["input", "output", "layer", "pointwise", "join", "other"]


@dataclass(frozen=True, kw_only=True)
class Node:
    """One operation: its label and the shape of its (first) output, without the batch."""

    label: str
    kind: Kind
    shape: tuple[int, ...]
    inputs: tuple[int, ...]

    @property
    def shape_text(self) -> str:
        """The shape as "64×32×32"."""
        return "×".join(map(str, self.shape))


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Nodes in an order in which they can be computed; `inputs` of a node index into them.

    `traced` is False where the operations could not be followed and the nodes are the module's
    layers in the order of their definition instead.
    """

    nodes: tuple[Node, ...]
    traced: bool = True

    @property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """All (from, to), sorted by target."""
        return tuple(
            (source, target) for target, node in enumerate(self.nodes) for source in node.inputs
        )


def keep_between(nodes: Iterable[Node], first: int, last: int) -> tuple[Node, ...]:
    """Return the nodes on some path from `first` to `last`; the others, and their edges, go.

    >>> a = Node(label="a", kind="layer", shape=(), inputs=())
    >>> b, c = (Node(label=label, kind="layer", shape=(), inputs=(0,)) for label in "bc")
    >>> [node.label for node in keep_between([a, b, c], 0, 2)]  # nothing reads b
    ['a', 'c']
    """
    every = list(nodes)
    # Nodes stand in the order of their computation, so one pass each way follows every path.
    reached = {first}
    for index, node in enumerate(every):
        if reached.intersection(node.inputs):
            reached.add(index)
    needed = {last}
    for index in range(last, -1, -1):
        if index in needed:
            needed.update(every[index].inputs)
    kept = sorted(reached & needed)
    if last not in kept:
        return ()
    return _renumbered(every, {old: new for new, old in enumerate(kept)})


def folded(graph: Graph) -> Graph:
    """Return the graph with chains made short: an activation joins the layer that feeds it.

    A pointwise node whose only input feeds nothing else is written behind that input's label.

    >>> conv = Node(label="conv", kind="layer", shape=(8, 4, 4), inputs=())
    >>> relu = Node(label="ReLU", kind="pointwise", shape=(8, 4, 4), inputs=(0,))
    >>> [node.label for node in folded(Graph(nodes=(conv, relu))).nodes]
    ['conv · ReLU']
    """
    nodes = list(graph.nodes)
    uses = [0] * len(nodes)
    for source, _ in graph.edges:
        uses[source] += 1
    stands_for = list(range(len(nodes)))
    for index, node in enumerate(nodes):
        if node.kind != "pointwise" or len(node.inputs) != 1 or uses[node.inputs[0]] != 1:
            continue
        host = stands_for[node.inputs[0]]
        if nodes[host].kind != "input":
            label = f"{nodes[host].label} · {node.label}"
            nodes[host] = replace(nodes[host], label=label, shape=node.shape)
            stands_for[index] = host
    kept = [index for index, host in enumerate(stands_for) if index == host]
    place = {old: new for new, old in enumerate(kept)}
    every = {index: place[host] for index, host in enumerate(stands_for)}
    return replace(graph, nodes=_renumbered(nodes, place, every))


def _renumbered(
    nodes: list[Node], kept: dict[int, int], place: dict[int, int] | None = None
) -> tuple[Node, ...]:
    """Return the kept nodes; `place` says where each node's inputs now are, if not by `kept`."""
    places = kept if place is None else place
    return tuple(
        replace(
            nodes[old],
            inputs=tuple(dict.fromkeys(places[i] for i in nodes[old].inputs if i in places)),
        )
        for old in kept
    )
