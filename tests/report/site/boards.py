"""Stores of made-up records for the tests of the board, one of them full of hostile text."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from blockzoo.report.site.facts import BlockFacts
from blockzoo.results.answers import packed
from blockzoo.results.records import EpochMetrics, Record
from blockzoo.results.store.database import Store
from tests.record_samples import after, cost, latency, training

IMAGES = 200
SKILLS = {"ResNetBasicBlock": 0.80, "RepVGGBlock": 0.80, "MobileOneBlock": 0.90, "RepMixer": 0.70}
POSITIONS = ("early", "mid", "late")
HOSTILE = (
    "<script>window.hacked=1</script>",
    "</script><img src=x onerror=window.hacked=2>",
    '"><svg onload=window.hacked=3>',
    "{{ 7 * 7 }}{% raw %}",
    "=HYPERLINK(1)",
    "javascript:window.hacked=4",
    "\u202egnp.exe \x1b[31mred\x07",
    "${window.hacked=5}`",
    "]]><!--",
    "long " * 400,
    "W" * 900,
)


def _id(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def trained(
    block: str, position: str, skill: float, seeds: int = 4, **changes: Any
) -> list[Record]:
    """Return trainings whose accuracy is that of the answers that they keep."""
    made: list[Record] = []
    for seed in range(seeds):
        # Hard images are hard for all seeds, so that images vary more than seeds do.
        right = np.arange(IMAGES) < round(IMAGES * skill) + seed % 3
        made.append(
            training(
                _id(f"{block} {position} {seed} {changes.get('protocol', '')}"),
                block,
                (position,),
                seed=seed,
                test_accuracy=float(right.mean()),
                test_correct=packed(right),
                test_images=IMAGES,
                epochs=_epochs(skill),
                created_at=after(seed),
                **changes,
            )
        )
    return made


def _epochs(skill: float) -> tuple[EpochMetrics, ...]:
    """Return three epochs that lead up to the skill."""
    return tuple(
        EpochMetrics(
            epoch=number,
            learning_rate=0.1,
            train_loss=1 / number,
            train_accuracy=share * skill,
            val_loss=1 / number,
            val_accuracy=share * skill,
            seconds=1.0,
        )
        for number, share in enumerate((0.5, 0.9, 1.0), start=1)
    )


def hostile_facts(name: str) -> BlockFacts:
    """Return what a zoo of hostile text would know of a block."""
    said: dict[str, Any] = dict.fromkeys(
        ("family", "paper", "source", "licence", "formula", "evidence", "notes"), name
    )
    return BlockFacts(year=2026, reparameterisable=False, aliases=(name,), **said)


def ordinary() -> list[Record]:
    """Return four blocks at three positions, two ways of running, and a seed that failed."""
    made: list[Record] = []
    for block, skill in SKILLS.items():
        for shift, position in enumerate(POSITIONS):
            made += trained(block, position, skill - 0.02 * shift)
            made.append(cost(f"c {block} {position}", block, (position,)))
            ratio = 0.5 + skill
            timed = {
                "ratio": ratio,
                "ratio_interval": (ratio - 0.01, ratio + 0.01),
                "baseline": "B",
            }
            made.append(latency(f"l {block} {position}", block, (position,), **timed))
            if block != "RepMixer":
                slow = timed | {"backend": "onnxruntime", "verdict": "slower"}
                made.append(latency(f"o {block} {position}", block, (position,), **slow))
    made.append(
        training("lost", "RepMixer", ("mid",), seed=9, status="failed", reason="loss is not finite")
    )
    made += trained("RepVGGBlock", "mid", 0.5, protocol="v1")
    made.append(cost("alone", "GhostBottleneckV2", ("late",)))
    return made


def hostile() -> list[Record]:
    """Return records whose every free text holds markup, script, escapes or very long text."""
    made: list[Record] = []
    for number, text in enumerate(HOSTILE):
        # Names hold no control characters; notes and reasons may.
        name = "".join(letter for letter in text if letter.isprintable() and letter != "\u202e")
        said = {"notes": text, "experiment_name": text}
        made += trained(name, "mid", 0.6, seeds=3, **said)
        made.append(
            training(f"f{number}", name, ("mid",), seed=7, status="failed", reason=text, **said)
        )
        made.append(cost(f"c{number}", name, uncounted=(name,), unsure=(text,)))
        made.append(latency(f"l{number}", name, baseline=name, verdict_reason=text, flags=(text,)))
    made += trained("ResNetBasicBlock", "mid", 0.6, protocol=HOSTILE[0], dataset=HOSTILE[1])
    return made


def put(records: list[Record], folder: object) -> Store:
    """Return an open store that holds the records."""
    store = Store(f"{folder}", create=True)
    store.put_all(records)
    return store
