from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from blockzoo.blocks import get_block
from blockzoo.core.errors import InputError
from blockzoo.core.names import checked_name
from blockzoo.data import load_dataset


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "is empty"),
        ("a\nb", r"is 'a\nb'; it must hold no control characters"),
        ("\x9b2J", r"is '\x9b2J'; it must hold no control characters"),
        ("a" * 5001, "has 5001 letters; it must have at most 5000"),
    ],
)
def test_a_name_that_no_record_could_keep_is_refused_at_the_door(name: str, message: str) -> None:
    for door in (
        lambda: checked_name("block", name),
        lambda: replace(get_block("Identity"), name=name),
        lambda: replace(load_dataset("digits"), name=name),
    ):
        with pytest.raises(InputError) as caught:
            door()
        assert str(caught.value).endswith(message)


def test_so_is_a_file_of_such_a_name_before_it_is_trained_on(
    tiny_npz: Path, tmp_path: Path
) -> None:
    path = tmp_path / "tiny\x1b[2J.npz"
    path.write_bytes(tiny_npz.read_bytes())
    with pytest.raises(InputError, match=r"the name of a data set is 'tiny\\x1b\[2J'"):
        load_dataset(str(path))
