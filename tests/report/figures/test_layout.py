from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockzoo.report.figures.layout import (
    Array,
    boxes_around,
    overlaps,
    place_label,
    points_along,
    view_limits,
)

INSIDE = np.array([0.0, 0.0, 200.0, 100.0])
NOTHING = np.empty((0, 2))


def _place(
    anchor: tuple[float, float],
    *,
    others: Array = NOTHING,
    forbidden: Array | None = None,
    crossed: Array = NOTHING,
) -> Array | None:
    return place_label(
        np.array(anchor),
        np.array([40.0, 10.0]),
        radius=5.0,
        others=others,
        forbidden=boxes_around(np.array([anchor]), 5.0) if forbidden is None else forbidden,
        crossed=crossed,
        inside=INSIDE,
    )


def test_limits_hold_all_values_and_a_margin() -> None:
    assert view_limits([0.0, 10.0], [], smallest_span=1.0) == pytest.approx((-0.8, 10.8))


def test_limits_hold_intervals() -> None:
    limits = view_limits([0.0, 10.0], [(-5.0, 5.0), (9.0, 15.0)], smallest_span=1.0)
    assert limits == pytest.approx((-5 - 1.6, 15 + 1.6))


def test_wide_intervals_widen_the_view_by_the_span_of_the_values_at_most() -> None:
    limits = view_limits([0.0, 10.0], [(-500.0, 500.0)], smallest_span=1.0)
    assert limits == pytest.approx((-10 - 2.4, 20 + 2.4))


def test_constant_values_have_the_smallest_span_around_them() -> None:
    assert view_limits([5.0, 5.0], [], smallest_span=2.0) == pytest.approx((3.84, 6.16))


def test_boxes_that_only_touch_do_not_overlap() -> None:
    boxes = np.array([[10.0, 0, 20, 10], [9.0, 9, 20, 20], [-5.0, -5, 50, 50], [20.0, 20, 30, 30]])
    assert overlaps(np.array([0.0, 0, 10, 10]), boxes).tolist() == [False, True, True, False]


def test_points_along_a_path_keep_its_corners() -> None:
    points = points_along(np.array([[0.0, 0], [6, 0], [6, 3]]), step=3.0)
    assert points.tolist() == [[0, 0], [3, 0], [6, 0], [6, 3]]


def test_points_along_a_path_of_one_place_are_that_place() -> None:
    assert points_along(np.array([[1.0, 2.0]])).tolist() == [[1, 2]]


def test_a_label_goes_up_and_left_where_nothing_is_in_the_way() -> None:
    box = _place((100.0, 50.0))
    assert box is not None
    assert box.tolist() == [54, 56, 94, 66]  # 0.75 x (radius 5 + gap 3) away from the point


def test_a_label_avoids_lines_where_it_can() -> None:
    left_half = np.array([(x, y) for x in range(0, 100, 3) for y in range(0, 100, 3)], dtype=float)
    box = _place((100.0, 50.0), crossed=left_half)
    assert box is not None
    assert box[0] > 99


def test_a_label_is_nearest_to_its_own_point() -> None:
    box = _place((100.0, 50.0), others=np.array([[60.0, 66.0], [100.0, 50.0]]))
    assert box is not None
    assert not (box[0] <= 60 <= box[2] and box[1] <= 66 <= box[3])


def test_a_label_without_room_is_not_placed() -> None:
    assert _place((100.0, 50.0), forbidden=INSIDE[None]) is None


@given(
    st.tuples(st.floats(0, 200), st.floats(0, 100)),
    st.lists(st.tuples(st.floats(0, 200), st.floats(0, 100)), max_size=12),
)
def test_a_placed_label_is_inside_and_covers_nothing(
    anchor: tuple[float, float], others: list[tuple[float, float]]
) -> None:
    points = np.array([anchor, *others])
    forbidden = boxes_around(points, 5.0)
    box = _place(anchor, others=points, forbidden=forbidden)
    if box is not None:
        assert not overlaps(box, forbidden).any()
        assert (box[:2] >= INSIDE[:2]).all()
        assert (box[2:] <= INSIDE[2:]).all()
