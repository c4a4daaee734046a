"""Which code goes by a name: that of libraries, under the version and code that is installed."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from blockzoo.blocks import libraries
from blockzoo.blocks.libraries import library_name, library_of


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages on the path."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    _forget()
    yield folder
    for name in [name for name in sys.modules if name.startswith("y3_")]:
        del sys.modules[name]
    _forget()


def _forget() -> None:
    libraries.library_of.cache_clear()
    libraries._distributions.cache_clear()


def _install(folder: Path, name: str, *, version: str, code: str) -> None:
    (folder / f"{name}.py").write_text("class Layer: pass\n")
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "top_level.txt").write_text(f"{name}\n")
    (info / "RECORD").write_text(f"{name}.py,sha256={code},20\n{info.name}/RECORD,,\n")


def test_an_installed_package_goes_by_version_and_code(installed: Path) -> None:
    found = []
    for version, code in (("1.0", "aa"), ("1.0", "aa"), ("1.0", "bb"), ("2.0", "aa")):
        for info in installed.glob("*.dist-info"):
            for file in info.iterdir():
                file.unlink()
            info.rmdir()
        _install(installed, "y3_layers", version=version, code=code)
        _forget()
        found.append(library_of("y3_layers"))
    assert found[0] == found[1]
    assert len({*found}) == 3
    assert str(found[0]).startswith("y3_layers@1.0+")


def test_a_package_that_nobody_recorded_is_described(installed: Path) -> None:
    (installed / "y3_copied.py").write_text("class Layer: pass\n")
    assert library_of("y3_copied") is None


def test_what_lies_elsewhere_is_a_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "y3_mine.py").write_text("class Layer: pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert library_of("y3_mine") is None
    assert library_of("__main__") is None
    assert library_of("tests") is None


def test_libraries_have_their_names() -> None:
    assert library_name(nn.Conv2d) == "torch:torch.nn.modules.conv.Conv2d"
    assert library_name(OrderedDict) == "collections:collections.OrderedDict"
    assert library_name(torch.nn.functional.relu) == "torch:torch.nn.functional.relu"


def test_who_only_says_that_it_is_a_librarys_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    class Conv2d(nn.Conv2d):
        pass

    Conv2d.__module__, Conv2d.__qualname__ = nn.Conv2d.__module__, nn.Conv2d.__qualname__
    assert library_name(Conv2d) is None
    original = torch.nn.functional.relu
    monkeypatch.setattr(torch.nn.functional, "relu", lambda x: x)
    assert library_name(original) is None
