"""Bundles give the same records back; Parquet holds the same rows as the CSV."""

from __future__ import annotations

import sqlite3
import sys
import tracemalloc
from pathlib import Path

import pandas as pd
import pytest

from blockzoo.core.errors import InputError, ResultsError, SchemaError
from blockzoo.results.export import export, export_bundle, export_parquet, import_bundle
from blockzoo.results.records import AnyRecord
from blockzoo.results.store.database import Store
from blockzoo.results.store.reading import parse_record
from blockzoo.results.table.frame import load_results
from tests.record_samples import cost, latency, training

RECORDS: list[AnyRecord] = [
    cost(),
    latency(samples_ms=(0.1 + 0.2, 1e-300, 1 / 3)),
    training(notes="a\nb\u2028\x85ä\x00", val_loss=float("inf")),
]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    with Store(tmp_path / "one.db", create=True) as store:
        store.put_all(RECORDS)
        assert export_bundle(store, tmp_path / "bundle.jsonl") == 3
    return tmp_path / "bundle.jsonl"


def test_a_bundle_gives_the_same_records_back(bundle: Path, tmp_path: Path) -> None:
    with Store(tmp_path / "two.db", create=True) as store:
        assert import_bundle(bundle, store).records == 3
        assert {record.trial_id: record for record in store.records()} == {
            record.trial_id: record for record in RECORDS
        }
        export_bundle(store, tmp_path / "again.jsonl")
        assert import_bundle(bundle, store).records == 3
        assert len(store.records()) == 3
    assert (tmp_path / "again.jsonl").read_bytes() == bundle.read_bytes()


def test_an_empty_store_has_an_empty_bundle(tmp_path: Path) -> None:
    with Store(tmp_path, create=True) as store:
        assert export_bundle(store, tmp_path / "bundle.jsonl") == 0
        assert import_bundle(tmp_path / "bundle.jsonl", store).records == 0


def test_bundles_that_are_damaged_change_nothing(bundle: Path, tmp_path: Path) -> None:
    whole = bundle.read_bytes()
    first, second, *_ = whole.splitlines(keepends=True)
    spoilt = {
        "is truncated or damaged: 3 records": [whole[:-1], whole[:-40], first + second, first],
        "is not a BlockZoo bundle": [b"", b"block,dataset\n", b"\xff\x00", second],
        "line 2, is not a record": [whole.replace(b'"kind":"cost"', b'"kind":"dust"')],
    }
    with Store(tmp_path / "two.db", create=True) as store:
        for message, contents in spoilt.items():
            for content in contents:
                bundle.write_bytes(content)
                with pytest.raises(ResultsError, match=message):
                    import_bundle(bundle, store)
        assert store.records() == []


SPOILT = [
    ('"test_accuracy":0.75', '"test_accuracy":"Infinity"'),
    ('"test_accuracy":0.75', '"test_accuracy":7.5'),
    ('"test_accuracy":0.75', '"test_accuracy":-1'),
    ('"shift_accuracy":0.625', '"shift_accuracy":"NaN"'),
    ('"seed":0', '"seed":9223372036854775808'),
    ('"seed":0', '"seed":-1'),
    ('"created_at":"2026-01-02T03:04:05.678901Z"', '"created_at":"0001-01-01T00:00:00+14:00"'),
    ('"created_at":"2026-01-02T03:04:05.678901Z"', '"created_at":"9999-12-31T23:59:59-01:00"'),
    ('"created_at":"2026-01-02T03:04:05.678901Z"', '"created_at":"1969-12-31T23:59:59Z"'),
    ('"positions":["mid"]', '"positions":[]'),
    ('"positions":["mid"]', '"positions":["mid","mid"]'),
    ('"block":"A"', '"block":""'),
    ('"block":"A"', '"block":"A\\u001b[2J"'),
    ('"block":"A"', '"block":"' + "A" * 5001 + '"'),
    ('"dataset":"digits"', '"dataset":""'),
    ('"trial_id":"training"', '"trial_id":"' + "a" * 65 + '"'),
    ('"width":16', '"width":-16'),
    ('"memory_bytes":8000000000', '"memory_bytes":1e30'),
    ('"epochs":2', '"epochs":"two"'),
    ('"epochs":2', '"epochs":' + "9" * 30),
    ('"learning_rate":0.1,"train', '"learning_rate":"NaN","train'),
    ('"contrast":[0.75,0.25]', '"contrast":[]'),
    ('"1.5":null', '"wide":null'),
]


