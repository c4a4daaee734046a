"""Write docs/pictures/*.svg: the scaffold, a sweep and a latency session, for light and dark pages.

    python scripts/make_pictures.py [--check]

With --check nothing is written; the exit status is 1 if a picture is not current.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "docs/pictures"
WIDTH = 560
"""Of all pictures, so that their text is of one size; narrow, so that a phone can show it."""


@dataclass(frozen=True, kw_only=True)
class Palette:
    """Colours of a picture: text, boxes, arrows, and three networks that are told apart."""

    text: str
    faint: str
    fill: str
    accent: str
    accent_fill: str
    networks: tuple[str, str, str]


PALETTES = {
    "light": Palette(
        text="#1f2933",
        faint="#52606d",
        fill="#f2f4f7",
        accent="#1d5fa8",
        accent_fill="#dbeafe",
        networks=("#0072b2", "#d55e00", "#009e73"),
    ),
    "dark": Palette(
        text="#e8ebef",
        faint="#a9b4c0",
        fill="#262c35",
        accent="#79b8ff",
        accent_fill="#1c3a5e",
        networks=("#56b4e9", "#e69f00", "#2fbf95"),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Pen:
    """Draws parts of a picture as lines of SVG; coordinates in pixels of a `WIDTH` wide picture."""

    colours: Palette

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        size: int = 15,
        faint: bool = False,
        bold: bool = False,
    ) -> str:
        """Return words whose middle is at (x, y)."""
        colour = self.colours.faint if faint else self.colours.text
        weight = ' font-weight="600"' if bold else ""
        return (
            f'<text x="{x:g}" y="{y + size * 0.35:g}" font-size="{size}" fill="{colour}" '
            f'text-anchor="middle"{weight}>{escape(words)}</text>'
        )

    def rectangle(
        self, x: float, y: float, width: float, height: float, *, accent: bool = False
    ) -> str:
        """Return a box with round corners, its upper left corner at (x, y)."""
        fill = self.colours.accent_fill if accent else self.colours.fill
        stroke = self.colours.accent if accent else self.colours.faint
        return (
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6" '
            f'fill="{fill}" stroke="{stroke}" stroke-width="{2 if accent else 1.2}"/>'
        )

    def box(
        self, x: float, y: float, width: float, height: float, *lines: str, accent: bool = False
    ) -> Iterator[str]:
        """Yield a box with lines of text in its middle, the first one bold."""
        yield self.rectangle(x, y, width, height, accent=accent)
        top = y + height / 2 - (len(lines) - 1) * 9.5
        for index, line in enumerate(lines):
            first = index == 0
            yield self.text(
                x + width / 2, top + 19 * index, line,
                size=15 if first else 13, faint=not first, bold=first,
            )  # fmt: skip

    def arrow(self, *points: tuple[float, float]) -> str:
        """Return a line through the points with a head at its end."""
        way = " ".join(f"{x:g},{y:g}" for x, y in points)
        return (
            f'<polyline points="{way}" fill="none" stroke="{self.colours.faint}" '
            'stroke-width="1.6" marker-end="url(#head)"/>'
        )


def scaffold(pen: Pen) -> Iterator[str]:
    """Yield the network: stem, three stages of three blocks, head; and the three positions."""
    middle = 92
    yield from pen.box(2, middle - 26, 62, 52, "image", "32×32")
    yield from pen.box(82, middle - 26, 62, 52, "stem", "3×3")
    stages = (("early", "64 × 32×32"), ("mid", "128 × 16×16"), ("late", "256 × 8×8"))
    for index, (name, shape) in enumerate(stages):
        left, tested = 162 + 108 * index, name == "mid"
        yield pen.text(left + 45, 14, name, bold=True)
        yield pen.rectangle(left, 28, 90, 128, accent=tested)
        for block in range(3):
            yield pen.rectangle(left + 12, 38 + 38 * block, 66, 30, accent=tested)
        yield pen.text(left + 45, 92, "block" if tested else "context", size=13)
        yield pen.text(left + 45, 172, shape, size=13, faint=True)
        yield pen.arrow((left - 18, middle), (left - 2, middle))
    yield pen.arrow((64, middle), (80, middle))
    yield pen.arrow((468, middle), (484, middle))
    yield from pen.box(486, middle - 26, 72, 52, "head", "linear")
    yield pen.text(
        WIDTH / 2, 206, "The block under test stands at one position at a time:", faint=True
    )
    for variant in range(3):
        left = 62 + 158 * variant
        for index in range(3):
            yield pen.rectangle(left + 36 * index, 226, 30, 30, accent=index == variant)
        yield pen.text(left + 51, 272, stages[variant][0], size=14)


def sweep(pen: Pen) -> Iterator[str]:
    """Yield how a sweep goes: a plan of what is missing, three kinds of trials, one store."""
    yield from pen.box(60, 6, 170, 50, "protocol, blocks", "what to compare")
    yield pen.arrow((230, 31), (268, 31))
    yield from pen.box(270, 6, 230, 50, "plan", "what the store does not hold", accent=True)
    yield pen.arrow((385, 56), (385, 74), (145, 74), (145, 94))
    columns = (
        (60, "costs", "exact counts"),
        (220, "latencies", "one session a position"),
        (402, "trainings", "seed by seed"),
    )
    for (left, name, what), width in zip(columns, (130, 152, 130), strict=True):
        yield from pen.box(left, 96, width, 56, name, what)
    yield pen.arrow((190, 124), (218, 124))
    yield pen.arrow((372, 124), (400, 124))
    yield pen.arrow((467, 152), (467, 170), (240, 170), (240, 190))
    yield from pen.box(130, 192, 220, 50, "store", "one transaction a record", accent=True)
    yield pen.arrow((350, 217), (388, 217))
    yield from pen.box(390, 192, 142, 50, "results", "table, plots, CSV")
    yield pen.arrow((130, 217), (26, 217), (26, 262), (540, 262), (540, 31), (502, 31))
    yield pen.text(284, 278, "stopped? run it again: only what is missing", size=14, faint=True)


ROUNDS = ("ABC CAB BAC ACB BCA", "BCA ABC CBA BAC CAB", "CBA BAC ACB ABC BCA")
"""Three processes' rounds: in each every network once, in random order."""


