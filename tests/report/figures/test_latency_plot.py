from __future__ import annotations

import numpy as np
import pytest

from blockzoo.core.errors import ResultsError
from blockzoo.report.figures.latency_plot import plot_latencies
from blockzoo.results.table.latencies import latencies_frame
from tests.analysis.test_summary import OTHER_SESSION
from tests.record_samples import latency


def test_every_timing_is_at_its_ratio_with_its_verdict() -> None:
    frame = latencies_frame(
        [
            latency("1"),
            latency("2", precision="int8", ratio=0.6, ratio_interval=(0.5, 0.7)),
            latency("3", "C", ratio=None, ratio_interval=None),
        ]
    )
    (axes,) = plot_latencies(frame).axes
    points = [line for line in axes.lines if line.get_marker() == "o"]
    drawn = [[float(end) for end in np.ravel(line.get_xydata())] for line in points]
    assert drawn == [[0.6, 0.0], [0.9, 1.0]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["A mid int8", "A mid fp32"]
    texts = " ".join(text.get_text() for text in axes.texts)
    assert "5 ms, faster" in texts
    assert "1 without a ratio not shown." in texts
    assert "runs or environments" not in texts


def test_timings_of_several_runs_say_so() -> None:
    other = latency("2", "C").model_copy(update=OTHER_SESSION)
    (axes,) = plot_latencies(latencies_frame([latency("1"), other])).axes
    assert "Timed in 2 runs or environments" in " ".join(t.get_text() for t in axes.texts)


def test_ratios_to_two_baselines_do_not_share_an_axis() -> None:
    frame = latencies_frame([latency("1"), latency("2", baseline="C")])
    with pytest.raises(ResultsError, match="one figure of latencies has one baseline; given B, C"):
        plot_latencies(frame)
