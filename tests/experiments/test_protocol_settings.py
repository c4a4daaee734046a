"""What is said of a protocol: all its settings, and what one has changed that only records know."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from blockzoo.core.errors import BlockZooError, InputError
from blockzoo.experiments.protocol import Protocol, get_protocol
from blockzoo.experiments.protocol_settings import from_records, shown
from blockzoo.report.tables.protocols import change_line
from blockzoo.results.records import TrainingRecord
from tests.record_samples import SCAFFOLD, training

NARROW = get_protocol("v1").changed(width=32, epochs=20)


def trained(protocol: Protocol, label: str = "") -> TrainingRecord:
    scaffold = SCAFFOLD.model_copy(update={"width": protocol.width, "depth": protocol.depth})
    return training(
        protocol=label or protocol.label, scaffold=scaffold, recipe=asdict(protocol.recipe)
    )


def test_what_a_label_stands_for_is_read_from_records() -> None:
    other = trained(get_protocol("v1").changed(width=16))
    found = from_records(NARROW.label, [other, trained(NARROW)], "kept")
    assert found.changed == {"width": (32, 64), "epochs": (20, 50), "warmup_epochs": (2.0, 5.0)}
    assert found.complete
    assert change_line(found) == (
        f"{NARROW.label} is v1 with width 32 (v1: 64), epochs 20 (v1: 50), warmup epochs 2.0 "
        f"(v1: 5.0)"
    )


def test_the_same_is_found_without_records() -> None:
    assert shown("v1", ["width=32", "epochs=20"]).label == NARROW.label
    assert shown("v1", ["lr=0.001"]).changed == {"learning_rate": (0.001, 0.002)}
    assert shown("v1+macs@0.5x").label == "v1+macs@0.5x"


def test_what_records_do_not_keep_is_said() -> None:
    split = get_protocol("v1").changed(split_seed=7)
    found = from_records(split.label, [trained(split)], "kept")
    assert (found.changed, found.complete) == ({}, False)
    assert change_line(found).endswith(
        "is v1 with nothing changed; records do not keep all that it may have changed, such as the "
        "split"
    )


def test_a_tuned_track_has_the_values_of_all_its_networks() -> None:
    two = [
        trained(get_protocol("v1").changed(learning_rate=rate), "v1+tuned") for rate in (0.1, 0.2)
    ]
    found = from_records("v1+tuned", two, "kept")
    assert found.changed == {"learning_rate": ((0.1, 0.2), 0.002)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("width", "'width' sets nothing; write NAME=VALUE, such as width=32"),
        ("with=3", "unknown setting 'with'; did you mean width?"),
        ("width=x", "width is 'x'; it must be a whole number"),
        ("flip=2", "flip is '2'; it must be true or false"),
        ("width=0", "width is 0; it must be"),
        ("optimizer=adamx", "unknown optimizer 'adamx'"),
        ("stem=tall", "stem is 'tall'; it must be"),
    ],
)
def test_a_setting_that_cannot_be_is_one_line(change: str, message: str) -> None:
    with pytest.raises(BlockZooError, match="^" + message.replace("?", r"\?")):
        shown("v1", [change])


def test_a_label_that_no_record_has_says_where_to_look() -> None:
    with pytest.raises(InputError, match="kept has no training of the protocol 'v1~000000'; what"):
        from_records("v1~000000", [trained(NARROW)], "kept")
    with pytest.raises(
        InputError, match="'v9~1' comes from none of quick, quick2, quick3, lite, classic, v1"
    ):
        from_records("v9~1", [trained(NARROW, "v9~1")], "kept")
