from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.stem)
def test_every_example_runs(
    example: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(example), run_name="__main__")
    assert capsys.readouterr().out.count("\n") >= 2


def test_the_python_in_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    macs, peak_bytes = map(int, capsys.readouterr().out.split())
    # Half the width is a quarter of the multiplications of a 1x1 convolution; depthwise a half.
    assert 11_220_000 / 4 < macs < 11_220_000 / 2
    assert peak_bytes > 10**7


def test_the_readme_begins_with_the_two_commands() -> None:
    first_block = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)[
        0
    ]
    commands = [line.partition("#")[0].strip() for line in first_block.splitlines()]
    assert commands == [
        "pip install -e . && blockzoo sweep --quick",
        'pip install -e ".[dev]" && coverage run',
    ]


def test_every_command_of_the_readme_is_known() -> None:
    from blockzoo.cli.app import app

    known = {command.callback.__name__ for command in app.registered_commands if command.callback}
    used = set(re.findall(r"^blockzoo (\w+)", (ROOT / "README.md").read_text(), flags=re.MULTILINE))
    assert used
    assert used <= known
