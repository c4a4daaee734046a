"""The pages of the docs and the README, and the commands and snippets that stand in them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if "_build" not in path.parts
}
"""Text of every page by its path."""
_FENCE = re.compile(r"(?:<!-- (slow|not run): [^\n]+ -->\n)?```(\w+)\n(.*?)^```", re.M | re.S)
_INLINE = re.compile(r"`(blockzoo [^`]+)`")


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block: its language, its text, and what a comment before it says of running it."""

    language: str
    text: str
    mark: str


def blocks(page: str, language: str) -> list[Block]:
    """Return the fenced blocks of a page in that language."""
    found = (
        Block(mark=mark, language=name, text=text) for mark, name, text in _FENCE.findall(page)
    )
    return [block for block in found if block.language == language]


def commands(page: str) -> list[tuple[str, ...]]:
    """Return the arguments of each `blockzoo` command in the fenced blocks of a page.

    Of a line with several commands, or one whose output goes to a file, each command by itself.
    """
    found = []
    for block in blocks(page, "sh"):
        for line in block.text.splitlines():
            lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
            lexer.whitespace_split = True
            parts: list[list[str]] = [[]]
            for word in lexer:
                if set(word) <= set("&|;>"):
                    parts.append([])
                else:
                    parts[-1].append(word)
            found += [tuple(part[1:]) for part in parts if part and part[0] == "blockzoo"]
    return found


def inline_commands(page: str) -> list[str]:
    """Return what the text of a page calls `blockzoo ...`, line breaks taken out."""
    text = _FENCE.sub("", page)
    return [" ".join(found.split()) for found in _INLINE.findall(text)]
