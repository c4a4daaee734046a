"""Names that records keep: of blocks, data sets and protocols."""

from __future__ import annotations

import re

from blockzoo.core.errors import InputError
from blockzoo.core.text import is_visible, visible

SETTING = re.compile(r"(.+)\[(\w+)=(\d+(?:\.\d+)?)\]")
"""A block's name, its knob and the value that it is turned to."""
LONGEST_NAME = 5000
"""Letters; a block of the user's is named by its path, of which Linux takes 4096 bytes."""


def checked_name(kind: str, name: str) -> str:
    """Return the name; raises `InputError` for one that no record could keep.

    >>> checked_name("block", "RepMixer")
    'RepMixer'
    >>> checked_name("data set", "")
    Traceback (most recent call last):
    blockzoo.core.errors.InputError: the name of a data set is empty
    """
    if not name:
        raise InputError(f"the name of a {kind} is empty")
    if len(name) > LONGEST_NAME:
        raise InputError(
            f"the name of a {kind} has {len(name)} letters; it must have at most {LONGEST_NAME}"
        )
    if not is_visible(name):
        raise InputError(
            f"the name of a {kind} is '{visible(name)}'; it must hold no control characters"
        )
    return name


def published_name(block: str) -> str:
    """Return the name of a block without the capacity or depth that it was given.

    >>> published_name("InvertedResidual[expansion=3]"), published_name("my[1].py:Mine")
    ('InvertedResidual', 'my[1].py:Mine')
    """
    while found := SETTING.fullmatch(block):
        block = found[1]
    return block


def settings_of(block: str) -> dict[str, float]:
    """Return the values that the name says its knob, or its depth, is at.

    >>> settings_of("MobileViTBlock[width_ratio=0.5][depth=2]")
    {'depth': 2.0, 'width_ratio': 0.5}
    """
    settings: dict[str, float] = {}
    while found := SETTING.fullmatch(block):
        block, settings[found[2]] = found[1], float(found[3])
    return settings
