"""How results show themselves: one line in a shell, a small table in a notebook.

A result has dozens of fields; these are the few by which one is told from another. All of a record
is in `model_dump()`, all of a dataclass in `dataclasses.asdict`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from html import escape

from blockzoo.core.text import visible

Facts = Mapping[str, str | None]
"""What is shown, by its name, in order; None and "" are left out."""

_LONGEST = 120
"""Characters of a value that a line shows; a reason may have many lines of its own."""


class Displayed:
    """A result that shows its most important facts, as a line and as a table.

    >>> class Weight(Displayed):
    ...     def _facts(self) -> Facts:
    ...         return {"of": "<b>stone</b>", "mass": "2 kg", "colour": None}
    >>> Weight()
    <Weight: of <b>stone</b>, mass 2 kg>
    >>> Weight()._repr_html_().count("&lt;b&gt;")
    1
    """

    @abstractmethod
    def _facts(self) -> Facts:
        """Return four to eight facts, the name of what it is of first."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {', '.join(f'{k} {v}' for k, v in self._shown())}>"

    def __str__(self) -> str:
        # What is inherited beside this may have a longer one.
        return repr(self)

    def _repr_html_(self) -> str:
        """Return the table that notebooks show; what users named is escaped."""
        rows = "".join(
            f'<tr><th style="text-align: left">{escape(name)}</th>'
            f'<td style="text-align: left">{escape(value)}</td></tr>'
            for name, value in self._shown()
        )
        title = escape(type(self).__name__)
        return f"<table><caption>{title}</caption><tbody>{rows}</tbody></table>"

    def _shown(self) -> Iterable[tuple[str, str]]:
        for name, value in self._facts().items():
            if value:
                first = visible(value.partition("\n")[0])
                yield name, first if len(first) <= _LONGEST else f"{first[: _LONGEST - 1]}…"


def number(value: float | None, unit: str = "") -> str | None:
    """Return a number for people, whole ones in full and others with four digits; None of None.

    >>> number(1234567), number(0.123456, " ms"), number(None)
    ('1,234,567', '0.1235 ms', None)
    """
    if value is None:
        return None
    return (f"{value:,}" if isinstance(value, int) else f"{value:.4g}") + unit


def megabytes(size_bytes: int | None) -> str | None:
    """Return a size in MB of 1,000,000 bytes, as tables have it; None of None.

    >>> megabytes(1_234_567)
    '1.2 MB'
    """
    return None if size_bytes is None else f"{size_bytes / 1e6:,.1f} MB"


def percent(fraction: float | None) -> str | None:
    """Return a fraction of 1 in percent; None of None.

    >>> percent(0.91251)
    '91.25%'
    """
    return None if fraction is None else f"{fraction:.2%}"


def ranged(value: float | None, interval: tuple[float, float] | None, unit: str = "") -> str | None:
    """Return a value with its 95% interval, where it has one; None of None.

    >>> ranged(3.2109, (3.1, 3.3), " ms"), ranged(3.2109, None, " ms")
    ('3.211 ms [3.1, 3.3]', '3.211 ms')
    """
    if value is None or interval is None:
        return number(value, unit)
    low, high = interval
    return f"{value:.4g}{unit} [{low:.4g}, {high:.4g}]"
