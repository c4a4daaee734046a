from __future__ import annotations

import matplotlib
import pytest

from blockzoo.core.errors import UnknownNameError
from blockzoo.core.position import POSITIONS
from blockzoo.experiments.protocol import ELEVEN_BLOCKS
from blockzoo.report.figures.colours import THEMES, drawn_in, theme
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


def test_a_block_looks_the_same_whatever_else_a_figure_shows() -> None:
    # Of 40 blocks some share a home, and then the second moves; few of them do.
    names = [f"Block{index}" for index in range(40)]
    together = assign_looks(names)
    moved = [name for name in names if assign_looks([name])[name] != together[name]]
    assert len(moved) <= 15
    eleven = assign_looks(ELEVEN_BLOCKS)
    assert all(assign_looks([*names, *ELEVEN_BLOCKS])[name] == eleven[name] for name in eleven)
    assert all(assign_looks([name])[name] == eleven[name] for name in eleven)


def test_the_blocks_of_the_published_table_are_told_apart_by_lines_and_by_markers() -> None:
    looks = assign_looks(ELEVEN_BLOCKS).values()
    assert len({(look.colour, look.line) for look in looks}) == len(ELEVEN_BLOCKS)
    assert len({look.marker for look in looks}) == len(ELEVEN_BLOCKS)


def test_a_fitted_block_looks_like_the_published_one() -> None:
    (published,) = assign_looks(["InvertedResidual"]).values()
    (fitted,) = assign_looks(["InvertedResidual[expansion=3]"]).values()
    assert fitted == published


@pytest.mark.parametrize("name", THEMES)
def test_everything_is_seen_on_its_paper(name: str) -> None:
    with drawn_in(name):
        colours = theme()
    # The ratios that WCAG 2.2 asks of graphics (3) and of text (4.5).
    assert all(_contrast(each, colours.paper) >= 2 for each in colours.blocks)
    assert sorted(_contrast(each, colours.paper) for each in colours.blocks)[2] >= 3
    assert _contrast(colours.failure, colours.paper) >= 3
    assert min(_contrast(each, colours.paper) for each in (colours.ink, colours.quiet)) >= 4.5
    assert len({*colours.blocks}) == 7


def _contrast(first: str, second: str) -> float:
    low, high = sorted(_luminance(each) for each in (first, second))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_another_theme_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="sepia"), drawn_in("sepia"):
        pass


def test_markers_grow_from_early_to_late() -> None:
    sizes = [MARKER_POINTS[position] for position in POSITIONS]
    assert sizes == sorted(set(sizes))


def test_the_house_style_ignores_the_users_settings_and_leaves_them() -> None:
    with matplotlib.rc_context({"axes.facecolor": "red", "font.size": 30}):
        with house_style():
            assert matplotlib.rcParams["axes.facecolor"] == "#FFFFFF"
            assert matplotlib.rcParams["font.size"] == 9.0
        assert matplotlib.rcParams["axes.facecolor"] == "red"
        assert matplotlib.rcParams["font.size"] == 30
