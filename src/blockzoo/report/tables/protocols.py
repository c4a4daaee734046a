"""Protocols as tables: which there are, and what one holds."""

from __future__ import annotations

from collections.abc import Sequence

from blockzoo.experiments.protocol import Protocol
from blockzoo.experiments.protocol_settings import ShownProtocol
from blockzoo.report.tables.fitting import FittedTable
from blockzoo.report.tables.layout import Kind


def protocols_table(protocols: Sequence[Protocol]) -> FittedTable:
    """Return a row for each protocol.

    >>> from blockzoo.experiments.protocol import get_protocol
    >>> [cell.text for cell in protocols_table([get_protocol("quick")]).rows[0].cells[:4]]
    ['quick', 'digits', 'ResNetBasicBlock', '2']
    """
    numbers: dict[str, Kind] = dict.fromkeys(
        ("depth", "width", "epochs", "seeds", "blocks"), "number"
    )
    table = FittedTable(
        title="",
        columns={"protocol": "label", "data": "label", "context": "name", **numbers},
        dispensable=("blocks", "seeds", "depth"),
        caption="a name with ~ and six digits is one of these, changed: `blockzoo protocol show`",
    )
    for each in protocols:
        counts = (each.depth, each.width, each.recipe.epochs, len(each.seeds), len(each.blocks))
        table.add_row(each.label, each.dataset, each.context, *map(str, counts))
    return table


def protocol_table(shown: ShownProtocol) -> FittedTable:
    """Return a row for each setting, with its value in the published protocol where it differs.

    >>> from blockzoo.experiments.protocol_settings import shown
    >>> list(protocol_table(shown("v1", ["width=32"])).columns)
    ['setting', 'value', 'v1']
    """
    published: dict[str, Kind] = {shown.base.label: "text"} if shown.base else {}
    table = FittedTable(
        title=f"Protocol {shown.label}",
        columns={"setting": "label", "value": "text", **published},
    )
    for name, value in shown.settings.items():
        changed = shown.changed.get(name)
        base = [_words(changed[1]) if changed else ""] if shown.base else []
        table.add_row(name.replace("_", " "), _words(value), *base, style="bold" * bool(changed))
    return table


def change_line(shown: ShownProtocol) -> str:
    """Return in one sentence what a changed protocol has changed.

    >>> from blockzoo.experiments.protocol_settings import shown
    >>> change_line(shown("v1", ["width=32"])).partition(" is ")[2]
    'v1 with width 32 (v1: 64)'
    """
    if shown.base is None:
        return f"{shown.label} is a published protocol"
    said = [
        f"{name.replace('_', ' ')} {_words(value)} ({shown.base.label}: {_words(published)})"
        for name, (value, published) in shown.changed.items()
    ]
    line = f"{shown.label} is {shown.base.label} with {', '.join(said) or 'nothing changed'}"
    if shown.complete:
        return line
    return f"{line}; records do not keep all that it may have changed, such as the split"


def _words(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(value)
