import pytest

from blockzoo.core import errors
from blockzoo.core.errors import BlockError, BlockZooError, InputError, UnknownNameError


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
