"""Bundles: what comes back is equal, and whatever was tampered with changes nothing."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import random
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from blockzoo.core.errors import BundleError, ResultsError
from blockzoo.results.prune import Unwanted, find_unwanted, remove
from blockzoo.results.records import EpochMetrics
from blockzoo.results.store.database import Store
from blockzoo.results.submissions import layout
from blockzoo.results.submissions.bundle import read_bundle, write_bundle
from tests.cli.commands.running import run
from tests.record_samples import ENVIRONMENT, cost, latency, training

RECORDS = [
    cost(),
    latency(samples_ms=(0.1 + 0.2, 1e-300, 1 / 3)),
    training(notes="a\nloss < 0.1 ä", val_loss=float("inf")),
    training("failed", status="failed", reason="<lambda> \x1b[31m", seed=1),
]
Members = dict[str, bytes]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A bundle of all records."""
    folder = tmp_path_factory.mktemp("bundle")
    with Store(folder, create=True) as store:
        store.put_all(RECORDS)
        assert write_bundle(store, folder / "a.bundle.zip") == 4
    return (folder / "a.bundle.zip").read_bytes()


def members_of(bundle: bytes) -> Members:
    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(members: Members, how: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", how) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def resealed(members: Members) -> bytes:
    """A bundle with those members whose manifest names their sizes and checksums."""
    manifest = json.loads(members["manifest.json"])
    manifest["members"] = {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in members.items()
        if name != "manifest.json"
    }
    return zipped({**members, "manifest.json": json.dumps(manifest).encode()})


def changed(name: str, old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """Return what changes a member, and has the manifest agree."""

    def change(bundle: bytes) -> bytes:
        members = members_of(bundle)
        assert old in members[name]
        members[name] = members[name].replace(old, new)
        return resealed(members)

    return change


def with_series(blob: bytes) -> Callable[[bytes], bytes]:
    """Return what puts something else in the place of the first record's series."""

    def change(bundle: bytes) -> bytes:
        members = members_of(bundle)
        (length,) = struct.unpack_from("<I", members["series.bin"])
        rest = members["series.bin"][4 + length :]
        members["series.bin"] = struct.pack("<I", len(blob)) + blob + rest
        return resealed(members)

    return change


def unsealed(bundle: bytes) -> bytes:
    members = members_of(bundle)
    members["records.jsonl"] = members["records.jsonl"].replace(b'"mid"', b'"late"')
    manifest = json.loads(members["manifest.json"])
    manifest["members"]["records.jsonl"]["bytes"] = len(members["records.jsonl"])
    return zipped({**members, "manifest.json": json.dumps(manifest).encode()})


def with_link(bundle: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members_of(bundle).items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFLNK if name == "series.bin" else stat.S_IFREG) << 16
            archive.writestr(info, data)
    return out.getvalue()


def with_twice(bundle: bytes) -> bytes:
    out = io.BytesIO(bundle)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(out, "a") as archive:
        archive.writestr("records.jsonl", b"")
    return out.getvalue()


def pickled() -> bytes:
    out = io.BytesIO()
    np.save(out, np.array([object], dtype=object), allow_pickle=True)
    return out.getvalue()


def named(name: str) -> Callable[[bytes], bytes]:
    return lambda bundle: zipped({**members_of(bundle), name: b"x"})


TAMPERED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "value": (
        changed("records.jsonl", b'"test_accuracy":0.75', b'"test_accuracy":7.5'),
        "test_acc",
    ),
    "kind": (changed("records.jsonl", b'"kind":"cost"', b'"kind":"dust"'), "is not a record"),
    "checksum": (unsealed, "records.jsonl does not have the checksum"),
    "environment": (changed("environments.json", b"Some CPU", b"Best CPU"), "was changed"),
    "environment missing": (changed("environments.json", b"{", b'{"x":{}, "y":{'), "is no JSON"),
    "scaffold": (changed("configuration.json", b'"depth":3', b'"depth":9'), "was changed"),
    "path above": (named("../evil.py"), "member '../evil.py' is none of"),
    "path from the root": (named("/etc/evil"), "member '/etc/evil' is none of"),
    "path below": (named("series/0.npy"), "member 'series/0.npy' is none of"),
    "member twice": (with_twice, "is there twice"),
    "member missing": (lambda b: zipped({"manifest.json": b"{}"}), "a member is missing"),
    "link": (with_link, "series.bin is a link"),
    "compressed otherwise": (lambda b: zipped(members_of(b), zipfile.ZIP_BZIP2), "not allowed"),
    "long name": (
        changed("records.jsonl", b'"block":"A"', b'"block":"' + b"A" * 5001 + b'"'),
        "block",
    ),
    "script": (
        changed("records.jsonl", b"loss < 0.1", b"<script>alert(1)</script>"),
        "notes: holds markup: <script>alert",
    ),
    "script in a reason": (changed("records.jsonl", b"<lambda>", b"<img src=x>"), "reason: holds"),
    "escape": (changed("records.jsonl", b"loss < 0.1", b"\\u001b[2J"), "control characters"),
    "bidi": (changed("records.jsonl", b"loss < 0.1", b"\\u202e"), "control characters"),
    "markup in the manifest": (changed("manifest.json", b'"commit":', b'"<b>":'), "markup"),
    "cut off": (lambda b: b[:-30], "is no bundle, or is truncated"),
    "half": (lambda b: b[: len(b) // 2], "is no bundle, or is truncated"),
    "empty": (lambda _: b"", "is no bundle, or is truncated"),
    "no zip": (lambda _: b"PK\5\6" * 40, "is no bundle"),
    "newer records": (
        changed("manifest.json", b'"schema_version": 2', b'"schema_version": 99'),
        "schema version 99; this BlockZoo reads versions up to 2: update BlockZoo",
    ),
    "newer record": (changed("records.jsonl", b'"schema_version":2', b'"schema_version":3'), "3;"),
    "newer format": (
        changed("manifest.json", b'"blockzoo_bundle": 1', b'"blockzoo_bundle": 2'),
        "is a bundle of another format",
    ),
    "more than said": (changed("manifest.json", b'"records": 4', b'"records": 3'), "too many"),
    "fewer than said": (changed("manifest.json", b'"records": 4', b'"records": 5'), "hold 5"),
    "unknown in the manifest": (changed("manifest.json", b'"commit":', b'"note":'), "manifest"),
    "line twice": (changed("records.jsonl", b"\n", b"\n\n"), "is no JSON"),
    "array that is pickled": (with_series(pickled()), "series"),
    "pickle": (with_series(zlib.compress(pickle.dumps([object]))), "series"),
    "series missing": (lambda b: resealed({**members_of(b), "series.bin": b""}), "missing"),
    "series too many": (
        lambda b: resealed({**members_of(b), "series.bin": members_of(b)["series.bin"] + b"x"}),
        "it does not hold 4 records",
    ),
    "series too large": (
        lambda b: resealed({**members_of(b), "series.bin": b"\xff" * 8}),
        "missing or too large",
    ),
    "series that inflate": (with_series(zlib.compress(bytes(2**28 + 1))), "too large"),
    "packed too tightly": (
        lambda b: resealed({**members_of(b), "records.jsonl": bytes(2**25)}),
        "packed more tightly",
    ),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_what_was_tampered_with_is_refused_and_changes_nothing(
    what: str, whole: bytes, tmp_path: Path
) -> None:
    tamper, reason = TAMPERED[what]
    path = tmp_path / "a.bundle.zip"
    path.write_bytes(tamper(whole))
    with Store(tmp_path / "kept.db", create=True) as store:
        store.put(cost("before"))
        change = store.change
        with pytest.raises(BundleError, match=r"a\.bundle\.zip|manifest") as caught:
            read_bundle(path, store)
        assert reason in str(caught.value)
        assert "\n" not in str(caught.value)
        assert (store.records(), store.change) == ([cost("before")], change)
    assert [each.name for each in tmp_path.iterdir() if "evil" in each.name] == []


def test_any_byte_that_is_changed_or_lost_is_one_line_or_changes_nothing(
    whole: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "a.bundle.zip"
    chance = random.Random(0)
    with Store(tmp_path, create=True) as store:
        for _ in range(60):
            at = chance.randrange(len(whole))
            other = bytes([whole[at] ^ (1 << chance.randrange(8))])
            path.write_bytes(chance.choice([whole[:at] + other + whole[at + 1 :], whole[:at]]))
            try:
                read_bundle(path, store)
            except BundleError:
                assert store.is_empty
            else:
                # A time or a right of a member, which says nothing of a record.
                assert list(map(members_of, [path.read_bytes()])) == [members_of(whole)]
                assert remove(store, find_unwanted(store, Unwanted())) == 4


def test_sizes_that_are_too_large_are_refused_before_they_are_read(
    whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.bundle.zip"
    path.write_bytes(whole)
    with Store(tmp_path, create=True) as store:
        for name in layout.LARGEST_BYTES:
            with monkeypatch.context() as patch:
                patch.setitem(layout.LARGEST_BYTES, name, 100)
                with pytest.raises(BundleError, match=f"{name} is .* bytes; 100 are allowed"):
                    read_bundle(path, store)
        assert store.is_empty


def test_the_command_line_says_why_in_one_line(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.bundle.zip"
    path.write_bytes(TAMPERED["script"][0](whole))
    for way in (["import", str(path), "--into", str(tmp_path)],
                [str(tmp_path), "--import", str(path)]):  # fmt: skip
        status, shown, error = run("results", *way)
        assert (status, shown, error.count("\n")) == (2, "", 1)
        assert error.startswith("error: a.bundle.zip, record 4, notes: holds markup")
    path.write_bytes(whole)
    assert run("results", "import", str(path), "--into", str(tmp_path))[0] == 0
    with Store(tmp_path) as store:
        assert len(store.records()) == 4


def test_a_bundle_gives_equal_records_and_the_same_bundle(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.bundle.zip"
    path.write_bytes(whole)
    with Store(tmp_path, create=True) as store:
        taken = read_bundle(path, store)
        assert (taken.new, taken.records) == (4, 4)
        assert {each.trial_id: each for each in store.records()} == {
            each.trial_id: each for each in RECORDS
        }
        change = store.change
        assert read_bundle(path, store).same == 4
        assert store.change == change
        write_bundle(store, tmp_path / "again.bundle.zip")
    again = members_of((tmp_path / "again.bundle.zip").read_bytes())
    assert again == members_of(whole)


def test_what_is_none_is_left_out_where_that_is_asked_for(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.bundle.zip"
    path.write_bytes(TAMPERED["value"][0](whole))
    with Store(tmp_path, create=True) as store:
        taken = read_bundle(path, store, skip_bad=True)
        assert (taken.new, len(taken.skipped)) == (2, 2)
        assert store.ok_ids() == {"cost", "latency"}


def test_a_store_with_text_that_nobody_could_import_is_not_exported(tmp_path: Path) -> None:
    with Store(tmp_path, create=True) as store:
        store.put(training(notes="<b>"))
        with pytest.raises(BundleError, match="record training, notes: holds markup: <b>"):
            write_bundle(store, tmp_path / "a.bundle.zip")
    assert not (tmp_path / "a.bundle.zip").exists()


def test_a_bundle_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with Store(tmp_path, create=True) as store, pytest.raises(ResultsError, match="No such file"):
        read_bundle(tmp_path / "none.bundle.zip", store)


NUMBERS = some.floats(0, 1)
PLAIN = some.text(some.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=8)
NOTES = PLAIN.filter(lambda text: "<" not in text)
EPOCHS = some.builds(
    EpochMetrics, epoch=some.integers(0, 9), learning_rate=NUMBERS, train_loss=some.floats(),
    train_accuracy=NUMBERS, val_loss=some.floats(allow_nan=False), val_accuracy=NUMBERS,
    seconds=NUMBERS, images_per_s=some.none() | NUMBERS,
)  # fmt: skip


@given(
    note=NOTES, epochs=some.lists(EPOCHS, max_size=4), samples=some.lists(NUMBERS, max_size=9),
    cores=some.integers(0, 2**63 - 1), rate=NUMBERS,
)  # fmt: skip
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_record_makes_the_round_trip(
    tmp_path: Path, note: str, epochs: list[EpochMetrics], samples: list[float], cores: int,
    rate: float,
) -> None:  # fmt: skip
    environment = ENVIRONMENT.model_copy(update={"cores": cores})
    records = [
        training(notes=note, epochs=tuple(epochs), recipe={"learning_rate": rate}),
        latency(samples_ms=tuple(samples), environment=environment),
    ]
    (tmp_path / "one.db").unlink(missing_ok=True)
    (tmp_path / "two.db").unlink(missing_ok=True)
    path = tmp_path / "a.bundle.zip"
    with Store(tmp_path / "one.db", create=True) as one:
        one.put_all(records)
        write_bundle(one, path)
        lines = sorted(one.lines())
    with Store(tmp_path / "two.db", create=True) as two:
        assert read_bundle(path, two).new == 2
        assert sorted(two.lines()) == lines  # text, for a loss that is none is equal to nothing
