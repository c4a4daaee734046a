"""Which of several results counts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from blockzoo.results.selection import counting, usual_way

TRIALS = st.lists(
    st.tuples(st.sampled_from(["", "old", "new"]), st.sampled_from([None, 0, 1, 2]), st.booleans()),
    max_size=12,
)


def test_of_a_changed_block_the_newest_structure_counts() -> None:
    assert counting(["old", "new"], [0, 1], [True, True]) == [1]


def test_of_a_seed_the_newest_counts_and_a_failure_never_replaces_a_success() -> None:
    assert counting(["s"] * 3, [0, 0, 0], [True, True, False]) == [1]
    assert counting(["s"] * 2, [0, 0], [False, False]) == [1]


def test_a_failure_without_a_structure_counts_for_its_seed() -> None:
    assert counting(["s", ""], [0, 1], [True, False]) == [1, 0]


def test_without_a_seed_all_count() -> None:
    assert counting(["s", "s"], [None, None], [True, True]) == [0, 1]


@given(TRIALS)
def test_every_seed_of_the_newest_structure_counts_once(
    trials: list[tuple[str, int | None, bool]],
) -> None:
    structures = [structure for structure, _, _ in trials]
    seeds = [seed for _, seed, _ in trials]
    succeeded = [ok for _, _, ok in trials]
    kept = counting(structures, seeds, succeeded)

    known = [structure for structure in structures if structure]
    of_newest = [i for i, s in enumerate(structures) if s in {"", *known[-1:]}]
    with_seed = [seeds[i] for i in kept if seeds[i] is not None]
    assert len(set(with_seed)) == len(with_seed)
    assert set(with_seed) == {seeds[i] for i in of_newest if seeds[i] is not None}
    for index in kept:
        others = [i for i in of_newest if seeds[i] == seeds[index] and seeds[index] is not None]
        assert succeeded[index] or not any(succeeded[i] for i in others)


def test_the_way_with_most_subjects_is_the_usual_one() -> None:
    assert usual_way([("A", "x"), ("B", "x"), ("C", "y")]) == "x"
    assert usual_way([]) is None


def test_a_subject_timed_twice_counts_once_and_ties_go_to_the_way_used_last() -> None:
    timed = [("A", "x"), ("A", "x"), ("B", "y")]
    assert usual_way(timed) == "y"
    assert usual_way(timed, prefer=lambda way: way == "x") == "x"
