"""The rows of `results.csv`: what is joined with what, and that the file is always whole."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from blockzoo.core.errors import ResultsError, SchemaError
from blockzoo.core.position import Position
from blockzoo.results.store.database import Store
from blockzoo.results.table.cells import escaped_cell, unescaped_cell
from blockzoo.results.table.columns import COLUMNS, EARLY_COLUMNS
from blockzoo.results.table.csv import read_results_csv, write_csv_files, write_results_csv
from blockzoo.results.table.join import result_rows
from tests.record_samples import ENVIRONMENT, SCAFFOLD, after, cost, latency, memory, training

EARLY_HEADER = (
    "timestamp,block,dataset,position,epochs,batch_size,lr,val_loss,val_acc,training_time,"
    "params_total,params_trainable,flops,memory_mb,latency_ms,latency_std,throughput,device,"
    "num_blocks,base_channels,out_dim,experiment_name,notes"
)
EARLY_ROW = (
    "2025-01-01T00:00:00,ResNetBasicBlock,cifar10,mid,10,128,0.001,0.9,0.71,99.5,1000,1000,"
    '5e6,0.004,7.5,0.4,133.3,cpu,3,64,10,first,"a, b"'
)


def test_the_early_columns_come_first_and_in_their_order(tmp_path: Path) -> None:
    write_results_csv([], tmp_path / "results.csv")
    header = (tmp_path / "results.csv").read_text()
    assert header.startswith(EARLY_HEADER + ",protocol,seed,")
    assert header.strip().split(",") == list(COLUMNS)
    assert ",".join(EARLY_COLUMNS) == EARLY_HEADER


def test_a_training_is_joined_with_cost_and_latency() -> None:
    (row,) = result_rows([cost(), latency(), training(experiment_name="first", notes="n")])
    expected = {
        "timestamp": "2026-01-02T03:04:05+00:00",
        "block": "A",
        "dataset": "digits",
        "position": "mid",
        "epochs": 2,
        "batch_size": 64,
        "lr": 0.1,
        "val_loss": 0.5,
        "val_acc": 0.8,
        "training_time": 12.5,
        "params_total": 1100,
        "params_trainable": 1000,
        "flops": 100_000,
        "memory_mb": 2.5,
        "latency_ms": 5.0,
        "latency_std": 1.0,
        "throughput": 200.0,
        "device": "cpu",
        "num_blocks": 3,
        "base_channels": 16,
        "out_dim": 10,
        "experiment_name": "first",
        "notes": "n",
        "protocol": "quick",
        "seed": 0,
        "context": "ResNetBasicBlock",
        "input_shape": "3x32x32",
        "test_loss": 0.6,
        "test_acc": 0.75,
        "best_epoch": 1,
        "images_per_s": 321.0,
        "precision": "fp32",
        "memory_format": "contiguous",
        "test_top5": None,
        "test_calibration_error": None,
        "train_peak_memory_mb": None,
        "micro_batch_size": None,
        "weights_path": None,
        "corruption_acc": 0.5,
        "gaussian_noise_acc": None,
        "gaussian_blur_acc": None,
        "contrast_acc": 0.5,
        "jpeg_acc": None,
        "shift_acc": 0.625,
        "shift_consistency": 0.875,
        "resolution_075_acc": 0.375,
        "resolution_125_acc": None,
        "resolution_150_acc": None,
        "macs_train": 60_000,
        "macs_deploy": 50_000,
        "params_deploy": 900,
        "stage_macs_deploy": 20_000,
        "stage_params_deploy": 400,
        "training_memory_mb": 80.0,
        "training_memory_batch_size": 64,
        "uncounted": "",
        "uncounted_macs": 0,
        "measured_memory_mb": None,
        "measured_training_memory_mb": None,
        "measured_memory_device": None,
        "training_macs": None,
        "stage_training_macs": None,
        "training_memory_optimizer": None,
        "latency_low_ms": 4.5,
        "latency_high_ms": 5.5,
        "latency_iqr_ms": None,
        "latency_p90_ms": None,
        "latency_p99_ms": None,
        "latency_batch_size": 1,
        "latency_device": "cpu",
        "latency_hardware": "Some CPU",
        "latency_backend": "eager",
        "latency_precision": "fp32",
        "latency_threads": 1,
        "latency_baseline": "B",
        "latency_ratio": 0.9,
        "latency_ratio_low": 0.88,
        "latency_ratio_high": 0.92,
        "latency_verdict": "faster",
        "latency_flags": "noisy drift",
        "latency_cache": "hot",
        "status": "ok",
        "reason": "",
        "trial_id": "training",
        "block_fingerprint": "print-A",
        "hardware": "Some CPU",
        "python": "3.11.2",
        "torch": "2.15.0",
        "blockzoo": "0.1.0",
        "commit": "abc123",
        "schema_version": 2,
        "unsure": "",
        "dataset_fingerprint": "",
        "compiled": "no",
        "stem": "small",
        "stem_bias": "no",
        "latency_channels_last": "no",
        "latency_form": "deploy",
        "latency_verdict_reason": "",
        "latency_session": "",
        "latency_environment": row["latency_environment"],
        "latency_torch": "2.15.0",
        "latency_governor": None,
        "exported_bytes": None,
        "process_memory_mb": None,
        "energy_j_per_image": None,
        "energy_low_j": None,
        "energy_high_j": None,
    }
    assert row == expected


def test_measured_memory_stands_beside_what_was_counted() -> None:
    (row,) = result_rows(
        [cost(measured_inference_bytes=2_600_000, measured_training_bytes=90_000_000)]
    )
    assert (row["memory_mb"], row["measured_memory_mb"]) == (2.5, 2.6)
    assert (row["training_memory_mb"], row["measured_training_memory_mb"]) == (80.0, 90.0)


@pytest.mark.parametrize(
    ("names", "macs", "told"),
    [
        (("im2col", "norm"), {"im2col": 40, "norm": 2}, 42),
        (("im2col", "odd"), {"im2col": 40}, None),
        (("im2col",), {}, None),  # a record from before there were formulas
    ],
)
def test_uncounted_macs_are_known_where_every_operation_has_a_formula(
    names: tuple[str, ...], macs: dict[str, int], told: int | None
) -> None:
    (row,) = result_rows([cost(uncounted=names, uncounted_macs=macs)])
    assert (row["uncounted"], row["uncounted_macs"]) == (" ".join(names), told)


def test_what_a_training_step_costs_is_told() -> None:
    of_v1 = memory(64, 80_000_000).model_copy(update={"optimizer": "adamw, averaged weights"})
    record = cost(training_macs=170_000, stage_training_macs=90_000, memory_training=of_v1)
    (row,) = result_rows([record])
    assert (row["training_macs"], row["stage_training_macs"]) == (170_000, 90_000)
    assert row["training_memory_optimizer"] == "adamw, averaged weights"


def test_a_file_from_before_a_column_was_added_reads_as_empty_there(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    write_results_csv([cost(uncounted_macs={"im2col": 3}, uncounted=("im2col",))], path)
    added = {"uncounted_macs", "measured_memory_mb", "measured_training_memory_mb"}
    added |= {"training_macs", "stage_training_macs", "training_memory_optimizer"}
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    kept = [name for name in COLUMNS if name not in added]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, kept, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    (row,) = read_results_csv(path)
    assert {row[name] for name in added} == {""}
    assert {name: row[name] for name in kept} == {name: rows[0][name] for name in kept}


def test_a_shared_network_has_a_row_for_each_position_with_that_positions_cost() -> None:
    shared = training(positions=("early", "mid", "late"), block_fingerprint="print-early")
    costs = [
        cost(
            f"c-{place}", positions=(place,), block_fingerprint=f"print-{place}", uncounted=(place,)
        )
        for place in ("early", "mid", "late")
    ]
    rows = result_rows([shared, *costs])
    assert [(row["position"], row["uncounted"]) for row in rows] == [
        ("early", "early"),
        ("mid", "mid"),
        ("late", "late"),
    ]


def test_costs_of_another_structure_scaffold_position_or_block_are_not_joined() -> None:
    others = [
        cost("structure", block_fingerprint="print-old"),
        cost("scaffold", scaffold=SCAFFOLD.model_copy(update={"width": 32})),
        cost("position", positions=("late",)),
        cost("block", "B"),
    ]
    first, *rest = result_rows([training(), *others])
    assert first["trial_id"] == "training"
    assert first["flops"] is None
    assert [row["trial_id"] for row in rest] == ["structure", "scaffold", "position", "block"]
    assert all(row["flops"] == 100_000 and row["dataset"] is None for row in rest)


def test_what_was_only_timed_has_the_device_of_its_timing() -> None:
    gpu = ENVIRONMENT.model_copy(update={"accelerator": "Some GPU"})
    (row,) = result_rows([latency(device="cuda:0", environment=gpu), cost()])
    assert (row["device"], row["latency_hardware"], row["hardware"]) == (
        "cuda:0",
        "Some GPU",
        "Some CPU",
    )


def test_the_newest_good_cost_is_taken() -> None:
    costs = [
        cost("old", uncounted=("old",)),
        cost("new", uncounted=("new",), created_at=after(1)),
        cost("bad", uncounted=("bad",), created_at=after(2), status="failed", reason="no"),
    ]
    for order in (costs, costs[::-1]):
        (row,) = result_rows([*order, training()])
        assert row["uncounted"] == "new"
        assert row["status"] == "ok"


def test_where_both_were_timed_the_hot_latency_is_taken() -> None:
    hot, cold = latency("hot", median_ms=5.0), latency("cold", median_ms=6.0, cache="cold")
    for order in ([hot, cold], [cold, hot]):
        (row,) = result_rows([training(), *order])
        assert (row["latency_ms"], row["latency_cache"]) == (5.0, "hot")


def test_the_latency_with_the_usual_settings_is_taken_and_of_those_the_newest() -> None:
    usual = [latency(f"u{block}", block, median_ms=5.0) for block in "ABC"]
    repeated = latency("again", "A", median_ms=6.0, created_at=after(1))
    unusual = latency("batch", "A", median_ms=60.0, batch_size=64, created_at=after(2))
    only = latency("only", "D", median_ms=70.0, batch_size=64)
    trained = [training(f"t{block}", block) for block in "ABCD"]
    rows = result_rows([unusual, repeated, only, *usual, *trained])
    assert {row["block"]: row["latency_ms"] for row in rows} == {
        "A": 6.0,
        "B": 5.0,
        "C": 5.0,
        "D": 70.0,
    }


def test_failures_keep_their_reasons_on_one_line() -> None:
    (row,) = result_rows(
        [
            training(status="failed", reason="loss is\n not finite", test_accuracy=None),
            latency(status="failed", reason=None, median_ms=None),
        ]
    )
    assert row["status"] == "failed"
    assert row["reason"] == "training: loss is not finite; latency: no reason given"
    (trained,) = result_rows([training(), latency(status="failed", reason="parity")])
    assert (trained["status"], trained["reason"]) == ("ok", "latency: parity")
    (measured,) = result_rows([cost(), latency(status="failed", reason="parity")])
    assert measured["status"] == "failed"


def test_a_training_that_failed_before_it_was_built_takes_the_cost_of_its_place() -> None:
    (row,) = result_rows([cost(), training(status="failed", reason="no", block_fingerprint="")])
    assert row["flops"] == 100_000


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "results.csv"
    with Store(tmp_path, create=True) as store:
        store.put_all([cost(), training(notes='"quoted",\nand broken')])
        write_results_csv(store, path)
    (row,) = read_results_csv(path)
    assert row["notes"] == '"quoted",\nand broken'
    assert (row["flops"], row["test_acc"], row["latency_ms"]) == ("100000", "0.75", "")
    assert [entry.name for entry in path.parent.iterdir()] == ["results.csv"]


def test_rows_of_the_early_version_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text(f"{EARLY_HEADER}\n{EARLY_ROW}\n")
    for _ in range(2):
        write_results_csv([training()], path)
    with path.open(newline="") as file:
        _, early, new = csv.reader(file)
    assert early[: len(EARLY_COLUMNS)] == next(csv.reader([EARLY_ROW]))
    assert set(early[len(EARLY_COLUMNS) :]) == {""}
    assert new[1] == "A"


def test_a_file_of_something_else_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "thesis.csv"
    path.write_text("chapter,words\n1,5000\n")
    with pytest.raises(ResultsError, match="not a BlockZoo results file: no column timestamp"):
        write_results_csv([training()], path)
    assert path.read_text() == "chapter,words\n1,5000\n"


def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "results.csv"
    write_results_csv([training()], path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ResultsError, match=r"results\.csv cannot be written: No space left"):
        write_results_csv([training(), cost("c", "B")], path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["results.csv"]


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="it is not a file"):
        write_results_csv([], tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ResultsError, match="cannot be created"):
        write_results_csv([], tmp_path / "file" / "results.csv")


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    write_results_csv([training()], tmp_path / "link.csv")
    assert (tmp_path / "link.csv").is_symlink()
    assert len(read_results_csv(tmp_path / "real.csv")) == 1


def test_every_cut_of_a_file_is_noticed_unless_it_is_between_rows(tmp_path: Path) -> None:
    path, cut = tmp_path / "results.csv", tmp_path / "cut.csv"
    write_results_csv([training(notes="a\nb"), training("t2", seed=1)], path)
    whole = path.read_bytes()
    header_end = whole.index(b"\n") + 1
    last_row = whole.rindex(b"\n", 0, -1) + 1
    for end in range(0, len(whole), 7):
        cut.write_bytes(whole[:end])
        if end not in (header_end, last_row):
            with pytest.raises(ResultsError, match=r"cut\.csv"):
                read_results_csv(cut)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no column timestamp, block, dataset, position and others"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "it is not text"),
        (EARLY_HEADER.replace("notes", "remarks").encode(), "no column notes$"),
        (f"{EARLY_HEADER}\n{EARLY_ROW}\n2025,x".encode(), "row 2 has 2 values for 23 columns"),
        (f"{EARLY_HEADER}\n2025,x\n{EARLY_ROW}".encode(), "the file is damaged"),
        (f'{EARLY_HEADER}\n2025,"x'.encode(), "is damaged or truncated"),
    ],
)
def test_files_that_are_no_results(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "results.csv"
    path.write_bytes(content)
    with pytest.raises(ResultsError, match=message):
        read_results_csv(path)


def test_a_csv_of_a_newer_version(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    write_results_csv([training()], path)
    row = {**read_results_csv(path)[0], "schema_version": "3"}
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(COLUMNS), lineterminator="\n")
        writer.writeheader()
        writer.writerow(row)
    with pytest.raises(SchemaError, match="schema version 3"):
        read_results_csv(path)


def test_a_missing_csv(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"none\.csv cannot be read: No such file"):
        read_results_csv(tmp_path / "none.csv")


FORMULAS = ["=cmd|'/c calc'!A1", "+1", "-1+2", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "'=1", "''@x"]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_text_lands_as_a_formula_and_all_reads_back(tmp_path: Path, text: str) -> None:
    path = tmp_path / "results.csv"
    write_results_csv([training(notes=text, experiment_name=text)], path)
    with path.open(newline="") as file:
        header, cells = csv.reader(file)
    assert dict(zip(header, cells, strict=True))["notes"] == f"'{text}"
    (row,) = read_results_csv(path)
    assert row["notes"] == row["experiment_name"] == text


@pytest.mark.parametrize("text", ["a\rb", "\r", "a\n\rb", "\r\n", '"\r"'])
def test_every_kind_of_line_end_in_a_text_reads_back(tmp_path: Path, text: str) -> None:
    path = tmp_path / "results.csv"
    write_results_csv([training(notes=text), training("t2")], path)
    assert [row["notes"] for row in read_results_csv(path)] == [text, ""]
    assert path.read_bytes().count(b"\n") == 3 + text.count("\n")


@pytest.mark.parametrize("text", ["", "a=1", "'quoted'", "''", "1-2", "5"])
def test_other_text_is_written_as_it_is(tmp_path: Path, text: str) -> None:
    assert (escaped_cell(text), unescaped_cell(text)) == (text, text)


def test_negative_numbers_stay_numbers(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    write_results_csv([training(val_loss=-0.5)], path)
    assert read_results_csv(path)[0]["val_loss"] == "-0.5"


def test_rows_are_of_the_positions_asked_for_and_of_no_others() -> None:
    everywhere = ("early", "mid", "late")
    late = (Position.LATE,)
    records = [
        training(positions=everywhere, asked=late),
        cost(positions=everywhere, asked=late),
        latency(positions=everywhere, asked=late),
    ]
    assert [row["position"] for row in result_rows(records)] == ["late"]
    assert [row["position"] for row in result_rows(records[1:])] == ["late"]
    # What was measured beside the training at another position has a row of its own there.
    early = cost(positions=everywhere, asked=(Position.EARLY,))
    rows = result_rows([records[0], early])
    assert [(row["position"], row["dataset"]) for row in rows] == [
        ("late", "digits"),
        ("early", None),
    ]


def test_files_of_a_store_that_has_not_changed_stay(tmp_path: Path) -> None:
    def written() -> list[int]:
        """Return the files' numbers: one that is written anew is another file."""
        write_csv_files(store, tmp_path / "results.csv")
        return [(tmp_path / name).stat().st_ino for name in ("results.csv", "latencies.csv")]

    with Store(tmp_path, create=True) as store:
        store.put_all([training(), latency()])
        first = written()
        assert written() == first
        store.ask({"training": (Position.MID,)})  # as it is asked for already
        assert written() == first
        # Whatever is done to one of them, it is made anew.
        (tmp_path / "results.csv").write_text("edited")
        with pytest.raises(ResultsError):
            written()
        (tmp_path / "results.csv").unlink()
        (tmp_path / "latencies.csv").unlink()
        again = written()
        assert written() == again
        store.put(training("other", seed=1))
        assert written() != again
        assert len(read_results_csv(tmp_path / "results.csv")) == 2
    with Store(tmp_path) as store:
        again = written()
        assert written() == again


def test_a_file_with_other_columns_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    with Store(tmp_path, create=True) as store:
        store.put(training())
        write_csv_files(store, path)
        text = path.read_text()
        path.write_text(text.replace(",training_memory_optimizer", ",of_an_older_version", 1))
        kept = path.stat()
        mark = f"{kept.st_ino} {kept.st_size} {kept.st_mtime_ns}"
        store.note(str(path.resolve()), mark, store.change or 0)
        assert store.is_noted(str(path.resolve()), mark)
        write_csv_files(store, path)
    assert path.read_text() == text


def test_a_store_that_changes_while_its_files_are_written_leaves_them_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "results.csv"
    with Store(tmp_path, create=True) as store:
        store.put(training())

        def meanwhile(source: Store, to: Path) -> None:
            write_results_csv(source, to)
            source.put(training("other", seed=1))

        monkeypatch.setattr("blockzoo.results.table.csv.write_results_csv", meanwhile)
        write_csv_files(store, path)
        monkeypatch.undo()
        write_csv_files(store, path)
    assert len(read_results_csv(path)) == 2
