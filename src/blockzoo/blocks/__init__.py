"""Blocks: the registry, the zoo, and what every block must satisfy."""

from blockzoo.blocks.deploy import to_deploy
from blockzoo.blocks.fingerprint import fingerprint
from blockzoo.blocks.initialisation import initialise
from blockzoo.blocks.registry import (
    BlockFactory,
    BlockSpec,
    get_block,
    list_available_blocks,
    register_block,
)

__all__ = [
    "BlockFactory",
    "BlockSpec",
    "fingerprint",
    "get_block",
    "initialise",
    "list_available_blocks",
    "register_block",
    "to_deploy",
]
