"""What the board says of the zoo's structures beforehand is what they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from blockzoo.blocks import get_block, list_available_blocks
from blockzoo.report.site.pages import asset

SCRIPTS = Path(__file__).parents[3] / "scripts"


def kept() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(asset("structures.json"))
    return found


def test_every_block_of_the_zoo_has_one() -> None:
    assert {*kept()} == {*list_available_blocks()}


@pytest.mark.parametrize("block", ["ResNetBasicBlock", "MobileOneBlock", "ConvNeXtBlock"])
def test_made_again_it_is_the_same(block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    from make_block_structures import structure

    assert json.loads(json.dumps(structure(get_block(block)))) == kept()[block]
