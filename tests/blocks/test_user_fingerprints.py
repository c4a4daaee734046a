"""Fingerprints of users' blocks: what changes what is computed changes them, and nothing else."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from blockzoo.scaffold.net import ScaffoldConfig
from blockzoo.scaffold.placement import Fingerprints, Placement

TINY = ScaffoldConfig(width=4, depth=1, input_shape=(3, 8, 8))
Print = Callable[..., Fingerprints]

_TOP = """
import copy
import dataclasses
import enum
import functools
import math
import pathlib
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
"""
_BLOCK = """
{above}

class Mine(nn.Module):
    def __init__(self, in_channels, out_channels, stride):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride, 1)
        {built}

    def forward(self, x):
        return {forward}
"""


def source(above: str = "", built: str = "pass", forward: str = "self.conv(x)") -> str:
    """A file with a block, of these parts."""
    inner = built.strip("\n").replace("\n", "\n        ")
    return _TOP + _BLOCK.format(above=above, built=inner, forward=forward)


@pytest.fixture
def printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Print]:
    """Write files into a folder of their own; return the fingerprints of `Mine` in the first."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr("statistics.mean", statistics.mean)
    monkeypatch.setattr("torch.nn.modules.module._global_forward_hooks", OrderedDict())
    number = iter(range(1000))

    def forget() -> None:
        for name in [name for name in sys.modules if name.startswith(("y2_", "blockzoo_user_"))]:
            del sys.modules[name]

    def put(text: str, **beside: str) -> Fingerprints:
        folder = tmp_path / str(next(number))
        folder.mkdir()
        for name, content in {"block": text, **beside}.items():
            (folder / f"{name}.py").write_text(content)
        forget()
        sys.path[:] = [each for each in sys.path if not each.startswith(str(tmp_path))]
        return Placement.of(f"{folder / 'block.py'}:Mine", "mid", TINY).fingerprints

    yield put
    forget()


def differ(one: Fingerprints, other: Fingerprints) -> bool:
    """Tell whether the two differ, in network and stage alike; both must be sure."""
    assert (one.unsure, other.unsure) == ((), ())
    assert (one.network == other.network) == (one.block == other.block)
    return one.block != other.block


