"""A paper's checklist: every answer is one of the store's."""

from __future__ import annotations

from blockzoo.analysis.checklist import checklist
from blockzoo.report.checklist import checklist_text
from tests.record_samples import latency, training


def text() -> str:
    records = [
        *(training(f"a{s}", "A", seed=s, dataset_fingerprint="f" * 40) for s in range(3)),
        *(training(f"b{s}", "B", seed=s, dataset_fingerprint="f" * 40) for s in range(2)),
        training(
            "lost",
            "A",
            seed=7,
            status="failed",
            reason="diverged\nat epoch 3",
            dataset_fingerprint="f" * 40,
        ),
        latency("l", "A"),
    ]
    return checklist_text(checklist(records))


def test_n_failures_data_and_recipe_are_said() -> None:
    assert (
        "* digits (fingerprint ffffffffffff), protocol quick: 2 blocks in 2 placements, n = 2 to 3 "
        "seeds each; seeds that failed: 1; test images: not recorded.\n"
        "  Recipe: batch_size 64, epochs 2, learning_rate 0.1.\n"
        "  Some have fewer than 3 seeds: no conclusion on these." in text()
    )


def test_hours_hardware_failures_and_versions_are_said() -> None:
    shown = text()
    hours = 5 * 12.5 / 3600
    assert f": {hours:,.2f} hours." in shown
    assert "* Failed, 1: diverged" in shown
    assert "at epoch 3" not in shown
    assert "* Latencies on " in shown
    assert "* torch: " in shown


def test_an_empty_store_says_so() -> None:
    shown = checklist_text(checklist([]))
    assert "Nothing was trained." in shown
    assert "Nothing was computed." in shown
