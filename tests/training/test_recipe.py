from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from blockzoo.core.errors import InputError, UnknownNameError
from blockzoo.training.recipe import RECIPES, get_recipe
from tests.training.samples import TINY_RECIPE


def test_named_recipes() -> None:
    assert [get_recipe(name).name for name in RECIPES] == list(RECIPES)
    assert list(RECIPES) == ["quick", "quick2", "quick3", "classic", "v1"]
    classic = get_recipe("classic")
    assert (classic.optimizer, classic.learning_rate, classic.schedule) == ("adam", 1e-3, "plateau")
    assert (classic.epochs, classic.batch_size, classic.flip) == (50, 256, True)


def test_an_unknown_recipe_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="unknown recipe 'classics'; did you mean classic"):
        get_recipe("classics")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs is 0; it must be 1 or more"),
        ({"epochs": 1.5}, "epochs is 1.5; it must be a whole number within 1..100000"),
        ({"epochs": 10**9}, "epochs is 1000000000; it must be within 1..100000"),
        ({"batch_size": 10**20}, "batch_size is 1"),
        ({"batch_size": -4}, "batch_size is -4; it must be 1 or more"),
        ({"crop_padding": -1}, "crop_padding is -1; it must be 0 or more"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; it must be above 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0; it must be 0 or more"),
        ({"warmup_epochs": float("inf")}, "warmup_epochs is inf"),
        ({"gradient_clip_norm": -1.0}, "gradient_clip_norm is -1.0"),
        ({"momentum": 1.0}, "momentum is 1.0; it must be at least 0 and below 1"),
        ({"label_smoothing": -0.1}, "label_smoothing is -0.1"),
        ({"drop_path": 1.0}, "drop_path is 1.0; it must be at least 0 and below 1"),
        ({"optimizer": "adan"}, "unknown optimizer 'adan'; did you mean adam"),
        ({"schedule": "step"}, "unknown schedule 'step'"),
        ({"precision": "fp16"}, "unknown precision 'fp16'"),
        ({"channels_last": "yes"}, "channels_last is yes; allowed: auto, wide, True, False"),
        ({"schedule": "plateau", "warmup_epochs": 1.0}, "plateau has no warm-up"),
    ],
)
def test_impossible_values_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(TINY_RECIPE, **changes)  # type: ignore[arg-type]


def test_naming_a_recipe_imports_neither_torch_nor_lightning() -> None:
    code = (
        "import sys, blockzoo.training.recipe;"
        "print(sorted({'torch', 'lightning'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_numbers_of_numpy_become_those_of_python() -> None:
    given: dict[str, Any] = {"epochs": np.int64(2), "learning_rate": np.float32(0.5)}
    changed = replace(TINY_RECIPE, **given)
    assert (changed.epochs, changed.learning_rate) == (2, 0.5)
    assert (type(changed.epochs), type(changed.learning_rate)) == (int, float)
