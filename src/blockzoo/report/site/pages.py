"""Pages as text: a template filled with what it shows, its style, its scripts and its policy."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from blockzoo.report.site.embedding import content_policy, verbatim
from blockzoo.report.site.parts import is_brief

_FOLDER = Path(__file__).parent
ASSETS = _FOLDER / "assets"
STYLE = "site.css"
PLOT_STYLE = "plot.css"
"""The style that Observable Plot puts into each of its drawings."""


@cache
def _environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters["brief"] = is_brief
    return found


@cache
def asset(name: str) -> str:
    """Return the text of a style or a script.

    >>> ":root" in asset(STYLE)
    True
    """
    return (ASSETS / name).read_text(encoding="utf-8")


def filled(
    template: str,
    values: Mapping[str, object],
    *,
    root: str = "",
    script: str | None = None,
    styles: tuple[str, ...] = (),
) -> str:
    """Return the page that a template makes of the values.

    Args:
        template: Its file's name.
        values: What it shows, by name.
        root: What leads from the page to the folder of the site.
        script: The asset that the page runs; None for none.
        styles: Assets whose text the script puts into the page as style.

    Example:
        >>> from blockzoo.report.site.parts import Table
        >>> none = Table(caption="All blocks", columns=(), rows=())
        >>> page = filled("blocks.html", {"title": "Blocks", "dated": "", "listed": none})
        >>> page.startswith("<!doctype html>"), "default-src" in page
        (True, True)
    """
    style = asset(STYLE)
    code = None if script is None else asset(script)
    policy = content_policy([style, *map(asset, styles)], [] if code is None else [code])
    return (
        _environment()
        .get_template(template)
        .render(
            **values,
            root=root,
            policy=policy,
            style=verbatim(style),
            script=None if code is None else verbatim(code),
        )
    )
