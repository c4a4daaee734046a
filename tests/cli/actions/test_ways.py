"""Which of the ways that were asked for are timed."""

from __future__ import annotations

import pytest

from blockzoo.cli.actions.timing import possible_ways
from blockzoo.core.errors import InputError
from blockzoo.core.run_way import RunWay


def test_a_pair_that_a_backend_does_not_have_is_left_out_and_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ways = RunWay().crossed(backends=["eager", "onnxruntime"], precisions=["fp32", "int8"])
    found = [(way.backend, way.precision) for way in possible_ways(ways)]
    assert found == [("eager", "fp32"), ("onnxruntime", "fp32"), ("onnxruntime", "int8")]
    assert capsys.readouterr().err == "left out: eager in int8 (int8 is for onnxruntime)\n"


def test_where_there_is_no_pair_at_all_nothing_is_timed() -> None:
    with pytest.raises(InputError, match="nothing can be run so: int8 is for onnxruntime"):
        possible_ways([RunWay(precision="int8")])
