"""Golden files: values that must not move. `pytest --rewrite-golden` writes them anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "golden"


def golden(name: str, value: Any, *, rewrite: bool) -> Any:
    """Return what the golden file of that name holds, after writing `value` to it if asked."""
    path = FOLDER / f"{name}.json"
    if rewrite:
        path.write_text(json.dumps(value, indent=1) + "\n")
    return json.loads(path.read_text())
