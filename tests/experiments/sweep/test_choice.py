"""How trials are dealt into shards, and what else of a plan is chosen."""

from __future__ import annotations

import random

import pytest

from blockzoo.core.errors import InputError, UnknownNameError
from blockzoo.experiments.sweep.choice import Choice, Shard


def _dealt(rounds: list[dict[str, float]], count: int) -> list[set[str]]:
    return [Shard(index=index, count=count).mine(rounds) for index in range(1, count + 1)]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 50])
def test_every_key_falls_to_one_shard(count: int) -> None:
    rounds = [{f"{turn} {key}": float(key % 5) for key in range(20)} for turn in range(3)]
    shards = _dealt(rounds, count)
    assert sorted(key for shard in shards for key in shard) == sorted(
        key for each in rounds for key in each
    )


def test_shards_take_as_long_as_each_other_after_every_round() -> None:
    times = random.Random(0)
    rounds = [{f"{seed} {key}": times.uniform(1, 9) for key in range(40)} for seed in range(5)]
    seconds = {key: takes for each in rounds for key, takes in each.items()}
    for until in range(1, 6):
        loads = [sum(seconds[key] for key in shard) for shard in _dealt(rounds[:until], 4)]
        # The longest go first, so that the shards differ by less than one of the shortest few.
        assert max(loads) - min(loads) < 3.0


def test_what_takes_as_long_is_dealt_evenly_whatever_the_order() -> None:
    keys = [f"{key}" for key in range(12)]
    shards = _dealt([dict.fromkeys(keys, 1.0)], 4)
    assert [len(shard) for shard in shards] == [3, 3, 3, 3]
    assert shards == _dealt([dict.fromkeys(reversed(keys), 1.0)], 4)


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/0", "1/10001", "-1/4", "1/4/2", ""])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="it must be i/n"):
        Shard.of_text(text)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="unknown kind of trial 'speed'"):
        Choice(only=("speed",))  # type: ignore[arg-type]
