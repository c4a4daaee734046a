import pytest

from blockzoo.core.text import is_visible, visible


@pytest.mark.parametrize("point", [*range(0x20), 0x7F, *range(0x80, 0xA0), 0x202E, 0x2066, 0xDC80])
def test_what_does_not_show_is_escaped(point: int) -> None:
    text = f"a{chr(point)}b"
    assert not is_visible(text)
    assert visible(text).isprintable()
    assert visible(text).startswith("a\\")
    assert (visible(text, lines=True) == text) == (chr(point) in "\n\t")


@pytest.mark.parametrize("text", ["", "RepMixer (mid)", "Größe 3×3", "积木", "a\\x1b"])
def test_what_shows_is_left_as_it_is(text: str) -> None:
    assert is_visible(text)
    assert visible(text) == text
