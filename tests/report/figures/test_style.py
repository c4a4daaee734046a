from __future__ import annotations

import matplotlib
import pytest

from blockzoo.core.position import POSITIONS
from blockzoo.report.figures.style import MARKER_POINTS, assign_looks, house_style


@pytest.mark.parametrize("count", [1, 70, 91, 455])
def test_every_block_has_a_look_of_its_own(count: int) -> None:
    looks = assign_looks(f"Block{index}" for index in range(count))
    assert len({(look.marker, look.colour, look.fill) for look in looks.values()}) == count


def test_marker_and_colour_alone_tell_70_blocks_apart() -> None:
    looks = assign_looks(f"Block{index}" for index in range(70))
    assert len({(look.marker, look.colour) for look in looks.values()}) == 70


def test_a_look_depends_on_the_sorted_names_and_not_on_their_order_or_number() -> None:
    assert assign_looks(["b", "a", "c", "a"]) == assign_looks(["a", "b", "c"])


def test_markers_grow_from_early_to_late() -> None:
    sizes = [MARKER_POINTS[position] for position in POSITIONS]
    assert sizes == sorted(set(sizes))


def test_the_house_style_ignores_the_users_settings_and_leaves_them() -> None:
    with matplotlib.rc_context({"axes.facecolor": "red", "font.size": 30}):
        with house_style():
            assert matplotlib.rcParams["axes.facecolor"] == "white"
            assert matplotlib.rcParams["font.size"] == 9.0
        assert matplotlib.rcParams["axes.facecolor"] == "red"
        assert matplotlib.rcParams["font.size"] == 30
