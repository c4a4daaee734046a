"""Networks whose classes no other process can import still arrive there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

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
    net.register_forward_hook(partial(print, (number for number in range(3))))
    with pytest.raises(ModelError, match=r"^the network cannot be pickled: .*generator") as caught:
        dump_module(net)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")
@pytest.mark.parametrize(
    "change",
    [
        parametrizations.spectral_norm,
        parametrizations.weight_norm,
        parametrizations.orthogonal,
        nn.utils.weight_norm,
        nn.utils.spectral_norm,
    ],
)
def test_layers_with_computed_weights_travel(change: Callable[[nn.Module], nn.Module]) -> None:
    """As ray-project/ray #23894, unit8co/darts #2638 and pytorch/pytorch #137409 wished for."""
    net = nn.Sequential(change(nn.Linear(4, 4))).eval()
    given = torch.randn(3, 4)
    expected = net(given)
    twin = load_module_bytes(dump_module(net))
    assert torch.equal(twin(given), expected)
    assert twin.state_dict().keys() == net.state_dict().keys()
    # It is computed still: from weights that are changed another output follows.
    with torch.no_grad():
        for weight in twin.parameters():
            weight.add_(torch.randn_like(weight))
    assert not torch.allclose(twin(given), expected)


FILE_OF_ALL_SORTS = """
import threading
from torch import nn

LOCK = threading.Lock()
NUMBERS = iter(number for number in range(10))
LOCAL = threading.local()

class Counting(nn.Module):
    def forward(self, x):
        with LOCK:
            LOCAL.last = x
            return x + next(NUMBERS)
"""


def run_file(path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType(name)
    module.__file__ = str(path)
    monkeypatch.setitem(sys.modules, name, module)
    exec(compile(path.read_text(), str(path), "exec", dont_inherit=True), module.__dict__)
    return module


def test_a_file_with_what_no_pickle_holds_is_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Locks and generators at module level: cloudpipe/cloudpickle #81 and #447,
    Lightning-AI/pytorch-lightning #17269."""
    path = tmp_path / "all_sorts.py"
    path.write_text(FILE_OF_ALL_SORTS)
    module = run_file(path, "all_sorts_of_a_user", monkeypatch)
    assert torch.equal(module.Counting()(images(2)), images(2))
    payload = get_backend("eager").prepare(module.Counting(), images(1), RunWay())
    # The other process has numbers of its own, from 0 on: the first two are the example's.
    output = run_in_fresh_process(payload, RunWay(), images(1), images(2))
    added = torch.tensor([1, 2, 3]).reshape(3, 1, 1, 1)
    assert torch.allclose(output, torch.cat([images(1), images(2)]) + added)


def test_a_file_that_was_changed_since_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "changing.py"
    path.write_text(FILE_OF_ALL_SORTS)
    payload = dump_module(run_file(path, "changing_file", monkeypatch).Counting())
    path.write_text(FILE_OF_ALL_SORTS + "# edited\n")
    monkeypatch.delitem(sys.modules, "changing_file")
    with pytest.raises(ModelError, match=r"changing\.py was changed since the network was made"):
        load_module_bytes(payload)
