import pickle

import pytest

from blockzoo.core import errors
from blockzoo.core.errors import (
    BlockError,
    BlockZooError,
    InputError,
    ModelError,
    ParityError,
    UnknownNameError,
    one_line,
    reason_of,
    traceback_of,
)


def test_every_error_is_drawn_in_the_tree_of_the_docstring() -> None:
    assert errors.__doc__ is not None
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, BlockZooError):
            assert name in errors.__doc__


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("MobilOneBlock", ["MobileOneBlock", "RepMixer"], "did you mean MobileOneBlock?"),
        ("repmixer", ["MobileOneBlock", "RepMixer"], "did you mean RepMixer?"),
        ("zzz", ["early", "mid", "late"], "allowed: early, mid, late"),
        ("zzz", [f"block {n}" for n in range(20)], "none of the 20 known names is near it"),
    ],
)
def test_unknown_names_come_with_a_hint(name: str, known: list[str], expected: str) -> None:
    assert str(UnknownNameError("block", name, known)) == f"unknown block {name!r}; {expected}"


def test_exit_status_tells_bad_input_from_failure() -> None:
    assert InputError("x").exit_status == 2
    assert UnknownNameError("block", "a", ["b"]).exit_status == 2
    assert BlockError("x").exit_status == 1
    assert ModelError("x").exit_status == ParityError("x").exit_status == 1


def test_a_block_is_one_of_the_modules_that_may_be_at_fault() -> None:
    assert issubclass(BlockError, ModelError)
    assert issubclass(ParityError, ModelError)
    assert not issubclass(ParityError, BlockError)


def syntax_error() -> SyntaxError:
    try:
        compile("class Block(:", "mine.py", "exec")
    except SyntaxError as error:
        return error
    raise AssertionError


@pytest.mark.parametrize(
    ("error", "whole", "first"),
    [
        (ValueError("no kernel"), "ValueError: no kernel", "ValueError: no kernel"),
        (
            ValueError("\n no\n  three lines\nhere"),
            "ValueError: no three lines here",
            "ValueError: no",
        ),
        (KeyError(), "KeyError", "KeyError"),
        (syntax_error(), "SyntaxError: invalid syntax", "SyntaxError: invalid syntax"),
        (InputError("a is 0"), "InputError: a is 0", "InputError: a is 0"),
    ],
)
def test_an_error_is_told_in_one_line(error: Exception, whole: str, first: str) -> None:
    assert one_line(error) == whole
    assert one_line(error, first_line_only=True) == first


def test_a_reason_has_the_type_of_what_was_not_raised_on_purpose_alone() -> None:
    assert reason_of(ModelError("it cannot be exported")) == "it cannot be exported"
    assert reason_of(MemoryError("no\nroom")) == "MemoryError: no room"


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_an_error_whose_text_raises_is_told_all_the_same() -> None:
    assert one_line(Unspeakable()) == "Unspeakable: (what it says cannot be shown)"
    assert "Unspeakable" in traceback_of(Unspeakable())


@pytest.mark.parametrize("kind", [ValueError, BlockError])
def test_reasons_are_visible_and_in_one_line(kind: type[Exception]) -> None:
    reason = reason_of(kind("a\x1b]0;owned\x07\nb\u202ec\ud800"))
    assert reason.endswith(r"a\x1b]0;owned\x07 b\u202ec\ud800")
    assert traceback_of(kind("a\x1b\nb")).splitlines()[0].endswith(r"a\x1b")


def test_an_unknown_name_survives_the_way_from_another_process() -> None:
    error = UnknownNameError("block", "RepVG", ["RepVGG", "MBConv"])
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.near) == (str(error), ("RepVGG",))