ATTRIBUTES = {
    "dict": ("{'a': 1}", "{'a': 2}"),
    "key of a dict": ("{'a': 1}", "{'b': 1}"),
    "order of a dict": ("{'a': 1, 'b': 2}", "{'b': 2, 'a': 1}"),
    "list in a dict": ("{'a': [1, 2]}", "{'a': [1, 3]}"),
    "kind of sequence": ("[1, 2]", "(1, 2)"),
    "kind of number": ("1", "1.0"),
    "truth": ("1", "True"),
    "number": ("1.5", "1.25"),
    "bytes": ("b'a'", "b'b'"),
    "set": ("{1, 2}", "{1, 3}"),
    "frozenset": ("frozenset({'a'})", "frozenset({'b'})"),
    "dataclass": ("Settings(3)", "Settings(5)"),
    "default of a dataclass": ("Settings()", "Settings(4)"),
    "enum": ("Mode.A", "Mode.B"),
    "numpy": ("np.arange(3)", "np.array([0, 1, 3])"),
    "numpy's dtype": ("np.zeros(3, 'float32')", "np.zeros(3, 'float64')"),
    "numpy's scalar": ("np.float32(1)", "np.float32(2)"),
    "numpy's objects": ("np.array([{}, 1], object)", "np.array([{}, 2], object)"),
    "numpy's generator": ("np.random.default_rng(1)", "np.random.default_rng(2)"),
    "tensor": ("torch.tensor([1.0])", "torch.tensor([2.0])"),
    "bool tensor": ("torch.tensor([True])", "torch.tensor([False])"),
    "tensor in a list": ("[torch.zeros(2)]", "[torch.ones(2)]"),
    "lambda": ("lambda x: x + 1", "lambda x: x + 2"),
    "function": ("double", "triple"),
    "library function": ("F.relu", "F.gelu"),
    "built-in function": ("math.sin", "math.cos"),
    "class": ("nn.ReLU", "nn.GELU"),
    "class of the file": ("Small", "Large"),
    "object": ("Small(1)", "Small(2)"),
    "object with slots": ("Slotted(1)", "Slotted(2)"),
    "method": ("Small(1).get", "Small(2).get"),
    "partial": ("functools.partial(F.gelu, approximate='tanh')", "functools.partial(F.gelu)"),
    "argument of a partial": ("functools.partial(max, 1)", "functools.partial(max, 2)"),
    "path": ("pathlib.Path('a')", "pathlib.Path('b')"),
    "slice": ("slice(1, 2)", "slice(1, 3)"),
    "range": ("range(3)", "range(4)"),
    "dtype": ("torch.float32", "torch.float64"),
    "none": ("None", "0"),
    "module in a list": ("[nn.Conv2d(1, 1, 1)]", "[nn.Conv2d(1, 1, 3)]"),
    "weights of a module in a list": ("[filled(1.0)]", "[filled(2.0)]"),
    "one list twice": ("(lambda a: (a, a))([])", "([], [])"),
    "closure": ("adder(1)", "adder(2)"),
    "default of a function": ("lambda x, k=1: x * k", "lambda x, k=2: x * k"),
}
_KINDS = """
@dataclasses.dataclass
class Settings:
    size: int = 3
    names: list = dataclasses.field(default_factory=list)

class Mode(enum.Enum):
    A = 1
    B = 2

class Small:
    def __init__(self, value=0): self.value = value
    def get(self): return self.value

class Large(Small):
    def get(self): return 2 * self.value

class Slotted:
    __slots__ = ("__value",)
    def __init__(self, value): self.__value = value

def double(x): return 2 * x

def triple(x): return 3 * x

def filled(value):
    layer = nn.Conv2d(1, 1, 1)
    nn.init.constant_(layer.weight, value)
    return layer

def adder(k):
    def add(x):
        return x + k
    return add
"""


@pytest.mark.parametrize(("one", "other"), ATTRIBUTES.values(), ids=ATTRIBUTES)
def test_the_values_of_attributes_count(one: str, other: str, printed: Print) -> None:
    first, again, second = (
        printed(source(_KINDS, f"self.held = {value}")) for value in (one, one, other)
    )
    assert not differ(first, again)
    assert differ(first, second)


