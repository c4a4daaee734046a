from __future__ import annotations

import csv
import logging
import os
from pathlib import Path

import pytest

from blockzoo.core.errors import InputError, ResultsError
from blockzoo.report.visualize import visualize
from blockzoo.results.store.database import Store
from blockzoo.results.table.columns import COLUMNS, EARLY_COLUMNS
from tests.record_samples import latency

KINDS = ("latency", "flops", "memory")


def row(block: str = "RepMixer", **values: object) -> dict[str, object]:
    return {
        "timestamp": "2026-01-01T00:00:00+00:00",
        "block": block,
        "dataset": "digits",
        "position": "mid",
        "protocol": "quick-1",
        "seed": 0,
        "test_acc": 0.8,
        "flops": 2e8,
        "memory_mb": 3.5,
        "latency_ms": 1.5,
        "status": "ok",
        "trial_id": "0" * 32,
        "schema_version": 1,
        **values,
    }


def write_csv(path: Path, rows: list[dict[str, object]], columns: list[str] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns or list(COLUMNS), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_figures_of_every_cost_are_written_beside_the_results(tmp_path: Path) -> None:
    results = write_csv(tmp_path / "results" / "results.csv", [row(), row("GhostBottleneckV3")])
    written = visualize(results)
    names = {f"accuracy_vs_{kind}_digits_quick-1.{end}" for kind in KINDS for end in ("png", "svg")}
    assert {path.name for path in written} == names
    assert {path.name for path in (tmp_path / "results" / "plots").iterdir()} == names
    assert all(path.read_bytes()[:4] in (b"\x89PNG", b"<?xm") for path in written)


def test_a_folder_of_results_has_its_plots_within(tmp_path: Path) -> None:
    write_csv(tmp_path / "results.csv", [row()])
    assert {path.parent for path in visualize(str(tmp_path), formats=["png"])} == {
        tmp_path / "plots"
    }


def test_each_data_set_and_protocol_has_its_own_figures(tmp_path: Path) -> None:
    rows = [row(), row(dataset="cifar10"), row(dataset="cifar10", protocol="v1")]
    results = write_csv(tmp_path / "results.csv", rows)
    written = visualize(results, tmp_path / "new" / "figures", formats=["svg"])
    assert {path.name for path in written if "flops" in path.name} == {
        "accuracy_vs_flops_digits_quick-1.svg",
        "accuracy_vs_flops_cifar10_quick-1.svg",
        "accuracy_vs_flops_cifar10_v1.svg",
    }
    assert len(written) == 9


def test_names_that_are_no_file_names_are_made_safe_and_kept_apart(tmp_path: Path) -> None:
    rows = [row(dataset="../my data/a:b"), row(dataset="../my data/a|b")]
    written = visualize(write_csv(tmp_path / "r.csv", rows), tmp_path / "out", formats=["svg"])
    assert sorted(path.name for path in written if "memory" in path.name) == [
        "accuracy_vs_memory_my-data-a-b_quick-1-2.svg",
        "accuracy_vs_memory_my-data-a-b_quick-1.svg",
    ]
    assert {path.parent for path in written} == {tmp_path / "out"}


def test_an_early_versions_csv_is_drawn(tmp_path: Path) -> None:
    early = {name: row().get(name, "") for name in EARLY_COLUMNS} | {"val_acc": 0.7}
    results = write_csv(tmp_path / "results.csv", [early], list(EARLY_COLUMNS))
    written = visualize(results, formats=["png"])
    assert {path.name for path in written} == {f"accuracy_vs_{kind}_digits.png" for kind in KINDS}


def test_drawing_again_gives_the_same_bytes(tmp_path: Path) -> None:
    results = write_csv(
        tmp_path / "results.csv", [row(seed=s, test_acc=0.7 + s / 9) for s in (0, 1)]
    )
    first = {path: path.read_bytes() for path in visualize(results, formats=["svg"])}
    assert {path: path.read_bytes() for path in visualize(results, formats=["svg"])} == first


def test_a_cost_nobody_measured_is_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    results = write_csv(tmp_path / "results.csv", [row(latency_ms="")])
    with caplog.at_level(logging.WARNING):
        written = visualize(results, formats=["svg"])
    assert len(written) == 2
    assert [record.getMessage() for record in caplog.records] == [
        "no figure of latency on digits: nothing to plot: of 1 results, 1 have an accuracy and 0 a "
        "latency, but none has both"
    ]


def test_results_that_allow_no_figure_say_why(tmp_path: Path) -> None:
    results = write_csv(tmp_path / "results.csv", [row(test_acc="", status="failed", reason="x")])
    with pytest.raises(ResultsError, match=r"allows no figure.*0 have an accuracy and 1 a latency"):
        visualize(results)
    assert not (tmp_path / "plots").exists()


def test_results_without_any_training_say_so(tmp_path: Path) -> None:
    results = write_csv(tmp_path / "results.csv", [row(dataset="", protocol="", test_acc="")])
    with pytest.raises(ResultsError, match="no block was trained on a data set"):
        visualize(results)


def test_results_without_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="holds no results yet"):
        visualize(write_csv(tmp_path / "results.csv", []))


def test_results_that_do_not_exist_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"nothing\.csv"):
        visualize(tmp_path / "nothing.csv")


def test_an_output_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    results = write_csv(tmp_path / "results.csv", [row()])
    with pytest.raises(ResultsError, match=r"results\.csv cannot be"):
        visualize(results, results)
    assert results.read_text().startswith("timestamp,")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_folder_that_is_read_only_is_refused(tmp_path: Path) -> None:
    results = write_csv(tmp_path / "results.csv", [row()])
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(ResultsError, match="cannot be written"):
        visualize(results, tmp_path / "locked")


@pytest.mark.parametrize(
    ("formats", "message"), [(("gif",), "figure format is 'gif'"), ((), "no figure format")]
)
def test_formats_are_checked_before_anything_else(
    tmp_path: Path, formats: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        visualize(tmp_path / "nothing.csv", formats=formats)


def test_results_behind_a_url_have_their_plots_in_the_results_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = write_csv(tmp_path / "elsewhere" / "results.csv", [row()])
    from blockzoo.results.table.frame import load_results

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("blockzoo.report.visualize.load_results", lambda _: load_results(results))
    written = visualize("postgresql+psycopg://host/blockzoo", formats=["svg"])
    assert {path.parent for path in written} == {Path("results", "plots")}
    assert all(path.is_file() for path in written)


def test_a_store_of_latencies_alone_gives_a_figure_of_them_for_each_baseline(
    tmp_path: Path,
) -> None:
    with Store(tmp_path, create=True) as store:
        store.put_all([latency("1"), latency("2", precision="int8"), latency("3", baseline="C")])
    written = visualize(tmp_path, formats=["svg"])
    assert [path.name for path in written] == ["latency_B.svg", "latency_C.svg"]
    assert "A mid int8" in written[0].read_text()
