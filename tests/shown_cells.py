"""What the tables say that results show in notebooks, read as a browser reads them."""

from __future__ import annotations

from html.parser import HTMLParser

from blockzoo.core.display import Displayed

SCRIPT = "<script>alert('x')</script>&\"quoted\""
"""A name that would run in a page that does not escape it."""


class _Cells(HTMLParser):
    """Reads tags and what the cells say, as a browser does."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.cells: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.cells.append(data)


def cells_of(value: Displayed) -> list[str]:
    """Return the texts of a result's table; all tags in it are the table's own."""
    read = _Cells(value._repr_html_())
    assert {*read.tags} == {"table", "caption", "tbody", "tr", "th", "td"}
    return read.cells
