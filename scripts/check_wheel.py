"""Check what a built wheel holds: `python scripts/check_wheel.py dist/*.whl`."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[1] / "src"


def faults(names: Iterable[str], sources: Path = SOURCES) -> list[str]:
    """Return what is missing in a wheel of those file names and what does not belong there.

    >>> faults(["blockzoo/py.typed", "tests/test_app.py"], Path("nowhere"))
    ['tests/test_app.py does not belong there']
    """
    held = [name for name in names if ".dist-info/" not in name]
    wanted = {
        path.relative_to(sources).as_posix()
        for path in sources.glob("blockzoo/**/*")
        if path.is_file() and "__pycache__" not in path.parts
    } | {"blockzoo/py.typed"}
    missing = [f"{name} is missing" for name in sorted(wanted - {*held})]
    strange = [f"{name} does not belong there" for name in held if not name.startswith("blockzoo/")]
    return missing + strange


def main(wheels: list[str]) -> None:
    """Exit with what is wrong with the one wheel, in lines."""
    (wheel,) = wheels
    with zipfile.ZipFile(wheel) as archive:
        found = faults(archive.namelist())
    sys.exit("\n".join(found) or 0)


if __name__ == "__main__":
    main(sys.argv[1:])
