"""Text from elsewhere, such as names, reasons and files, as a terminal or a page may show it."""

from __future__ import annotations

import re

# Control characters, line and paragraph separators, what turns the direction of writing round
# (with which a name can look like another), and halves of surrogate pairs, which no encoding has.
_UNSEEN = r"\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_ANY = re.compile(f"[{_UNSEEN}]")
_ANY_IN_LINES = re.compile(rf"(?![\n\t])[{_UNSEEN}]")


def visible(text: str, *, lines: bool = False) -> str:
    r"""Return the text with everything that does not show escaped; `lines` keeps breaks and tabs.

    >>> visible("\x1b[31mRepMixer")
    '\\x1b[31mRepMixer'
    >>> visible("one\ntwo\x07", lines=True)
    'one\ntwo\\x07'
    """
    return (_ANY_IN_LINES if lines else _ANY).sub(_escaped, text)


def counted(count: int, noun: str, of: str = "") -> str:
    """Return how many of what, in words.

    >>> counted(1, "session", " of latencies"), counted(1234, "block")
    ('1 session of latencies', '1,234 blocks')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}{of}"


def is_visible(text: str) -> bool:
    r"""Tell whether all of the text shows.

    >>> is_visible("Größe 3"), is_visible("two\nlines")
    (True, False)
    """
    return _ANY.search(text) is None


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()
