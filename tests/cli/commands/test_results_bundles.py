"""`results bundle`, `verify` and `board` as commands, on the bundle of a real tiny sweep."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blockzoo.results.answers import answers_of, packed
from blockzoo.results.records import AnyRecord
from blockzoo.results.store.database import Store
from blockzoo.results.submissions.bundle import checked, write_bundle
from blockzoo.results.submissions.layout import Origin
from blockzoo.results.submissions.verification import Tier, read_verifications
from tests.cli.commands.running import run
from tests.experiments.verification.tiny import FIRST, SECOND, failure, swept, timed, trained
from tests.record_samples import latency, training

BUNDLE = "mine.bundle.zip"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def bundled(records: Sequence[AnyRecord], name: str = BUNDLE, by: str = "Ada") -> str:
    """Write a bundle of those records, as anybody may who can write files."""
    with Store(f"store of {name}", create=True) as store:
        store.put_all(records)
        write_bundle(store, name, Origin(by=by, about="two blocks"))
    return name


def with_(record: AnyRecord, **changes: Any) -> list[AnyRecord]:
    altered = record.model_copy(update=changes)
    return [altered if each.trial_id == record.trial_id else each for each in swept()]


def accuracy_altered() -> list[AnyRecord]:
    bits = answers_of(trained(FIRST, 0))
    assert bits is not None
    better = bits | (np.arange(len(bits)) < 40)
    accuracy = float(better.mean())
    return with_(trained(FIRST, 0), test_accuracy=accuracy, test_correct=packed(better))


def environment_edited() -> list[AnyRecord]:
    edited = timed(SECOND).environment.model_copy(update={"processor": "Faster CPU"})
    return with_(timed(SECOND), environment=edited)


FALSE: dict[str, tuple[Callable[[], list[AnyRecord]], str]] = {
    "an altered accuracy": (accuracy_altered, "should be the same bits"),
    "a swapped block": (
        lambda: with_(trained(FIRST, 0), block=SECOND),
        f"its block is not the {SECOND} built here",
    ),
    "a wrong seed": (
        lambda: with_(trained(FIRST, 0), seed=9),
        "its id is not that of the seed, recipe and protocol",
    ),
    "an edited environment": (environment_edited, "its id is not that of its environment"),
    "a missing failure": (
        lambda: [each for each in swept() if each.trial_id != failure().trial_id],
        f"missing: {SECOND} at mid",
    ),
}


def test_the_bundle_of_a_sweep_is_made_verified_and_trusted_more() -> None:
    with Store("results", create=True) as store:
        store.put_all(swept())
    words = ("--by", "Ada", "--about", "two blocks")
    status, shown, said = run("results", "bundle", "--to", BUNDLE, *words)
    assert (status, shown) == (0, f"wrote {BUNDLE}\n")
    assert "12 records, self-reported" in said
    with checked(BUNDLE) as bundle:
        assert bundle.origin == Origin(by="Ada", about="two blocks", tier="self-reported")
    assert read_verifications(BUNDLE).tier is Tier.SELF_REPORTED

    arguments = ("--sample", "3", "--seed", "1", "--record")
    status, shown, said = run("results", "verify", BUNDLE, *arguments)
    assert status == 0
    assert "12 records by Ada: two blocks" in said
    assert "12 records: 2 costs counted again, 3 trials made again, nothing failed" in shown
    assert "drawn by --seed 1 from the 7 that can be made again here" in said
    assert "1 of 7 42.9% 7" in " ".join(shown.split())
    assert "it is reproduced bit for bit" in said
    kept = read_verifications(BUNDLE)
    assert kept.tier is Tier.BIT_FOR_BIT
    assert [each.sample_seed for each in kept.verifications] == [1]


@pytest.mark.parametrize("falsified", FALSE)
def test_a_false_bundle_fails_and_says_what(falsified: str) -> None:
    make, line = FALSE[falsified]
    status, shown, said = run("results", "verify", bundled(make()), "--sample", "9", "--record")
    assert status == 1
    assert line in shown
    assert "nothing failed" not in shown
    assert "it is self-reported" in said
    assert read_verifications(BUNDLE).verifications[0].failures


def test_without_a_sample_it_says_that_nothing_would_have_been_caught() -> None:
    status, shown, said = run("results", "verify", bundled(swept()))
    assert status == 0
    assert "1 of 7 0.0% 7" in " ".join(shown.split())
    assert "not made again: 1, because it failed" in said
    assert "--sample N makes N of the 7 that can be made again here" in said
    assert not Path("mine.verified.json").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("verify", "missing.zip"), "missing.zip is not there; give the name of a bundle"),
        (("verify", "results", "--sample", "1"), "results is no bundle, NAME.bundle.zip; "),
        (("verify", "results", "--record"), "results is no bundle"),
        (("verify", "broken.zip"), "broken.zip is no bundle, or is truncated"),
        (("verify", "broken.zip", "--sample", "0"), "--sample"),
        (("verify", "broken.zip", "--tolerance", "0"), "--tolerance"),
        (("bundle",), "--to is missing; give the name of a bundle"),
        (("bundle", "--to", "mine.jsonl"), "--to is mine.jsonl; give the name of a bundle"),
        (("bundle", "--to", BUNDLE, "--by", "<script>"), "--by: holds markup: <script>"),
        (("bundle", "--to", BUNDLE, "--by", "A" * 201), "--by is too long"),
        (("bundle", "--to", BUNDLE, "--block", "Nobody"), "Nobody"),
        (("bundle", "--to", BUNDLE, "--protocol", "v1"), "results holds no such records"),
        (("board", "."), ". holds no bundles"),
    ],
)
def test_what_cannot_be_is_one_line(arguments: tuple[str, ...], line: str) -> None:
    with Store("results", create=True) as store:
        store.put(training())
    Path("broken.zip").write_bytes(b"PK")
    status, shown, error = run("results", *arguments)
    assert (status, shown) == (2, "")
    assert line in error
    assert error.count("\n") == 1
    assert not Path(BUNDLE).exists()


def test_a_bundle_that_claims_a_tier_is_refused() -> None:
    with zipfile.ZipFile(bundled([training()])) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(members["manifest.json"])
    manifest["origin"]["tier"] = "maintained"
    members["manifest.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(BUNDLE, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    status, shown, error = run("results", "verify", BUNDLE)
    assert (status, shown) == (2, "")
    assert "its manifest says origin.tier: Input should be 'self-reported'" in error


def test_a_device_that_is_not_there_is_told_before_anything_runs() -> None:
    status, shown, error = run("results", "verify", bundled([training()]), "--device", "abacus")
    assert (status, shown) == (2, "")
    assert "device 'abacus' is not available" in error


def test_a_damaged_file_of_checks_is_told_before_anything_runs() -> None:
    bundled([training()])
    Path("mine.verified.json").write_text("{}")
    status, shown, error = run("results", "verify", BUNDLE, "--record")
    assert (status, shown) == (2, "")
    assert "mine.verified.json holds no checks of a bundle" in error


def test_a_choice_takes_what_it_is_compared_with() -> None:
    records = [training("1", "A"), training("2", "B"), latency("3", "A", baseline="C")]
    records += [latency("4", "C"), training("5", "A", protocol="lite"), training("6", "C")]
    with Store("results", create=True) as store:
        store.put_all(records)
    assert run("results", "bundle", "--to", BUNDLE, "--block", "A")[0] == 0
    assert ids(BUNDLE) == {"1", "3", "4", "5", "6"}
    assert run("results", "bundle", "--to", BUNDLE, "--protocol", "lite")[0] == 0
    assert ids(BUNDLE) == {"3", "5"}


def ids(bundle: str) -> set[str]:
    with checked(bundle) as opened:
        return {record.trial_id for record in opened.records()}


def test_a_board_trusts_what_was_verified_before_what_came_later() -> None:
    Path("board").mkdir()
    first = bundled(swept(), "board/first.bundle.zip", by="Ada")
    assert run("results", "verify", first, "--sample", "1", "--seed", "2", "--record")[0] == 0
    later = trained(FIRST, 0).model_copy(
        update={"test_accuracy": None, "test_correct": None, "created_at": failure().created_at}
    )
    bundled([later, training("own", "A")], "board/again.bundle.zip", by="Eve")
    status, shown, _ = run("results", "board", "board", "--into", "together")
    assert status == 0
    rows = [line.split() for line in shown.splitlines() if "Ada" in line or "Eve" in line]
    assert [row[:4] for row in rows] == [
        ["again", "Eve", "1", "self-reported"],
        ["first", "Ada", "12", "reproduced"],
    ]
    with Store("together") as store:
        kept = {record.trial_id: record for record in store.each()}
    assert kept[later.trial_id] == trained(FIRST, 0)
    assert len(kept) == 13


def test_a_board_is_the_same_whatever_was_there_before() -> None:
    Path("board").mkdir()
    bundled([training("1")], "board/a.bundle.zip")
    assert run("results", "board", "board", "--into", "one")[0] == 0
    shutil.copy("board/a.bundle.zip", "board/b.bundle.zip")
    status, shown, _ = run("results", "board", "board", "--into", "one")
    assert (status, shown.count("Ada")) == (0, 2)