PARTS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "forward": ({"forward": "self.conv(x)"}, {"forward": "self.conv(x).relu()"}),
    "helper": (
        {"above": "def f(x): return x", "forward": "f(self.conv(x))"},
        {"above": "def f(x): return -x", "forward": "f(self.conv(x))"},
    ),
    "helper of a helper": (
        {"above": "def g(x): return x\ndef f(x): return g(x)", "forward": "f(self.conv(x))"},
        {"above": "def g(x): return -x\ndef f(x): return g(x)", "forward": "f(self.conv(x))"},
    ),
    "global": (
        {"above": "K = 2", "forward": "K * self.conv(x)"},
        {"above": "K = 3", "forward": "K * self.conv(x)"},
    ),
    "global set while it runs": (
        {"above": "K = 2", "built": "global K; K = 4", "forward": "K * self.conv(x)"},
        {"above": "K = 2", "built": "global K; K = 5", "forward": "K * self.conv(x)"},
    ),
    "global in a lambda in a forward": (
        {"above": "K = 2", "forward": "(lambda y: K * y)(self.conv(x))"},
        {"above": "K = 3", "forward": "(lambda y: K * y)(self.conv(x))"},
    ),
    "table": (
        {"above": "T = {'k': [1]}", "forward": "T['k'][0] * self.conv(x)"},
        {"above": "T = {'k': [2]}", "forward": "T['k'][0] * self.conv(x)"},
    ),
    "base class": (
        {"above": "class Base(nn.Module):\n    k = 1\n    def f(self, x): return x"},
        {"above": "class Base(nn.Module):\n    k = 1\n    def f(self, x): return -x"},
    ),
    "attribute of a base class": (
        {"above": "class Base(nn.Module):\n    k = 1"},
        {"above": "class Base(nn.Module):\n    k = 2"},
    ),
    "attribute of a class set while it runs": (
        {"built": "type(self).k = 1", "forward": "self.k * self.conv(x)"},
        {"built": "type(self).k = 2", "forward": "self.k * self.conv(x)"},
    ),
    "patched forward": (
        {"built": "self.conv.forward = lambda x: x[:, :1].expand(-1, 8, -1, -1)[..., ::2, ::2]"},
        {"built": "self.conv.forward = lambda x: x[:, 1:2].expand(-1, 8, -1, -1)[..., ::2, ::2]"},
    ),
    "closure of a patched forward": (
        {"built": "f, k = self.conv.forward, 1\nself.conv.forward = lambda x: k * f(x)"},
        {"built": "f, k = self.conv.forward, 2\nself.conv.forward = lambda x: k * f(x)"},
    ),
    "forward hook": (
        {"built": "self.conv.register_forward_hook(lambda m, i, o: 2 * o)"},
        {"built": "self.conv.register_forward_hook(lambda m, i, o: 3 * o)"},
    ),
    "no hook": (
        {"built": "self.conv.register_forward_hook(lambda m, i, o: 2 * o)"},
        {"built": "pass"},
    ),
    "forward hook with keywords": (
        {"built": "self.conv.register_forward_hook(lambda *a: None, with_kwargs=True)"},
        {"built": "self.conv.register_forward_hook(lambda *a: None)"},
    ),
    "hook before": (
        {"built": "self.conv.register_forward_pre_hook(lambda m, i: (2 * i[0],))"},
        {"built": "self.conv.register_forward_pre_hook(lambda m, i: (3 * i[0],))"},
    ),
    "backward hook": (
        {"built": "self.conv.register_full_backward_hook(lambda m, i, o: (2 * i[0],))"},
        {"built": "self.conv.register_full_backward_hook(lambda m, i, o: (3 * i[0],))"},
    ),
    "hook of a weight": (
        {"built": "self.conv.weight.register_hook(lambda g: 2 * g)"},
        {"built": "self.conv.weight.register_hook(lambda g: 3 * g)"},
    ),
    "hook of all modules": (
        {"above": "hooks = nn.modules.module._global_forward_hooks\nhooks.clear()\n"
         "nn.modules.module.register_module_forward_hook(lambda m, i, o: None)"},
        {"above": "nn.modules.module._global_forward_hooks.clear()"},
    ),
    "mark on a weight": (
        {"built": "self.conv.weight.no_decay = True"},
        {"built": "self.conv.weight.no_decay = False"},
    ),
    "frozen weight": (
        {"built": "self.conv.weight.requires_grad_(False)"},
        {"built": "pass"},
    ),
    "buffer": (
        {"built": "self.register_buffer('b', torch.zeros(2))"},
        {"built": "self.register_buffer('b', torch.ones(2))"},
    ),
    "buffer that is not kept": (
        {"built": "self.register_buffer('b', torch.zeros(2), persistent=False)"},
        {"built": "self.register_buffer('b', torch.zeros(2))"},
    ),
    "start value": (
        {"built": "self.scale = nn.Parameter(torch.full((1,), 1e-6))"},
        {"built": "self.scale = nn.Parameter(torch.full((1,), 1e-5))"},
    ),
    "module twice": (
        {"built": "a = nn.Conv2d(4, 4, 1); self.s = nn.Sequential(a, a)"},
        {"built": "a = nn.Conv2d(4, 4, 1); b = copy.deepcopy(a); "
         "self.s = nn.Sequential(a, b)"},
    ),
    "weight twice": (
        {"built": "self.a = nn.Parameter(torch.zeros(3)); self.b = self.a"},
        {"built": "self.a = nn.Parameter(torch.zeros(3)); self.b = nn.Parameter(torch.zeros(3))"},
    ),
    "memory twice": (
        {"built": "a = torch.zeros(3)\nself.register_buffer('a', a)\n"
         "self.register_buffer('b', a.view(3))"},
        {"built": "a = torch.zeros(3)\nself.register_buffer('a', a)\n"
         "self.register_buffer('b', torch.zeros(3))"},
    ),
    "missing module": (
        {"built": "self.register_module('extra', None)"},
        {"built": "pass"},
    ),
    "decorator": (
        {"above": "def times(f):\n    return functools.wraps(f)(lambda *a: 2 * f(*a))\n"
         "@times\ndef f(x): return x", "forward": "f(self.conv(x))"},
        {"above": "def times(f):\n    return functools.wraps(f)(lambda *a: 3 * f(*a))\n"
         "@times\ndef f(x): return x", "forward": "f(self.conv(x))"},
    ),
    "function of a library that was patched": (
        {"above": "import statistics\ndef f(x): return x\nstatistics.mean = f",
         "forward": "statistics.mean(self.conv(x))"},
        {"above": "import statistics\ndef f(x): return -x\nstatistics.mean = f",
         "forward": "statistics.mean(self.conv(x))"},
    ),
    "library's decorator": (
        {"above": "@torch.no_grad()\ndef f(x): return x", "forward": "f(self.conv(x))"},
        {"above": "@torch.no_grad()\ndef f(x): return -x", "forward": "f(self.conv(x))"},
    ),
    "cached function": (
        {"above": "@functools.lru_cache\ndef f(k): return k", "forward": "f(2) * self.conv(x)"},
        {"above": "@functools.lru_cache\ndef f(k): return -k", "forward": "f(2) * self.conv(x)"},
    ),
    "property": (
        {"above": "class Base(nn.Module):\n    k = property(lambda self: 1)"},
        {"above": "class Base(nn.Module):\n    k = property(lambda self: 2)"},
    ),
    "static method": (
        {"above": "class Base(nn.Module):\n    k = staticmethod(lambda: 1)"},
        {"above": "class Base(nn.Module):\n    k = staticmethod(lambda: 2)"},
    ),
    "metaclass": (
        {"above": "class Meta(type):\n    def f(cls, x): return x\n"
         "class Base(nn.Module, metaclass=Meta): pass", "forward": "Mine.f(self.conv(x))"},
        {"above": "class Meta(type):\n    def f(cls, x): return -x\n"
         "class Base(nn.Module, metaclass=Meta): pass", "forward": "Mine.f(self.conv(x))"},
    ),
    "code made by exec": (
        {"above": "exec('def f(x): return x')", "forward": "f(self.conv(x))"},
        {"above": "exec('def f(x): return -x')", "forward": "f(self.conv(x))"},
    ),
    "own gradient": (
        {"above": "class G(torch.autograd.Function):\n    @staticmethod\n    def forward(c, x): "
         "return x.clone()\n    @staticmethod\n    def backward(c, g): return g",
         "forward": "G.apply(self.conv(x))"},
        {"above": "class G(torch.autograd.Function):\n    @staticmethod\n    def forward(c, x): "
         "return x.clone()\n    @staticmethod\n    def backward(c, g): return 2 * g",
         "forward": "G.apply(self.conv(x))"},
    ),
    "weight norm": (
        {"built": "torch.nn.utils.parametrizations.weight_norm(self.conv, dim=0)"},
        {"built": "torch.nn.utils.parametrizations.weight_norm(self.conv, dim=1)"},
    ),
    "two lambdas on a line": (
        {"built": "self.f, self.g = (lambda x: x), (lambda x: -x)"},
        {"built": "self.f, self.g = (lambda x: -x), (lambda x: x)"},
    ),
    "value asked for by its name": (
        {"above": "import y2_here\n", "forward": "getattr(y2_here, 'k' + '1') * self.conv(x)"},
        {"above": "import y2_there as y2_here\n",
         "forward": "getattr(y2_here, 'k' + '1') * self.conv(x)"},
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.* changes hooks on all modules .* stays:UserWarning")
@pytest.mark.parametrize(("one", "other"), PARTS.values(), ids=PARTS)
def test_what_decides_what_is_computed_counts(
    one: dict[str, str], other: dict[str, str], printed: Print
) -> None:
    texts = [source(**parts) for parts in (one, one, other)]
    based = [
        text.replace("Mine(nn.Module)", "Mine(Base)") if "class Base" in text else text
        for text in texts
    ]
    first, again, second = (
        printed(text, y2_here="k1 = 1\n", y2_there="k1 = 2\n") for text in based
    )
    assert not differ(first, again)
    assert differ(first, second)


FILES = {
    "base class in another file": (
        "from y2_base import Base\n",
        {"y2_base": "from torch import nn\nclass Base(nn.Module):\n    def f(self): return 1\n"},
        ("return 1", "return 2"),
    ),
    "helper in another file": (
        "import y2_help\n",
        {"y2_help": "def f(x): return x\n"},
        ("return x", "return -x"),
    ),
    "helper of a helper in a third": (
        "from y2_help import f\n",
        {"y2_help": "import y2_more\ndef f(x): return y2_more.g(x)\n",
         "y2_more": "def g(x): return x\n"},
        ("g(x): return x", "g(x): return -x"),
    ),
    "value in another file": (
        "import y2_help\n",
        {"y2_help": "K = 1\ndef f(x): return K * x\n"},
        ("K = 1", "K = 2"),
    ),
    "import when it runs": (
        "def f(x):\n    from y2_help import g\n    return g(x)\n",
        {"y2_help": "def g(x): return x\n"},
        ("g(x): return x", "g(x): return -x"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("above", "beside", "change"), FILES.values(), ids=FILES)
def test_other_files_of_the_user_count(
    above: str, beside: dict[str, str], change: tuple[str, str], printed: Print
) -> None:
    text = source(above, forward="f(self.conv(x))")
    if "y2_base" in above:
        text = source(above).replace("Mine(nn.Module)", "Mine(Base)")
    elif "import y2_help" in above and "from" not in above:
        text = source(above, forward="y2_help.f(self.conv(x))")
    changed = {name: content.replace(*change) for name, content in beside.items()}
    commented = {name: f"# said\n\n{content}\nUNUSED = 3\n" for name, content in beside.items()}
    assert changed != beside
    first, again, second = (printed(text, **files) for files in (beside, commented, changed))
    assert not differ(first, again)
    assert differ(first, second)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("class Mine", "# why\n\nclass Mine"),
        ("        super()", '        """Say what."""\n        super()'),
        ("x):\n        return", "x):  # images\n\n        return"),
        ("class Mine", "UNUSED = 7\n\ndef unused(x): return x\n\nclass Mine"),
        ("self.conv(x)", "(self.conv(\n            x))"),
    ],
    ids=["comment", "docstring", "comment in a line", "what nobody calls", "layout"],
)
def test_what_decides_nothing_does_not_count(old: str, new: str, printed: Print) -> None:
    text = source()
    assert text.replace(old, new) != text
    assert not differ(printed(text), printed(text.replace(old, new)))


UNSURE = {
    "iterator": ("", "self.held = iter([1])", "attribute 'held' of Mine is a list_iterator"),
    "generator": ("", "self.held = (k for k in 'ab')", "attribute 'held' of Mine is a generator"),
    "in a dict": ("", "self.held = {'k': iter([1])}", "attribute 'held' of Mine is a list_ite"),
    "library's object": (
        "import ctypes\n",
        "self.held = ctypes.c_int(1)",
        "attribute 'held' of Mine is a c_int",
    ),
    "extension type": (
        "import ctypes\nclass Point(ctypes.Structure):\n    _fields_ = [('x', ctypes.c_int)]\n",
        "self.held = Point(1)",
        "attribute 'held' of Mine is a Point",
    ),
    "sparse tensor": ("", "self.held = torch.eye(2).to_sparse()", "'held' of Mine is a Tensor"),
    "global": ("I = iter([1])\ndef f(): return I\n", "self.held = f", "global 'I' of f() is a"),
    "enclosed": (
        "def make():\n    held = iter([1])\n    return lambda: held\n",
        "self.held = make()",
        "'held', which make.<locals>.<lambda>() encloses, is a list_iterator",
    ),
    "refuses to be read": (
        "class Closed:\n    __slots__ = ('k',)\n    def __getattribute__(self, name):\n"
        "        return 1 / 0 if name == 'k' else super().__getattribute__(name)\n",
        "self.held = Closed()",
        "attribute 'held' of Mine cannot be described: ZeroDivisionError",
    ),
    "environment": (
        "import os\ndef f(): return os.environ['HOME']\n",
        "self.held = f",
        "f() reads the environment",
    ),
    "environment by its own name": (
        "from os import environ, getenv\ndef f(): return getenv('K') or environ['K']\n",
        "self.held = f",
        "f() reads the environment",
    ),
    "import by name": (
        "from importlib import import_module\ndef f(): return import_module('a')\n",
        "self.held = f",
        "f() imports by name",
    ),
    "eval": ("def f(): return eval('1')\n", "self.held = f", "f() calls eval"),
    "late import": (
        "def f():\n    import y2_nowhere\n",
        "self.held = f",
        "f() imports y2_nowhere only when it runs",
    ),
    "TorchScript": (
        "import warnings\n",
        "with warnings.catch_warnings():\n    warnings.simplefilter('ignore')\n"
        "    self.held = torch.jit.script(nn.ReLU())",
        "is compiled by TorchScript",
    ),
    "two builds": (
        "",
        "self.held = __import__('uuid').uuid4()",
        "block.py:Mine with one seed differ",
    ),
}


@pytest.mark.parametrize(("above", "built", "reason"), UNSURE.values(), ids=UNSURE)
def test_what_cannot_be_described_is_said(
    above: str, built: str, reason: str, printed: Print
) -> None:
    found = printed(source(above, built))
    assert found.block != ""
    assert any(reason in each for each in found.unsure), found.unsure


def test_objects_that_hold_each_other_are_described(printed: Print) -> None:
    above = "class Node:\n    def __init__(self, k): self.k, self.other = k, self\n"
    first, second = (printed(source(above, f"self.held = Node({k})")) for k in (1, 2))
    assert differ(first, second)


def test_a_method_that_calls_itself_is_described(printed: Print) -> None:
    above = "def f(k): return g(k) if k else 1\ndef g(k): return f(k - {step})\n"
    first, second = (
        printed(source(above.format(step=step), forward="f(3) * self.conv(x)")) for step in (1, 3)
    )
    assert differ(first, second)


def test_a_class_of_a_library_with_another_forward_is_another(
    printed: Print, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = printed(source())
    monkeypatch.setattr(
        "torch.nn.Conv2d.forward",
        lambda self, x: self._conv_forward(x, self.weight, self.bias) + 1,
    )
    assert differ(first, printed(source()))


_SCRIPT = """
import sys
from blockzoo.scaffold.net import ScaffoldConfig
from blockzoo.scaffold.placement import Placement
tiny = ScaffoldConfig(width=4, depth=1, input_shape=(3, 8, 8))
print(Placement.of(sys.argv[1], "mid", tiny).fingerprints)
"""


def test_every_process_finds_the_same(tmp_path: Path) -> None:
    held = "({'a', 'b', 'c'}, {Mode.A: 1}, frozenset({double, triple}), object, Settings())"
    built = f"self.held = {held}\nself.scale = nn.Parameter(torch.randn(3))"
    (tmp_path / "block.py").write_text(source(_KINDS, built))
    found = [
        subprocess.run(
            [sys.executable, "-c", _SCRIPT, f"{tmp_path / 'block.py'}:Mine"],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert found[0] == found[1]
    assert "unsure=()" in found[0]
