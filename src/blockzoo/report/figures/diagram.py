"""A block's structure drawn: as text for a terminal, as SVG for a page. Takes a plain graph.

Both read downwards. In the text each running value has a rail, and a node sits on the rail of the
input it uses up last; in the SVG nodes stand in layers by their longest path from the input.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from xml.sax.saxutils import escape

from blockzoo.measure.costs.graph import Graph, Kind, Node, folded

_FILLS: dict[Kind, str] = {
    "input": "#FFFFFF",
    "output": "#FFFFFF",
    "layer": "#DCEBF7",
    "pointwise": "#E7F3E4",
    "join": "#FBE6D3",
    "other": "#EFEFEF",
}
_INK, _QUIET = "#222222", "#666666"
_ROW, _BOX_HEIGHT, _GAP, _MARGIN = 56.0, 34.0, 22.0, 16.0
# Pixels for a letter at font size 11, estimated, for nothing here can measure text.
_CHARACTER = 6.7
_LANE = 12.0


def text_drawing(graph: Graph) -> str:
    """Return one line per node: rails, label, output shape where it changes.

    >>> image = Node(label="input", kind="input", shape=(3, 8, 8), inputs=())
    >>> conv = Node(label="conv", kind="layer", shape=(4, 8, 8), inputs=(0,))
    >>> print(text_drawing(Graph(nodes=(image, conv))))
    ●  input  3×8×8
    ●  conv   4×8×8
    """
    nodes = folded(graph).nodes
    rows = list(zip(_rails(nodes), nodes, strict=True))
    width = max(len(rail) for rail, _ in rows)
    label_width = max(len(node.label) for node in nodes)
    lines = [
        f"{rail:<{width}}  {node.label:<{label_width}}  {node.shape_text}" for rail, node in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def _rails(nodes: tuple[Node, ...]) -> list[str]:
    """Return the rails beside each node; a column is free (None) or holds a node still needed."""
    # How many nodes still need each value; its rail ends with the last of them.
    left = [sum(index in node.inputs for node in nodes) for index in range(len(nodes))]
    columns: list[int | None] = []
    rows = []
    for index, node in enumerate(nodes):
        for source in node.inputs:
            left[source] -= 1
        entering = {column for column, held in enumerate(columns) if held in node.inputs}
        ending = {column for column in entering if not left[columns[column] or 0]}
        # A node takes the rail of an input that nothing else needs, so that chains are straight.
        own = min(ending, default=_free_column(columns))
        if own == len(columns):
            columns.append(None)
        rows.append(_rail_row(columns, own, entering, ending))
        for column in ending:
            columns[column] = None
        columns[own] = index if left[index] else None
        while columns and columns[-1] is None:
            columns.pop()
    return rows


def _free_column(columns: list[int | None]) -> int:
    return columns.index(None) if None in columns else len(columns)


def _rail_row(columns: list[int | None], own: int, entering: set[int], ending: set[int]) -> str:
    first, last = min(entering | {own}), max(entering | {own})
    cells = []
    for column, held in enumerate(columns):
        between = first < column < last
        if column == own:
            cell = "●"
        elif column in entering:
            cell = _joint(column < own, column in ending, between)
        elif held is not None:
            cell = "│"
        else:
            cell = "─" if between else " "
        cells.append(cell + ("─" if first <= column < last else " "))
    return "".join(cells).rstrip()


def _joint(is_left: bool, ends: bool, between: bool) -> str:
    if ends:
        return "┴" if between else ("╰" if is_left else "╯")
    return "┼" if between else ("├" if is_left else "┤")


@dataclass
class _Layout:
    """Where everything stands: centres of nodes, in pixels, and the points of each edge."""

    layers: list[int]
    widths: list[float]
    x: list[float]
    chains: list[list[int]] = field(default_factory=list)


def svg_drawing(graph: Graph, title: str) -> str:
    """Return the drawing as an SVG document with `title` as its accessible name."""
    nodes = folded(graph).nodes
    layout = _laid_out(nodes)
    width = max(x + w / 2 for x, w in zip(layout.x, layout.widths, strict=True)) + _MARGIN
    height = (max(layout.layers) + 1) * _ROW + 2 * _MARGIN - (_ROW - _BOX_HEIGHT)
    body = [_edge(chain, layout) for chain in layout.chains]
    body += [_box(node, index, layout) for index, node in enumerate(nodes)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{width:.0f}" '
            f'height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}" '
            'font-family="DejaVu Sans, Arial, sans-serif" font-size="11">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{width:.0f}" height="{height:.0f}" fill="white"/>',
            *body,
            "</svg>\n",
        ]
    )


def _laid_out(nodes: tuple[Node, ...]) -> _Layout:
    layout = _Layout(layers=[], widths=[], x=[])
    for node in nodes:
        layout.layers.append(max((layout.layers[i] + 1 for i in node.inputs), default=0))
        longest = max(len(node.label), len(node.shape_text))
        layout.widths.append(longest * _CHARACTER + 16)
    for target, node in enumerate(nodes):
        layout.chains += [_chain(source, target, layout) for source in node.inputs]
    _place(layout)
    return layout


def _chain(source: int, target: int, layout: _Layout) -> list[int]:
    """Return the edge as a chain with one thin stand-in in every layer that it passes."""
    chain = [source]
    for layer in range(layout.layers[source] + 1, layout.layers[target]):
        chain.append(len(layout.layers))
        layout.layers.append(layer)
        layout.widths.append(_LANE)
    return [*chain, target]


def _place(layout: _Layout) -> None:
    """Order each layer by the mean place of its neighbours, four sweeps, and centre the layers."""
    count = len(layout.layers)
    neighbours: list[list[int]] = [[] for _ in range(count)]
    for chain in layout.chains:
        for upper, lower in pairwise(chain):
            neighbours[upper].append(lower)
            neighbours[lower].append(upper)
    rows = [
        [i for i in range(count) if layout.layers[i] == n] for n in range(max(layout.layers) + 1)
    ]
    layout.x = [0.0] * count
    for row in rows:
        _spread(row, layout)
    # By turns by the layer above and the layer below (the barycentre method of K. Sugiyama et al.,
    # 1981); after four sweeps little changes.
    for sweep in range(4):
        down = sweep % 2 == 0
        for row in rows if down else rows[::-1]:
            _reorder(row, neighbours, layout, -1 if down else 1)
    # Until here around 0; pixels of an SVG begin at the margin.
    smallest = min(x - w / 2 for x, w in zip(layout.x, layout.widths, strict=True))
    layout.x = [x - smallest + _MARGIN for x in layout.x]


def _reorder(row: list[int], neighbours: list[list[int]], layout: _Layout, side: int) -> None:
    def wish(index: int) -> float:
        near = [
            layout.x[other]
            for other in neighbours[index]
            if layout.layers[other] == layout.layers[index] + side
        ]
        return sum(near) / len(near) if near else layout.x[index]

    wishes = {index: wish(index) for index in row}
    row.sort(key=lambda index: wishes[index])
    _spread(row, layout)
    # The row was just centred on 0; as a whole it goes where its nodes would be on average.
    shift = sum(wishes[index] - layout.x[index] for index in row) / len(row)
    for index in row:
        layout.x[index] += shift


def _spread(row: list[int], layout: _Layout) -> None:
    """Put the row's nodes side by side, centred on 0."""
    total = sum(layout.widths[index] for index in row) + _GAP * (len(row) - 1)
    left = -total / 2
    for index in row:
        layout.x[index] = left + layout.widths[index] / 2
        left += layout.widths[index] + _GAP


