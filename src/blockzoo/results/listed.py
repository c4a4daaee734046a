"""Records as listings read them: without curves, samples and bits, which are nearly all of a store.

A training of 50 epochs is 97% curve, and no table, rank or verdict reads it. A store keeps it
apart. What is left unread is not checked either: `Store.each` and `Store.bad_rows` read everything.
"""

from __future__ import annotations

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
    """Has the value of a field passed over, whatever it is; another stands in its place."""

    def __init__(self, instead: tuple[()] | None = ()) -> None:
        self._instead = instead

    def __get_pydantic_core_schema__(self, _: Any, __: GetCoreSchemaHandler) -> CoreSchema:
        # Nothing that is there is None, so that the default stands in its place.
        return core_schema.with_default_schema(
            core_schema.none_schema(),
            default=self._instead,
            on_error="default",
            serialization=core_schema.plain_serializer_function_ser_schema(lambda value: value),
        )


class ListedTraining(TrainingRecord):
    """A training without its epochs, its accuracy by class and its answers to test images."""

    whole: ClassVar[bool] = False
    epochs: Annotated[tuple[EpochMetrics, ...], _Unread()] = ()
    test_class_accuracy: Annotated[tuple[float | None, ...], _Unread()] = ()
    test_correct: Annotated[str | None, _Unread(None)] = None


class ListedLatency(LatencyRecord):
    """A latency without its samples and the rounds in which they arose."""

    whole: ClassVar[bool] = False
    samples_ms: Annotated[tuple[float, ...], _Unread()] = ()
    rounds: Annotated[tuple[int, ...], _Unread()] = ()


AnyListed = Annotated[CostRecord | ListedLatency | ListedTraining, Field(discriminator="kind")]
