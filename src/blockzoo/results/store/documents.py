"""How a record is written into a store, and read again: its head, what it shares, its series.

A record's head is JSON of all its fields but the series. What many records have in common, the
environment, the scaffold and the recipe, is there once, under a digest of its text; the head names
the digest. Of an environment what changes from minute to minute stays in the head.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from pydantic import BaseModel
from pydantic_core import from_json, to_json

from blockzoo.core.errors import ResultsError
from blockzoo.core.position import Position
from blockzoo.results.environment import PASSING, Environment, ScaffoldSettings
from blockzoo.results.ranges import UsableRecipe, usable_recipe
from blockzoo.results.records import CostRecord, LatencyRecord, Record, TrainingRecord
from blockzoo.results.store.series import SERIES, packed_series

_SHARED = ("environment", "scaffold", "recipe")
_DIGEST = "of"
"""In a head's environment: the digest of what is shared of it."""
_KINDS: dict[str, type[Record]] = {
    "cost": CostRecord,
    "latency": LatencyRecord,
    "training": TrainingRecord,
}


class Written(NamedTuple):
    """A record as a store keeps it."""

    head: str
    shared: dict[str, str]
    """Texts by digest."""
    series: bytes | None


def written(record: CostRecord | LatencyRecord | TrainingRecord) -> Written:
    """Return the record as it is written; raises `ResultsError` when it holds no valid text.

    >>> environment = Environment(
    ...     blockzoo="1", python="3", torch="2", timm="1", system="Linux", processor="Some CPU",
    ...     cores=2, threads=1, memory_bytes=1,
    ... )
    >>> scaffold = ScaffoldSettings(
    ...     context="A", depth=1, width=8, classes=10, input_shape=(3, 8, 8), stem_bias=False
    ... )
    >>> record = CostRecord(
    ...     trial_id="a", block="A", positions=("mid",), scaffold=scaffold, environment=environment
    ... )
    >>> kept = written(record)
    >>> len(kept.shared), kept.series
    (2, None)
    """
    try:
        head, shared = _headed(
            record.model_dump(mode="json", exclude={*SERIES.get(record.kind, ())})
        )
        return Written(head, shared, packed_series(record))
    except ValueError as error:  # pydantic's; text that is not Unicode, such as raw file names
        raise ResultsError(f"record {record.trial_id} cannot be written as JSON: {error}") from None


def _headed(fields: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """Return the head of a record of those fields, and the texts that it names."""
    environment = fields["environment"]
    passing = {n: v for n in PASSING if (v := environment.pop(n, None)) is not None}
    shared: dict[str, str] = {}
    for name in _SHARED:
        if name in fields:
            text = to_json(fields[name])
            fields[name] = hashlib.sha256(text).hexdigest()[:32]
            shared[fields[name]] = text.decode()
    fields["environment"] = {_DIGEST: fields["environment"], **passing}
    # What is not known is nothing to a record as well.
    return to_json({n: value for n, value in fields.items() if value is not None}).decode(), shared


def asked_again(head: str, asked: Iterable[Position]) -> str:
    """Return the head of the same record, asked for at those positions.

    >>> asked_again('{"asked":["mid"],"notes":""}', [Position.LATE])
    '{"asked":["late"],"notes":""}'
    """
    return to_json({**from_json(head), "asked": [str(each) for each in asked]}).decode()


class Shared:
    """What records have in common, by digest, each read from the store once.

    Args:
        find: Returns the text of a digest; raises `ValueError` where there is none.
    """

    def __init__(self, find: Callable[[str], str]) -> None:
        self._find = find
        self._learnt: dict[str, str] = {}
        self._document = lru_cache(maxsize=1024)(self._parsed)
        self._recipe = lru_cache(maxsize=1024)(self._usable)
        # Few, for those of which some part is new with every record are of no use to the next.
        self._model = lru_cache(maxsize=64)(self._made)

    def _usable(self, digest: str) -> UsableRecipe:
        return UsableRecipe(usable_recipe(self._document(digest)))

    def _parsed(self, digest: str) -> dict[str, Any]:
        text = self._learnt.get(digest)
        found = from_json(self._find(digest) if text is None else text)
        if not isinstance(found, dict):
            raise ValueError(f"what it shares with others is no object ({digest[:8]})")
        return found

    def learn(self, texts: Mapping[str, str]) -> None:
        """Take texts that are being written, which others do not see yet.

        Args:
            texts: By digest.
        """
        self._learnt = dict(texts)

    def _made(
        self, kind: type[BaseModel], digest: str, passing: tuple[tuple[str, Any], ...]
    ) -> BaseModel:
        return kind.model_validate({**self._document(digest), **dict(passing)})

    def completed(self, head: dict[str, Any]) -> dict[str, Any]:
        """Return a head with models and a recipe in the place of digests, which may be shared."""
        environment, scaffold, recipe = (head.get(name) for name in _SHARED)
        if isinstance(environment, dict) and isinstance(of := environment.pop(_DIGEST, None), str):
            head["environment"] = self._model(Environment, of, tuple(environment.items()))
        if isinstance(scaffold, str):
            head["scaffold"] = self._model(ScaffoldSettings, scaffold, ())
        if isinstance(recipe, str):
            head["recipe"] = self._recipe(recipe)
        return head

    def plain(self, head: dict[str, Any]) -> dict[str, Any]:
        """Return a head with all it shares as plain JSON has it, its fields in a record's order."""
        environment = head["environment"]
        if of := environment.pop(_DIGEST, None):
            whole = {**self._document(of), **environment}
            head["environment"] = {name: whole.get(name) for name in Environment.model_fields}
        for name in ("scaffold", "recipe"):
            if isinstance(head.get(name), str):
                head[name] = self._document(head[name])
        return head


def has_series_apart(head: Mapping[str, Any]) -> bool:
    """Tell whether a head was written apart from its series, and its kind has some.

    >>> has_series_apart({"kind": "latency", "scaffold": "1f"}), has_series_apart({"kind": "cost"})
    (True, False)
    """
    return head.get("kind") in SERIES and isinstance(head.get("scaffold"), str)


def in_order(kind: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document with all fields of its kind, in their order; empty series where none."""
    empty = {name: () for name in SERIES.get(kind, ()) if name != "test_correct"}
    return {name: document.get(name, empty.get(name)) for name in _KINDS[kind].model_fields}