def latency(pen: Pen) -> Iterator[str]:
    """Yield a latency session: gates, rounds in several processes, ratios by round, a verdict."""
    steps = ("merge branches", "fold norms", "same output?")
    for index, step in enumerate(steps):
        yield from pen.box(12 + 184 * index, 6, 168, 36, step, accent=index == 2)
        if index:
            yield pen.arrow((12 + 184 * index - 16, 24), (12 + 184 * index - 2, 24))
    yield pen.arrow((464, 42), (464, 54), (WIDTH / 2, 54), (WIDTH / 2, 66))
    yield pen.text(
        WIDTH / 2, 76, "rounds in fresh processes, each network once a round", size=14, faint=True
    )
    for process, rounds in enumerate(ROUNDS):
        top = 92 + 38 * process
        yield pen.text(52, top + 14, f"process {process + 1}", size=14)
        for place, letters in enumerate(rounds.split()):
            for spot, letter in enumerate(letters):
                yield from _sample(pen, 108 + 88 * place + 26 * spot, top, letter)
    yield pen.arrow((WIDTH / 2, 206), (WIDTH / 2, 226))
    yield from pen.box(12, 228, 168, 50, "ratio to baseline", "within each round")
    yield pen.arrow((180, 253), (194, 253))
    yield from pen.box(196, 228, 168, 50, "95% interval", "over processes")
    yield pen.arrow((364, 253), (378, 253))
    yield from pen.box(380, 228, 168, 50, "verdict", "faster, slower, same?", accent=True)


def _sample(pen: Pen, x: float, y: float, letter: str) -> Iterator[str]:
    """Yield one sample of the network A, B or C."""
    colour = pen.colours.networks["ABC".index(letter)]
    yield f'<rect x="{x}" y="{y}" width="24" height="28" rx="3" fill="{colour}"/>'
    ink = "#ffffff" if pen.colours is PALETTES["light"] else "#10151b"
    yield (
        f'<text x="{x + 12}" y="{y + 19}" font-size="14" font-weight="600" fill="{ink}" '
        f'text-anchor="middle">{letter}</text>'
    )


PICTURES: dict[str, tuple[int, Callable[[Pen], Iterator[str]]]] = {
    "scaffold": (286, scaffold),
    "sweep": (290, sweep),
    "latency": (284, latency),
}
"""By name: height, and what draws it."""


def picture(name: str, palette: str) -> str:
    """Return the whole SVG."""
    height, draw = PICTURES[name]
    pen = Pen(colours=PALETTES[palette])
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            f'width="{WIDTH}" height="{height}" font-family="system-ui, sans-serif">',
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" '
            f'markerHeight="6" orient="auto"><path d="M0,0 L8,4 L0,8 z" '
            f'fill="{pen.colours.faint}"/></marker></defs>',
            *draw(pen),
            "</svg>\n",
        )
    )


def main() -> None:
    """Write or check the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare; write nothing")
    checking = parser.parse_args().check
    for name in PICTURES:
        for palette in PALETTES:
            path, text = FOLDER / f"{name}-{palette}.svg", picture(name, palette)
            if not checking:
                path.write_text(text, encoding="utf-8")
            elif not path.exists() or path.read_text(encoding="utf-8") != text:
                sys.exit(f"{path.name} is not current; run python scripts/make_pictures.py")


if __name__ == "__main__":
    main()
