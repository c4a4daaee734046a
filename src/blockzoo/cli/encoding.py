"""What standard output does with letters that its encoding does not have."""

from __future__ import annotations

import codecs
import io
import sys

_NAME = "blockzoo"
# What BlockZoo and the libraries that draw its tables and help use.
_INSTEAD = {
    **{
        "×": "x",
        "±": "+-",
        "…": "...",
        "•": "*",
        "●": "o",
        "–": "-",
        "—": "-",
        "−": "-",
        "·": ".",
        "÷": "/",
        "√": "sqrt",
        "²": "2",
    },
    **dict.fromkeys("─━═╌╴╶╸╺", "-"),
    **dict.fromkeys("│┃║╎", "|"),
    **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╯╰╔╗╚╝╠╣╦╩╬┏┓┗┛┣┫┳┻╋┡┩╇╈╞╡╪", "+"),
    **{"↑": "^", "↓": "v", "←": "<", "→": ">", "▲": "^", "▼": "v"},
}


def show_what_can_be_shown() -> None:
    """Have standard output and error replace what they cannot show, instead of raising.

    A letter that looks like it stands in, or else its code as in Python, `\\u79ef`.
    """
    codecs.register_error(_NAME, _replaced)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_NAME)


def _replaced(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    unknown = error.object[error.start : error.end]
    text = "".join(_INSTEAD.get(letter) or _code(letter) for letter in unknown)
    return text, error.end


def _code(letter: str) -> str:
    return letter.encode("ascii", "backslashreplace").decode()
