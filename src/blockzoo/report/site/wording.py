"""How the pages of the board write numbers, dates and intervals, and what they call their files."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timezone

from blockzoo.core.text import visible

NOTHING = "–"
"""Stands where a value is not known."""
_STEPS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_LONGEST_STEM = 60


def number_text(value: float | None, digits: int = 2) -> str:
    """Return a number with so many decimals.

    >>> number_text(1234.5, 1), number_text(None)
    ('1,234.5', '–')
    """
    return NOTHING if value is None else f"{value:,.{digits}f}"


def count_text(value: float | None) -> str:
    """Return a count in three digits and a letter for thousands, millions and so on.

    >>> count_text(2359296), count_text(650), count_text(None)
    ('2.36 M', '650', '–')
    """
    if value is None:
        return NOTHING
    for step, letter in _STEPS:
        if abs(value) >= step:
            return f"{_three_digits(value / step)} {letter}"
    return f"{value:g}"


def _three_digits(value: float) -> str:
    return f"{value:.{2 if abs(value) < 10 else 1 if abs(value) < 100 else 0}f}"


def percent_text(value: float | None) -> str:
    """Return a fraction of 1 in percent.

    >>> percent_text(0.9452)
    '94.52'
    """
    return number_text(None if value is None else 100 * value)


def interval_text(
    low: float | None, high: float | None, *, scale: float = 1.0, digits: int = 2
) -> str:
    """Return both ends of an interval; the mark of nothing where there is none.

    >>> interval_text(0.9, 0.95, scale=100), interval_text(None, None)
    ('90.00 to 95.00', '–')
    """
    if low is None or high is None:
        return NOTHING
    return f"{scale * low:,.{digits}f} to {scale * high:,.{digits}f}"


def verdict_text(status: str, reason: str | None, verdict: str | None, why: str) -> str:
    """Return what came of a timing: its verdict with why, or how it failed.

    >>> verdict_text("ok", None, "undecided", "noisy"), verdict_text("failed", "heat", None, "")
    ('undecided (noisy)', 'failed: heat')
    """
    if status == "failed":
        return f"failed: {reason or 'no reason was kept'}"
    return f"{verdict or NOTHING} ({why})" if why else verdict or NOTHING


def megabytes_text(size_bytes: float | None) -> str:
    """Return bytes in megabytes of a million.

    >>> megabytes_text(2_500_000)
    '2.50'
    """
    return number_text(None if size_bytes is None else size_bytes / 1e6)


def date_text(moment: datetime) -> str:
    """Return the day, in UTC.

    >>> date_text(datetime(2026, 1, 2, 23, 59, tzinfo=timezone.utc))
    '2026-01-02'
    """
    return moment.astimezone(timezone.utc).date().isoformat()


def plain(text: object) -> str:
    r"""Return text of others as a page may show it, with what does not show escaped.

    >>> plain("\x1b[31mred\u202e")
    '\\x1b[31mred\\u202e'
    """
    return visible(str(text), lines=True)


def file_stem(name: str) -> str:
    """Return the name of the page of a block or a protocol, whatever letters its own name has.

    The digest keeps names apart that differ in letters which no file name has, or in case alone.

    >>> file_stem("classic/RepVGG"), file_stem("../x.py:A") != file_stem("..-x.py:A")
    ('classic-repvgg-fddd84d4', True)
    """
    letters = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:_LONGEST_STEM]
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{letters}-{digest}" if letters else digest
