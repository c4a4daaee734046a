"""A module that stands in for Ray in tests: its actors are objects of this process.

Jobs run as they are submitted. `FakeRay.dies` says how often a job's actor dies before one lives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar


class RayError(Exception):
    """As Ray's."""


class GetTimeoutError(RayError):
    """As Ray's."""


@dataclass
class Ref:
    """What a call will return, or raise."""

    value: Any = None
    error: Exception | None = None


@dataclass
class _Options:
    fake: FakeRay
    made: Callable[..., Any]

    def options(self, **options: Any) -> _Options:
        self.fake.options.append(options)
        return self

    def remote(self, *arguments: Any) -> Any:
        if isinstance(self.made, type):
            actor = _Actor(self.fake, self.made(*arguments))
            self.fake.actors.append(actor)
            return actor
        return Ref(self.fake.answers.pop(0))


@dataclass
class _Method:
    actor: _Actor
    name: str

    def remote(self, *arguments: Any) -> Ref:
        fake = self.actor.fake
        if self.name == "run" and fake.dies > 0:
            fake.dies -= 1
            return Ref(error=RayError("The actor died unexpectedly\nand more"))
        if self.name == "run" and fake.hangs:
            return Ref(error=GetTimeoutError())
        return Ref(getattr(self.actor.held, self.name)(*arguments))


@dataclass
class _Actor:
    fake: FakeRay
    held: Any

    def __getattr__(self, name: str) -> _Method:
        return _Method(self, name)


@dataclass
class FakeRay:
    """A cluster of two nodes with `cores` cores altogether; `answers` are what nodes are asked."""

    cores: int = 4
    gpus: int = 0
    dies: int = 0
    hangs: bool = False
    answers: list[Any] = field(default_factory=list)
    options: list[dict[str, Any]] = field(default_factory=list)
    actors: list[_Actor] = field(default_factory=list)
    killed: list[Any] = field(default_factory=list)
    begun: list[dict[str, Any]] = field(default_factory=list)
    exceptions: ClassVar[Any] = SimpleNamespace(
        RayError=RayError, RaySystemError=RayError, GetTimeoutError=GetTimeoutError
    )
    util: ClassVar[Any] = SimpleNamespace(
        scheduling_strategies=SimpleNamespace(
            NodeAffinitySchedulingStrategy=lambda node, soft: node
        ),
    )

    def remote(self, made: Callable[..., Any]) -> _Options:
        return _Options(self, made)

    def init(self, **options: Any) -> None:
        self.begun.append(options)

    def shutdown(self) -> None:
        self.begun.append({})

    def get(self, ref: Ref, timeout: float | None = None) -> Any:
        if ref.error is not None:
            raise ref.error
        return ref.value

    def wait(self, refs: list[Ref], timeout: float) -> tuple[list[Ref], list[Ref]]:
        return refs, []

    def kill(self, actor: Any) -> None:
        self.killed.append(actor)

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": float(self.cores), "GPU": float(self.gpus)}

    def nodes(self) -> list[dict[str, Any]]:
        return [
            {
                "NodeID": number,
                "NodeManagerAddress": f"10.0.0.{number}",
                "Alive": number < 3,
                "Resources": {"CPU": self.cores / 2},
            }
            for number in (1, 2, 3)
        ]

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(get_node_id=lambda: 1)
