"""What a bundle is made of: its members, how large each may be, and its manifest."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from blockzoo.core.errors import BundleError
from blockzoo.core.text import visible

MANIFEST, RECORDS, SERIES = "manifest.json", "records.jsonl", "series.bin"
ENVIRONMENTS, CONFIGURATION = "environments.json", "configuration.json"
FORMAT = 1
LARGEST_BYTES = {
    MANIFEST: 2**20,
    ENVIRONMENTS: 2**24,
    CONFIGURATION: 2**24,
    RECORDS: 2**34,
    SERIES: 2**36,
}
"""Of each member, unpacked. Those that are held in memory are small."""
LARGEST_TOTAL_BYTES = 2**36
LARGEST_RATIO = 500
"""Of what is unpacked to what is packed; records that differ in their ids alone come to 100."""
LONGEST_LINE = 2**24
"""Bytes of a record without its series."""
LARGEST_SERIES = 2**26
"""Bytes of one record's series, packed."""
MOST_RECORDS = 10_000_000


class Member(BaseModel):
    """A file within a bundle."""

    model_config = ConfigDict(extra="forbid", strict=True)

    bytes: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Origin(BaseModel):
    """Who hands a bundle in, and what it is; how far it is to be trusted no bundle can say.

    Attributes:
        by: A name, as the board shows it.
        about: What it holds and why, in a line or two.
        tier: That of what nobody has verified, and nothing else.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    by: str = Field(default="", max_length=200)
    about: str = Field(default="", max_length=2000)
    tier: Literal["self-reported"] = "self-reported"


class Manifest(BaseModel):
    """What a bundle says of itself; BlockZoo's version and commit are those that wrote it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    blockzoo_bundle: int
    schema_version: int
    records: int = Field(ge=0, le=MOST_RECORDS)
    blockzoo: str = Field(max_length=100)
    commit: str | None = Field(default=None, max_length=100)
    origin: Origin = Origin()
    members: dict[str, Member]


# What errors said names types as `<lambda>` and `<module>`; these tags a page would obey.
_PAGE_TAGS = "script|img|svg|iframe|embed|style|meta|body|html|video|audio|math|template"
_OBEYED = re.compile(rf"<\s*/?\s*({_PAGE_TAGS})\b", re.I)
_MARKUP = re.compile(r"<\s*[a-z/!?]", re.I)
_OF_ERRORS = ("reason", "traceback")


def require_plain_text(value: Any, where: str, *, of_error: bool = False) -> None:
    r"""Raise `BundleError` for text that a terminal or a page could take for a command.

    In reasons and tracebacks control characters are kept escaped, as in every record.

    Args:
        value: A document as JSON has it; all texts and names within it are looked at.
        where: What it is, for the message.
        of_error: Whether it is what an error said.

    Example:
        >>> require_plain_text({"notes": "loss < 0.1"}, "record 1f,")
        >>> require_plain_text({"notes": "<script>"}, "record 1f,")
        Traceback (most recent call last):
        blockzoo.core.errors.BundleError: record 1f, notes: holds markup: <script>
    """
    if isinstance(value, str):
        _require_plain(value, where, of_error)
    elif isinstance(value, dict):
        for name, each in value.items():
            _require_plain(name, where, of_error=False)
            require_plain_text(each, f"{where} {name}:", of_error=name in _OF_ERRORS)
    elif isinstance(value, list | tuple):
        for each in value:
            require_plain_text(each, where, of_error=of_error)


def _require_plain(text: str, where: str, of_error: bool) -> None:
    if found := (_OBEYED if of_error else _MARKUP).search(text):
        raise BundleError(f"{where} holds markup: {text[found.start() : found.start() + 20]}")
    if not of_error and visible(text, lines=True) != text:
        raise BundleError(f"{where} holds control characters: {visible(text)[:60]}")
