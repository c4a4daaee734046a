"""Networks whose classes no other process can import still arrive there."""

from __future__ import annotations

import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from blockzoo.core.errors import ModelError
from blockzoo.core.run_way import RunWay
from blockzoo.measure.timing.backends import get_backend
from blockzoo.measure.timing.backends.pickled import dump_module, load_module_bytes
from tests.measure.timing.backends.networks import images, run_in_fresh_process

SCRIPT = """
import torch
from torch import nn
from blockzoo.core.run_way import RunWay
from blockzoo.measure.timing.backends import get_backend

class Doubling(nn.Module):
    def forward(self, x):
        return factor() * x

def factor():
    return 2.0

if __name__ == "__main__":
    import sys
    payload = get_backend("eager").prepare(Doubling(), torch.ones(1, 3), RunWay())
    open(sys.argv[1], "wb").write(payload)
"""

USERS_FILE = """
from torch import nn
from beside import SHIFT

def shifted(x):
    return x + SHIFT

class Shifting(nn.Module):
    def forward(self, x):
        return shifted(x)
"""


def test_a_class_of_main_arrives_in_a_fresh_process(tmp_path: Path) -> None:
    script, kept = tmp_path / "script.py", tmp_path / "payload"
    script.write_text(SCRIPT)
    subprocess.run([sys.executable, str(script), str(kept)], check=True)
    given = images(2)
    output = run_in_fresh_process(kept.read_bytes(), RunWay(), images(1), given)
    assert torch.equal(output[1:], 2 * given)


def test_a_class_of_a_file_that_was_run_arrives_with_what_lies_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "beside.py").write_text("SHIFT = 0.25\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    module = ModuleType("made_by_running_a_file")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(USERS_FILE, module.__dict__)
    payload = get_backend("eager").prepare(module.Shifting(), images(1), RunWay())
    output = run_in_fresh_process(payload, RunWay(), images(1), images(2))
    assert torch.equal(output[1:], images(2) + 0.25)


def test_tensors_travel_by_value() -> None:
    net = nn.Linear(2, 2)
    twin = load_module_bytes(dump_module(net))
    assert isinstance(twin, nn.Linear)
    with torch.no_grad():
        twin.weight.add_(1)
    assert torch.allclose(twin.weight, net.weight + 1)


def test_what_cannot_be_pickled_is_told_in_one_line() -> None:
    net = nn.Identity()
    net.register_forward_hook(partial(print, threading.Lock()))
    with pytest.raises(ModelError, match=r"^the network cannot be pickled: .*lock") as caught:
        dump_module(net)
    assert "\n" not in str(caught.value)
