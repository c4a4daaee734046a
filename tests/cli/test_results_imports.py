"""What `results` imports: nothing that takes long before there is anything to show."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from blockzoo.results.store.database import Store

SHOW = """
import sys
from blockzoo.cli import main
sys.argv = ["blockzoo", "results", sys.argv[1]]
try:
    main()
except SystemExit as end:
    assert not end.code
slow = {"torch", "lightning", "timm", "pandas", "scipy", "matplotlib", "sklearn", "alembic"}
print(sorted(slow & sys.modules.keys()))
"""


def test_an_empty_store_says_so_without_what_takes_long_to_import(tmp_path: Path) -> None:
    Store(tmp_path, create=True).close()
    found = subprocess.run(
        [sys.executable, "-c", SHOW, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={"PATH": "", "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "500"},
    )
    assert found.stdout == f"{tmp_path} holds no results yet\n[]\n"
