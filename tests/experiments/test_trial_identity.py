"""Identities: what of the scaffold they hold."""

from __future__ import annotations

from dataclasses import asdict, replace

from blockzoo.experiments.trial_identity import scaffold_identity, scaffold_settings
from blockzoo.scaffold.net import ScaffoldConfig

SMALL = ScaffoldConfig(width=8, depth=2, classes=3, input_shape=(3, 16, 16))


def test_settings_are_the_configuration() -> None:
    settings = scaffold_settings(SMALL)
    assert (settings.width, settings.depth, settings.classes) == (8, 2, 3)
    assert ScaffoldConfig(**settings.model_dump()) == replace(SMALL, stem="small")


def test_the_small_stem_is_no_part_of_an_identity() -> None:
    """So that trials from before there was a large one keep their ids."""
    known = asdict(SMALL)
    del known["stem"]
    assert scaffold_identity(SMALL) == scaffold_identity(replace(SMALL, stem="small")) == known
    large = replace(SMALL, input_shape=(3, 128, 128))
    assert scaffold_identity(large) == scaffold_identity(replace(large, stem="large"))
    assert scaffold_identity(large)["stem"] == scaffold_settings(large).stem == "large"
