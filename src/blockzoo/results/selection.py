"""Which of several results counts: the newest structure and seed, and the usual way of running.

The one home of these rules, for records and frames alike; all take what they need as plain
sequences in order of time.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

Way = TypeVar("Way", bound=Hashable)


def counting(
    structures: Sequence[str], seeds: Sequence[Hashable | None], succeeded: Sequence[bool]
) -> list[int]:
    """Return the indices of the trainings that count, of one block in one place, by time.

    Of a block whose structure has changed only the newest counts; one that failed early may not
    know its structure ("") and counts as well. Of a seed that was run repeatedly the newest counts,
    and one that failed never stands for one that went well. Without a seed (None) all count.

    >>> counting(["old", "new", "new", "new"], [0, 0, 1, 1], [True, True, True, False])
    [1, 2]
    """
    known = [structure for structure in structures if structure]
    newest = {"", *known[-1:]}
    of_structure = [index for index, structure in enumerate(structures) if structure in newest]
    # Failures first, so that whatever went well is taken last and stays.
    of_structure.sort(key=lambda index: succeeded[index])
    last = {seeds[index]: index for index in of_structure}
    kept = (i for i in of_structure if seeds[i] is None or last[seeds[i]] == i)
    return list(kept)


def usual_way(
    timed: Iterable[tuple[Hashable, Way]], prefer: Callable[[Way], bool] = lambda way: False
) -> Way | None:
    """Return the way of running under which most subjects were timed; None without any.

    `timed` holds (subject, way) by time; a subject that was timed twice in one way counts once. Of
    equals one that `prefer` is true of, then the one used last.

    >>> usual_way([("A", "eager"), ("B", "eager"), ("A", "onnx")])
    'eager'
    """
    subjects: dict[Way, set[Hashable]] = {}
    for subject, way in timed:
        of_way = subjects.pop(way, set())
        of_way.add(subject)
        subjects[way] = of_way  # to the end: ties go to the newest
    # The newest first, as `max` takes the first of equals.
    ways = reversed(subjects)
    return max(ways, key=lambda way: (len(subjects[way]), prefer(way)), default=None)
