from __future__ import annotations

import shlex

import pytest

from blockzoo.cli.screen.next_steps import next_steps, unfound_line


def steps(blocks: list[str], **changes: object) -> list[str]:
    given: dict[str, object] = {"position": "late", "options": [], "results": "results"}
    return next_steps(blocks, "ResNetBasicBlock", **(given | changes))  # type: ignore[arg-type]


def test_the_context_is_what_the_first_other_block_is_compared_with() -> None:
    first, own, _ = steps(["ResNetBasicBlock", "RepMixer", "MobileOneBlock"])
    compared = "blockzoo compare RepMixer ResNetBasicBlock MobileOneBlock -p late --seeds 10"
    assert first == f"next: {compared}"
    assert own.endswith("blockzoo sweep --quick ResNetBasicBlock my_block.py:MyBlock")


def test_the_context_alone_has_nothing_to_be_compared_with() -> None:
    first, _, _ = steps(["ResNetBasicBlock"])
    assert first.startswith("next: blockzoo blocks")


def test_what_a_shell_would_split_is_quoted() -> None:
    first, _, again = steps(["a b.py:Mine"], options=["--notes", "x y"], results="my results")
    assert shlex.split(first)[3:5] == ["a b.py:Mine", "ResNetBasicBlock"]
    assert "'x y'" in first
    assert again.endswith("blockzoo results 'my results'; blockzoo visualize 'my results'")


@pytest.mark.parametrize(("detectable", "shown"), [(0.1, "10.0 points"), (0.00449, "0.4 points")])
def test_what_seeds_cannot_find_is_in_points(detectable: float, shown: str) -> None:
    assert f"3 seeds: differences in accuracy below {shown} cannot be found" in unfound_line(
        3, detectable
    )


def test_nothing_is_said_where_the_spread_is_unknown() -> None:
    assert unfound_line(2, None) == ""
