"""What results must have in common to be averaged, paired or drawn together, and what differs.

Names of data sets and protocols are not enough: behind one name may lie two data sets, two
arithmetics or two scaffolds. The one home of that rule, for records and frames alike.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import compress
from typing import Any, NamedTuple, TypeVar

from blockzoo.results.records import TrainingRecord
from blockzoo.results.table.columns import IDENTITY
from blockzoo.results.table.values import terms_columns

Subject = TypeVar("Subject", bound=Hashable)


class Terms(NamedTuple):
    """On what terms a network was trained, as texts of the columns of these names.

    `device` is its kind alone: cuda, not cuda:1. What is not known is "".
    """

    dataset: str
    protocol: str
    dataset_fingerprint: str
    identity: str
    context: str
    num_blocks: str
    base_channels: str
    out_dim: str
    input_shape: str
    stem: str
    stem_bias: str
    device: str
    precision: str
    memory_format: str
    compiled: str
    micro_batch_size: str

    @classmethod
    def of_row(cls, row: Mapping[Any, object]) -> Terms:
        """Return the terms of a row of a results frame.

        >>> row = dict.fromkeys(Terms._fields, "") | {"device": "cuda:1", "num_blocks": 3.0}
        >>> terms = Terms.of_row(row)
        >>> terms.device, terms.num_blocks
        ('cuda', '3')
        """
        return cls(**{name: _text(row[name]) for name in cls._fields})._replace(
            device=_text(row["device"]).partition(":")[0]
        )

    @classmethod
    def of(cls, record: TrainingRecord) -> Terms:
        """Return the terms of a training."""
        return cls.of_row({**terms_columns(record), IDENTITY: record.identity})

    @property
    def title(self) -> tuple[str, str]:
        """The names by which people know the terms: data set and protocol."""
        return self.dataset, self.protocol

    @property
    def without_arithmetic(self) -> Terms:
        """The same terms, but for how numbers are computed on the device."""
        return self._replace(precision="", memory_format="", compiled="", micro_batch_size="")


def _text(value: object) -> str:
    if value is None or value != value or str(value) == "<NA>":  # NaN is unlike itself
        return ""
    # A column with gaps holds its whole numbers as floats.
    return f"{value:g}" if isinstance(value, float) else str(value)


_WORDS: dict[str, Callable[[str], str]] = {
    "dataset_fingerprint": lambda value: f"data {value[:8]}",
    "identity": lambda value: "older identity" if value == "1" else "",
    "context": lambda value: f"in {value}",
    "num_blocks": lambda value: f"depth {value}",
    "base_channels": lambda value: f"width {value}",
    "out_dim": lambda value: f"{value} classes",
    "input_shape": lambda value: value,
    "stem": lambda value: f"{value} stem",
    "stem_bias": lambda value: "stem with bias" if value == "yes" else "",
    "device": lambda value: value,
    "precision": lambda value: value,
    "memory_format": lambda value: value.replace("_", " "),
    "compiled": lambda value: "compiled" if value == "yes" else "",
    "micro_batch_size": lambda value: f"batches in parts of {value}",
}
_SILENT = frozenset({"micro_batch_size"})
"""Where nothing is said of it, it was not so."""


def differences(terms: Sequence[Terms]) -> list[str]:
    """Return what tells each of the terms from the others of its data set and protocol, in words.

    "" where all of that name are alike.

    >>> row = dict.fromkeys(Terms._fields, "") | {"dataset": "digits", "device": "cuda"}
    >>> differences([Terms.of_row(row | {"precision": p}) for p in ("fp32", "bf16")])
    ['fp32', 'bf16']
    """
    of_title: dict[tuple[str, str], set[Terms]] = defaultdict(set)
    for each in terms:
        of_title[each.title].add(each)
    differing = {
        title: [name for name in _WORDS if len({getattr(each, name) for each in alike}) > 1]
        for title, alike in of_title.items()
    }
    return [
        ", ".join(filter(None, (_words(each, name) for name in differing[each.title])))
        for each in terms
    ]


def _words(terms: Terms, name: str) -> str:
    value = str(getattr(terms, name))
    if value:
        return _WORDS[name](value)
    return "" if name in _SILENT else f"{name.replace('_', ' ')} not known"


def with_failures(
    groups: Sequence[tuple[Subject, Terms]], succeeded: Sequence[bool]
) -> dict[tuple[Subject, Terms], list[int]]:
    """Return the indices of the trainings of each group, given as (block and place, terms).

    One that failed early may not know its arithmetic. Where none of its own terms went well, it
    counts with every group of its block, place and other terms that has one which did.
    """
    members: dict[tuple[Subject, Terms], list[int]] = defaultdict(list)
    well: dict[tuple[Subject, Terms], set[Terms]] = defaultdict(set)
    for subject, terms in set(compress(groups, succeeded)):
        well[subject, terms.without_arithmetic].add(terms)
    for index, (subject, terms) in enumerate(groups):
        if succeeded[index]:
            members[subject, terms].append(index)
            continue
        likely = well[subject, terms.without_arithmetic]
        own = {terms} if terms in likely or not likely else likely
        for each in own:
            members[subject, each].append(index)
    return dict(members)
