"""Which records of a store go into a bundle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from blockzoo.results.environment import ScaffoldSettings
from blockzoo.results.records import AnyRecord, LatencyRecord, TrainingRecord
from blockzoo.results.store.database import Store


@dataclass(frozen=True, kw_only=True)
class BundleChoice:
    """Records of some blocks, or of one protocol, and of the blocks they are compared with.

    Args:
        protocol: The label of trainings; None for all.
        blocks: Those that are taken; none for all.
        scaffolds: In which a protocol's blocks stand: costs and latencies name no protocol.
        trained: The blocks that the protocol trained.

    Example:
        >>> BundleChoice().protocol is None
        True
    """

    protocol: str | None = None
    blocks: frozenset[str] = frozenset()
    scaffolds: frozenset[ScaffoldSettings] = frozenset()
    trained: frozenset[str] = frozenset()

    @classmethod
    def of(cls, store: Store, *, protocol: str | None, blocks: Sequence[str]) -> BundleChoice:
        """Return the choice for a store, which says what belongs to a protocol.

        Args:
            store: What is chosen of.
            protocol: The label of trainings; None for all.
            blocks: Names; with them come the baselines of their latencies.
        """
        wanted = frozenset(blocks) and frozenset(blocks) | _compared(store, blocks)
        if protocol is None:
            return cls(blocks=wanted)
        kept = [
            record
            for record in store.listed("training", protocol=protocol)
            if isinstance(record, TrainingRecord)
        ]
        return cls(
            protocol=protocol,
            blocks=wanted,
            scaffolds=frozenset(record.scaffold for record in kept),
            trained=frozenset(record.block for record in kept),
        )

    def takes(self, record: AnyRecord) -> bool:
        """Tell whether a record is taken.

        Args:
            record: Of any kind.
        """
        if self.blocks and record.block not in self.blocks:
            return False
        if self.protocol is None:
            return True
        if isinstance(record, TrainingRecord):
            return record.protocol == self.protocol
        return record.scaffold in self.scaffolds and record.block in self.trained


def _compared(store: Store, blocks: Iterable[str]) -> frozenset[str]:
    """Return what those blocks are compared with: baselines of latencies, and contexts."""
    named = {*blocks}
    found = [record for record in store.listed() if record.block in named]
    baselines = {r.baseline for r in found if isinstance(r, LatencyRecord) and r.baseline}
    return frozenset(baselines | {record.scaffold.context for record in found})
