"""The one place that spells how a network is run: what is allowed, crossed, compared, labelled."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from blockzoo.core.errors import InputError
from blockzoo.core.run_way import RunWay, differing_fields
from tests import record_samples


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"precision": "fp8"}, "precision is 'fp8'; allowed: fp32, bf16, fp16, int8"),
        ({"device": "gpu"}, "device is 'gpu'; allowed: auto, cpu, cuda, cuda:N"),
        ({"device": "cuda:"}, "device is 'cuda:'; allowed: auto, cpu, cuda, cuda:N"),
        ({"threads": 0}, "threads is 0; it must be 1 or more"),
        ({"batch_size": 0}, "batch_size is 0; it must be 1 or more"),
        ({"cache": "warm"}, "cache is 'warm'; allowed: hot, cold"),
        ({"form": "train"}, "form is 'train'; allowed: folded, deploy"),
    ],
)
def test_values_that_cannot_be_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        RunWay(**wrong)
    assert str(caught.value) == message


def test_choices_are_crossed_in_order_and_each_way_comes_once() -> None:
    way = RunWay(threads=3, batch_size=8)
    crossed = way.crossed(
        backends=["eager", "compile", "eager"], precisions=["fp32", "bf16"], caches=["cold"]
    )
    assert [(each.backend, each.precision) for each in crossed] == [
        ("eager", "fp32"),
        ("eager", "bf16"),
        ("compile", "fp32"),
        ("compile", "bf16"),
    ]
    assert {(each.threads, each.batch_size, each.cache) for each in crossed} == {(3, 8, "cold")}
    assert way.crossed() == (way,)


def test_a_record_says_how_its_network_was_run() -> None:
    way = RunWay(
        backend="openvino",
        precision="bf16",
        threads=4,
        cache="cold",
        batch_size=2,
        channels_last=True,
        device="cuda:1",
    )
    assert record_samples.latency(**vars(way)).way == way
    # Records from before there was a choice lack the form, and have norms that are not folded.
    assert record_samples.latency().way == RunWay(form="deploy")


def test_ways_are_told_apart_by_every_field() -> None:
    changes: list[dict[str, Any]] = [
        {"backend": "compile"},
        {"precision": "bf16"},
        {"threads": 2},
        {"cache": "cold"},
        {"batch_size": 2},
        {"channels_last": True},
        {"device": "cuda"},
        {"form": "deploy"},
    ]
    assert len({RunWay(), *(RunWay(**change) for change in changes)}) == 9
    for change in changes:
        assert differing_fields([RunWay(), RunWay(**change)]) == tuple(change)
    assert differing_fields([]) == differing_fields([RunWay(), RunWay()]) == ()


def test_a_label_leaves_out_what_goes_without_saying() -> None:
    way = RunWay(batch_size=8)
    assert way.label() == "batch 8, fp32, eager, 1 thread(s), cpu"
    assert way.label(()) == way.label(["cache"]) == ""
    unusual = replace(way, cache="cold", channels_last=True)
    assert unusual.label(["channels_last", "cache"]) == "cold caches, channels last"
    assert replace(way, form="deploy").label(["form", "batch_size"]) == "batch 8, norms not folded"


def test_what_is_plain_has_nothing_to_be_compared_with() -> None:
    assert RunWay(threads=2, cache="cold", device="cuda:0").plain
    assert not RunWay(precision="bf16").plain
    assert not RunWay(backend="compile").plain
    on_cuda = {name: RunWay(device=name).on_cuda for name in ("auto", "cpu", "cuda:1")}
    assert on_cuda == {"auto": False, "cpu": False, "cuda:1": True}
