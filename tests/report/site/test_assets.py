"""The committed scripts are those that were bundled, small, and come with their licences."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from blockzoo.report.site.embedding import verbatim
from blockzoo.report.site.pages import ASSETS

ROOT = Path(__file__).parents[3]
MANIFEST: dict[str, Any] = json.loads((ASSETS / "manifest.json").read_text())


@pytest.mark.parametrize("name", MANIFEST["scripts"])
def test_a_bundle_is_the_one_that_was_made(name: str) -> None:
    """If not: scripts/build_site_assets.sh."""
    data = (ASSETS / name).read_bytes()
    assert hashlib.sha256(data).hexdigest() == MANIFEST["scripts"][name]["sha256"]
    assert verbatim(data.decode("utf-8"))
    assert b"\r" not in data


def test_all_scripts_together_are_small() -> None:
    sizes = [len(gzip.compress((ASSETS / name).read_bytes())) for name in MANIFEST["scripts"]]
    assert sum(sizes) < 150_000


def test_every_bundled_package_has_its_licence() -> None:
    text = (ASSETS / "LICENSES.txt").read_text()
    locked = json.loads((ROOT / "web/package-lock.json").read_text())["packages"]
    for name, version in MANIFEST["packages"].items():
        assert f"{name} {version} (" in text
        assert locked[f"node_modules/{name}"]["version"] == version
    assert {"lit-html", "@observablehq/plot"} <= {*MANIFEST["packages"]}
    assert text.count("WITHOUT WARRANTY") + text.count("AS IS") >= len(MANIFEST["packages"])
