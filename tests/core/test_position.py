import pytest

from blockzoo.core.errors import UnknownNameError
from blockzoo.core.position import POSITIONS, Position


def test_positions_are_the_stages_in_order() -> None:
    assert [str(position) for position in POSITIONS] == ["early", "mid", "late"]
    assert [position.stage_index for position in POSITIONS] == [0, 1, 2]


def test_parse_knows_names_and_nothing_else() -> None:
    assert Position.parse("mid") is Position.MID
    with pytest.raises(UnknownNameError, match=r"unknown position 'middle'; did you mean mid\?"):
        Position.parse("middle")
