"""What a release says of itself, and that its parts agree."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
import yaml

from blockzoo.core.version import VERSION

ROOT = Path(__file__).parents[1]
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]
PYPROJECT = (ROOT / "pyproject.toml").read_text()


def test_the_citation_has_the_version_of_the_package() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == VERSION
    # Spelled once, in the module that the build reads.
    assert 'version = { attr = "blockzoo.core.version.VERSION" }' in PYPROJECT


def test_every_supported_python_runs_the_checks() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    job = workflow["jobs"]["run"]
    assert job["strategy"]["matrix"]["python-version"] == PYTHONS
    assert job["steps"][-1] == {"run": ".ci/run"}
    named = re.findall(r"Programming Language :: Python :: (3\.\d+)", PYPROJECT)
    assert named == PYTHONS
    assert f'requires-python = ">={PYTHONS[0]}"' in PYPROJECT


@pytest.mark.parametrize("kind", ["block", "bug", "question"])
def test_every_form_of_an_issue_can_be_filled_in(kind: str) -> None:
    form = yaml.safe_load((ROOT / f".github/ISSUE_TEMPLATE/{kind}.yml").read_text())
    assert form["name"]
    assert form["description"]
    fields = form["body"]
    assert len({each["id"] for each in fields}) == len(fields)
    assert {each["type"] for each in fields} <= {"input", "textarea"}
    assert all(each["attributes"]["label"] for each in fields)
    assert any(each.get("validations", {}).get("required") for each in fields)


def test_a_wheel_must_hold_all_sources_and_nothing_else(tmp_path: Path) -> None:
    package = tmp_path / "blockzoo"
    (package / "__pycache__").mkdir(parents=True)
    for name in ("code.py", "py.typed", "__pycache__/code.pyc"):
        (package / name).touch()
    faults = runpy.run_path(str(ROOT / "scripts/check_wheel.py"))["faults"]
    whole = ["blockzoo/code.py", "blockzoo/py.typed", "blockzoo-1.0.dist-info/METADATA"]
    assert faults(whole, tmp_path) == []
    assert faults(whole[1:], tmp_path) == ["blockzoo/code.py is missing"]
    assert faults([*whole, "tests/a.py"], tmp_path) == ["tests/a.py does not belong there"]
