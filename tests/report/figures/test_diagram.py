from __future__ import annotations

from xml.etree import ElementTree

from blockzoo.measure.costs.graph import Graph, Kind, Node
from blockzoo.report.figures.diagram import svg_drawing, text_drawing

SVG = "{http://www.w3.org/2000/svg}"


def node(label: str, *inputs: int, kind: Kind = "layer") -> Node:
    return Node(label=label, kind=kind, shape=(4, 8, 8), inputs=inputs)


RESIDUAL = Graph(
    nodes=(
        node("input", kind="input"),
        node("conv 3×3", 0),
        node("BN", 1, kind="pointwise"),
        node("conv <1×1>", 2),
        node("+", 0, 3, kind="join"),
        node("output", 4, kind="output"),
    )
)
DENSE = Graph(nodes=(node("a"), node("b", 0), node("c", 0, 1), node("d", 0, 1, 2)))


def test_text_has_a_rail_for_each_value_that_is_still_needed() -> None:
    assert text_drawing(RESIDUAL).splitlines() == [
        "●    input          4×8×8",
        "├─●  conv 3×3 · BN  4×8×8",
        "│ ●  conv <1×1>     4×8×8",
        "●─╯  +              4×8×8",
        "●    output         4×8×8",
    ]


def test_text_joins_all_inputs_of_a_node() -> None:
    rails = [line.split("  ")[0].rstrip() for line in text_drawing(DENSE).splitlines()]
    assert rails == ["●", "├─●", "├─┼─●", "●─┴─╯"]


def test_svg_is_well_formed_with_a_box_for_each_node_and_a_line_for_each_edge() -> None:
    root = ElementTree.fromstring(svg_drawing(RESIDUAL, "A & B"))
    texts = [element.text for element in root.iter(f"{SVG}text")]
    assert root.findtext(f"{SVG}title") == "A & B"
    assert texts[::2] == ["input", "conv 3×3 · BN", "conv <1×1>", "+", "output"]
    assert len(root.findall(f"{SVG}path")) == 5


def test_svg_boxes_do_not_overlap_and_lie_within_the_page() -> None:
    root = ElementTree.fromstring(svg_drawing(DENSE, "dense"))
    page, *boxes = root.findall(f"{SVG}rect")
    sides = [(float(b.get("x", 0)), float(b.get("y", 0)), float(b.get("width", 0))) for b in boxes]
    assert all(x >= 0 and x + width <= float(page.get("width", 0)) for x, _, width in sides)
    assert [y for _, y, _ in sides] == sorted({y for _, y, _ in sides})
