from dataclasses import replace

import pytest

from blockzoo.blocks import list_available_blocks
from blockzoo.core.errors import InputError, UnknownNameError
from blockzoo.core.position import POSITIONS
from blockzoo.experiments.protocol import ELEVEN_BLOCKS, get_protocol
from blockzoo.scaffold.net import ScaffoldConfig


def test_the_protocols_hold_what_the_docs_say() -> None:
    names = ("quick", "quick2", "quick3", "lite", "classic", "v1")
    quick, quick2, quick3, lite, classic, v1 = map(get_protocol, names)
    with pytest.raises(UnknownNameError, match="allowed: quick, quick2, quick3, lite, classic, v1"):
        get_protocol("zzz")
    assert (quick.dataset, quick.width, quick.seeds) == ("digits", 16, (0, 1))
    assert (len(quick.blocks), quick.positions) == (3, POSITIONS)
    assert (quick2.dataset, quick2.width, quick2.seeds) == ("digits@16", 16, (0, 1, 2))
    assert (quick2.blocks, quick2.positions) == (quick.blocks, POSITIONS)
    same = ("name", "recipe", "latency_budget_s", "latency_together")
    assert replace(quick3, **{name: getattr(quick2, name) for name in same}) == quick2
    assert (lite.dataset, lite.width, lite.depth, lite.stem) == ("cifar100-q95", 16, 2, "half")
    assert (lite.recipe.precision, lite.recipe.channels_last) == ("fp32", "safe")
    assert (lite.blocks, lite.positions, len(lite.seeds)) == (ELEVEN_BLOCKS, POSITIONS, 10)
    assert (classic.context, classic.stem_bias) == ("classic/ResNetBasicBlock", True)
    assert (v1.width, v1.depth, len(v1.seeds)) == (64, 3, 10)
    known = list_available_blocks()
    assert all(
        block in known
        for protocol in (quick, quick2, quick3, lite, classic, v1)
        for block in protocol.blocks
    )
    assert len(ELEVEN_BLOCKS) == 11


def test_a_change_that_determines_results_changes_the_label() -> None:
    v1 = get_protocol("v1")
    assert v1.label == "v1"
    labels = {
        v1.changed(width=32).label,
        v1.changed(depth=2).label,
        v1.changed(epochs=1).label,
        v1.changed(learning_rate=0.5).label,
        v1.changed(split_seed=1).label,
        v1.changed(context="Identity").label,
        v1.changed(stem="large").label,
    }
    assert len(labels) == 7
    assert all(label.startswith("v1~") for label in labels)
    assert v1.changed(width=32).label == v1.changed(width=32).label


def test_fewer_epochs_warm_up_for_the_same_share() -> None:
    recipe = get_protocol("v1").changed(epochs=10).recipe
    assert (recipe.epochs, recipe.warmup_epochs) == (10, 1.0)
    assert get_protocol("v1").changed(epochs=10, warmup_epochs=3.0).recipe.warmup_epochs == 3.0
    assert get_protocol("classic").changed(epochs=10).recipe.warmup_epochs == 0.0
    with pytest.raises(InputError, match="epochs is 0; it must be 1 or more"):
        get_protocol("v1").changed(epochs=0)


def test_labels_from_before_a_stem_could_be_chosen_stay() -> None:
    assert get_protocol("v1").changed(width=32, stem="auto").label == "v1~f1d081"


def test_more_of_the_same_keeps_the_label() -> None:
    v1 = get_protocol("v1")
    changed = v1.changed(seeds=(7,), blocks=("RepMixer",), dataset="digits", positions=None)
    assert changed.label == "v1"
    assert (changed.seeds, changed.positions) == ((7,), POSITIONS)


def test_the_scaffold_takes_its_sizes_from_the_protocol_and_the_data() -> None:
    config = get_protocol("classic").scaffold(classes=7, input_shape=(3, 8, 8))
    assert config == ScaffoldConfig(
        context="classic/ResNetBasicBlock", stem_bias=True, classes=7, input_shape=(3, 8, 8)
    )


def test_unknown_and_empty_are_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown protocol 'v2'; did you mean v1\?"):
        get_protocol("v2")
    with pytest.raises(InputError, match="no seeds given"):
        get_protocol("quick").changed(seeds=())
    with pytest.raises(InputError, match=r"validation fraction is 1.5"):
        get_protocol("quick").changed(validation_fraction=1.5)
    with pytest.raises(InputError, match=r"^seed is -1; it must be within 0..4294967295$"):
        get_protocol("quick").changed(seeds=(0, -1))
    with pytest.raises(InputError, match=r"^split seed is -1; it must be within 0..4294967295$"):
        get_protocol("quick").changed(split_seed=-1)