def _edge(chain: list[int], layout: _Layout) -> str:
    """Return a smooth line through the chain that ends in an arrow head."""
    points = [(layout.x[i], _MARGIN + layout.layers[i] * _ROW) for i in chain]
    first_x, first_y = points[0]
    path = [f"M{first_x:.1f},{first_y + _BOX_HEIGHT:.1f}"]
    for (from_x, from_y), (to_x, to_y) in pairwise(points):
        middle = (from_y + _BOX_HEIGHT + to_y) / 2
        path.append(f"C{from_x:.1f},{middle:.1f} {to_x:.1f},{middle:.1f} {to_x:.1f},{to_y:.1f}")
        if (to_x, to_y) != points[-1]:
            path.append(f"V{to_y + _BOX_HEIGHT:.1f}")
    end_x, end_y = points[-1]
    left, right, top = end_x - 3.5, end_x + 3.5, end_y - 6
    head = f"M{left:.1f},{top:.1f}L{end_x:.1f},{end_y:.1f}L{right:.1f},{top:.1f}"
    return f'<path d="{"".join(path)}{head}" fill="none" stroke="{_QUIET}" stroke-width="1.2"/>'


def _box(node: Node, index: int, layout: _Layout) -> str:
    x, y, width = layout.x[index], _MARGIN + layout.layers[index] * _ROW, layout.widths[index]
    return (
        f'<rect x="{x - width / 2:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_BOX_HEIGHT:.0f}" '
        f'rx="5" fill="{_FILLS[node.kind]}" stroke="{_QUIET}"/>'
        f'<text x="{x:.1f}" y="{y + 14:.1f}" text-anchor="middle" fill="{_INK}">'
        f"{escape(node.label)}</text>"
        f'<text x="{x:.1f}" y="{y + 27:.1f}" text-anchor="middle" fill="{_QUIET}" font-size="9">'
        f"{escape(node.shape_text)}</text>"
    )
