"""Records as listings read them: without curves and samples, which are nearly all of a store.

A training of 50 epochs is 97% curve, and no table, rank or verdict reads it. What is left unread is
not checked either: `Store.each` and `Store.bad_rows` read everything.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, ClassVar

from pydantic import Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from blockzoo.results.records import (
    CostRecord,
    EpochMetrics,
    LatencyRecord,
    TrainingRecord,
)


class _Unread:
    """Has the value of a field passed over, whatever it is; () stands in its place."""

    def __get_pydantic_core_schema__(self, _: Any, __: GetCoreSchemaHandler) -> CoreSchema:
        # Nothing that is there is None, so that the default stands in its place.
        return core_schema.with_default_schema(
            core_schema.none_schema(),
            default=(),
            on_error="default",
            serialization=core_schema.plain_serializer_function_ser_schema(tuple),
        )


class ListedTraining(TrainingRecord):
    """A training without its epochs and its accuracy by class."""

    whole: ClassVar[bool] = False
    epochs: Annotated[tuple[EpochMetrics, ...], _Unread()] = ()
    test_class_accuracy: Annotated[tuple[float | None, ...], _Unread()] = ()


class ListedLatency(LatencyRecord):
    """A latency without its samples and the rounds in which they arose."""

    whole: ClassVar[bool] = False
    samples_ms: Annotated[tuple[float, ...], _Unread()] = ()
    rounds: Annotated[tuple[int, ...], _Unread()] = ()


AnyListed = Annotated[CostRecord | ListedLatency | ListedTraining, Field(discriminator="kind")]


def _unread(kind: type[TrainingRecord | LatencyRecord]) -> list[tuple[str, str]]:
    """Return what the text of each field that is not read begins with, and what comes behind it."""
    names = list(kind.model_fields)
    return [
        (f'"{name}":[', f'],"{following}":')
        for name, following in pairwise(names)
        if name in vars(kind).get("__annotations__", {}) and name != "whole"
    ]


_UNREAD = [*_unread(ListedTraining), *_unread(ListedLatency)]


def shortened(payload: str) -> str:
    """Return a record's JSON with lists that listings do not read emptied, where that is easy.

    It is for text as stores write it: compact, all fields in their order. Of other text more may
    be missing, so a record made of this counts only if every field was there.

    >>> shortened('{"seed":0,"epochs":[{"epoch":1}],"robustness":null}')
    '{"seed":0,"epochs":[],"robustness":null}'
    """
    for begin, behind in _UNREAD:
        start = payload.find(begin)
        if start >= 0:
            start += len(begin)
            end = payload.find(behind, start)
            payload = payload[:start] + payload[end:] if end >= 0 else payload
    return payload
