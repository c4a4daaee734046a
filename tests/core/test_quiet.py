"""What libraries say while they work is kept from the user; what they raise is not."""

from __future__ import annotations

import logging
import sys
import warnings

import pytest

from blockzoo.core.quiet import quiet


def test_prints_warnings_and_logs_are_kept_out_of_sight(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with quiet():
        sys.stdout.write("working\n")
        sys.stderr.write("still working\n")
        warnings.warn("not fast", UserWarning, stacklevel=1)
        logging.getLogger("a library").error("odd")
    assert capsys.readouterr() == ("", "")
    assert caplog.records == []


def test_all_is_as_it_was_afterwards_even_if_it_raised(capsys: pytest.CaptureFixture[str]) -> None:
    before = logging.root.manager.disable
    with pytest.raises(ValueError, match="no such model"), quiet():
        raise ValueError("no such model")
    sys.stdout.write("heard\n")
    assert capsys.readouterr().out == "heard\n"
    assert logging.root.manager.disable == before
    with pytest.warns(UserWarning, match="heard too"):
        warnings.warn("heard too", UserWarning, stacklevel=1)
