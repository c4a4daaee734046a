"""Blocks: the registry, the zoo, and the blocks of others.

Importing this package loads the zoo, so that whoever registers a block of their own finds the names
of the zoo taken. The registry itself imports no block.
"""

from blockzoo.blocks.catalog import (
    canonical_name,
    get_block,
    list_available_blocks,
    name_of_block,
)
from blockzoo.blocks.deploy import to_deploy
from blockzoo.blocks.fingerprint import Description, describe, fingerprint
from blockzoo.blocks.folding import to_folded
from blockzoo.blocks.initialisation import initialise
from blockzoo.blocks.registry import BlockFactory, BlockLike, BlockSpec, register_block

__all__ = [
    "BlockFactory",
    "BlockLike",
    "BlockSpec",
    "Description",
    "canonical_name",
    "describe",
    "fingerprint",
    "get_block",
    "initialise",
    "list_available_blocks",
    "name_of_block",
    "register_block",
    "to_deploy",
    "to_folded",
]