@pytest.mark.parametrize(("old", "new"), SPOILT)
def test_what_cannot_be_is_refused_by_its_line_or_left_out(
    tmp_path: Path, old: str, new: str
) -> None:
    path = tmp_path / "bundle.jsonl"
    with Store(tmp_path / "one.db", create=True) as store:
        store.put_all([cost(), training("training"), latency()])
        export_bundle(store, path)
    text = path.read_text()
    assert text.count(old) >= 1
    number = next(n for n, line in enumerate(text.splitlines(), 1) if '"kind":"training"' in line)
    lines = text.splitlines(keepends=True)
    lines[number - 1] = lines[number - 1].replace(old, new)
    path.write_text("".join(lines))
    with Store(tmp_path / "two.db", create=True) as store:
        with pytest.raises(ResultsError, match=rf"bundle\.jsonl, line {number}, is not a record"):
            import_bundle(path, store)
        assert store.records() == []
        imported = import_bundle(path, store, skip_bad=True)
        assert (imported.records, len(imported.skipped)) == (2, 1)
        assert {record.trial_id for record in store.records()} == {"cost", "latency"}


@pytest.mark.parametrize("params", ["1" + "0" * 30, "-1", "9223372036854775808", "1.5"])
def test_counts_are_whole_numbers_of_63_bits(params: str) -> None:
    text = cost().model_dump_json().replace('"params_total":1100', f'"params_total":{params}')
    with pytest.raises(ResultsError, match="is not a record"):
        parse_record(text, location="it")


def test_a_long_bundle_is_imported_in_little_memory(tmp_path: Path) -> None:
    lines = 12_000
    path, record = tmp_path / "long.jsonl", training("ID", notes="x" * 1000)
    text = record.model_dump_json()
    with path.open("w") as file:
        file.write(f'{{"blockzoo_bundle":1,"records":{lines}}}\n')
        file.writelines(text.replace('"ID"', f'"t{number}"') + "\n" for number in range(lines))
    assert path.stat().st_size > 30e6
    with Store(tmp_path / "store.db", create=True) as store:
        tracemalloc.start()
        try:
            assert import_bundle(path, store).records == lines
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak_bytes < 15e6
    with sqlite3.connect(tmp_path / "store.db") as connection:
        assert connection.execute("SELECT count(*) FROM records").fetchone() == (lines,)
    connection.close()


def test_a_bundle_of_a_newer_version(bundle: Path, tmp_path: Path) -> None:
    bundle.write_bytes(bundle.read_bytes().replace(b'_bundle":2', b'_bundle":3'))
    with Store(tmp_path, create=True) as store, pytest.raises(SchemaError, match="version 3"):
        import_bundle(bundle, store)


def test_a_missing_bundle(tmp_path: Path) -> None:
    with Store(tmp_path, create=True) as store, pytest.raises(ResultsError, match="cannot be read"):
        import_bundle(tmp_path / "none.jsonl", store)


def test_parquet_holds_the_rows(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    with Store(tmp_path, create=True) as store:
        store.put_all([cost(), latency(), training()])
        assert export_parquet(store, tmp_path / "results.parquet") == 1
    found = pd.read_parquet(tmp_path / "results.parquet")
    expected = load_results(tmp_path)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    assert found.loc[0, "flops"] == 100_000


def test_parquet_without_pyarrow_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with (
        Store(tmp_path, create=True) as store,
        pytest.raises(ResultsError, match=r"pip install 'blockzoo\[parquet\]'"),
    ):
        export_parquet(store, tmp_path / "results.parquet")
    assert not (tmp_path / "results.parquet").exists()


def test_the_suffix_says_the_form(bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    with Store(tmp_path / "one.db") as store:
        for name in ("a.csv", "a.PARQUET", "a.jsonl"):
            export(store, tmp_path / name)
        with pytest.raises(InputError, match=r"a\.txt; its name must end in \.csv, \.parquet"):
            export(store, tmp_path / "a.txt")
    assert len(load_results(tmp_path / "a.csv")) == 1
    assert (tmp_path / "a.PARQUET").read_bytes()[:4] == b"PAR1"
    assert (tmp_path / "a.jsonl").read_bytes() == bundle.read_bytes()
    assert not (tmp_path / "a.txt").exists()
