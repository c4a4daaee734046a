"""Blocks that do to their process what a block must not do; each is a plain convolution beside.

`Good` does nothing of the kind. What is done happens in the constructor or in the forward pass, as
the name of the class says, or, of `at_import_*.py`, as the file is loaded.
"""

from __future__ import annotations

import atexit
import builtins
import ctypes
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn


class Good(nn.Sequential):
    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        self.act("built")
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        self.act("run")
        output: Tensor = nn.Sequential.forward(self, x)  # type: ignore[no-untyped-call]
        return output

    def act(self, when: str) -> None:
        """Do nothing."""


class Forward(Good):
    def act(self, when: str) -> None:
        if when == "run":
            self.harm()

    def harm(self) -> None:
        raise NotImplementedError


class Constructor(Good):
    def act(self, when: str) -> None:
        if when == "built":
            self.harm()

    def harm(self) -> None:
        raise NotImplementedError


class SetsDtypeInForward(Forward):
    def harm(self) -> None:
        torch.set_default_dtype(torch.float64)


class SetsDtypeInConstructor(Constructor):
    def harm(self) -> None:
        torch.set_default_dtype(torch.float64)


class SetsDefaultDevice(Forward):
    def harm(self) -> None:
        torch.set_default_device("meta")


class PatchesConv(Constructor):
    def harm(self) -> None:
        class Conv2d(nn.Conv2d):
            def forward(self, input: Tensor) -> Tensor:
                return super().forward(input) * 2

        nn.Conv2d = Conv2d  # type: ignore[misc]


class PatchesBatchNormForward(Constructor):
    def harm(self) -> None:
        nn.BatchNorm2d.forward = lambda self, x: x * 0  # type: ignore[method-assign, assignment]


class PatchesRelu(Forward):
    def harm(self) -> None:
        nn.functional.relu = lambda x, inplace=False: x  # type: ignore[assignment]


class PatchesTensorMean(Forward):
    def harm(self) -> None:
        torch.Tensor.mean = lambda self, *a, **k: self.sum(*a, **k)  # type: ignore[method-assign]


class PatchesTime(Forward):
    def harm(self) -> None:
        time.perf_counter_ns = lambda: 0
        time.perf_counter = lambda: 0.0


class PatchesPrint(Forward):
    def harm(self) -> None:
        builtins.print = lambda *a, **k: None


class HooksAllModules(Constructor):
    def harm(self) -> None:
        nn.modules.module.register_module_forward_hook(lambda module, args, output: output * 0)


class TurnsDeterministic(Forward):
    def harm(self) -> None:
        torch.use_deterministic_algorithms(True)


class SetsMatmulPrecision(Forward):
    def harm(self) -> None:
        torch.set_float32_matmul_precision("medium")


class SetsThreads(Forward):
    def harm(self) -> None:
        torch.set_num_threads(64)


class LeavesGradientsOff(Forward):
    def harm(self) -> None:
        torch.set_grad_enabled(False)


class LeavesAnomalyOn(Forward):
    def harm(self) -> None:
        torch.autograd.set_detect_anomaly(True)


class ChangesFolder(Forward):
    def harm(self) -> None:
        os.chdir("/")


class ChangesEnvironment(Forward):
    def harm(self) -> None:
        os.environ.clear()


class SeedsEverything(Forward):
    def harm(self) -> None:
        torch.manual_seed(1)
        random.seed(1)
        np.random.seed(1)


class RaisesNumpyErrors(Forward):
    def harm(self) -> None:
        np.seterr(all="raise")


class WarningsAreErrors(Forward):
    def harm(self) -> None:
        warnings.simplefilter("error")


class LeavesThread(Forward):
    def harm(self) -> None:
        threading.Thread(target=time.sleep, args=(1e6,), daemon=True).start()


class LowersPriority(Forward):
    def harm(self) -> None:
        os.nice(1)


class Segfaults(Forward):
    def harm(self) -> None:
        ctypes.string_at(0)


class Aborts(Constructor):
    def harm(self) -> None:
        os.abort()


class ExitsAtOnce(Forward):
    def harm(self) -> None:
        os._exit(0)


class CallsSysExit(Forward):
    def harm(self) -> None:
        sys.exit()


class CallsSysExitInConstructor(Constructor):
    def harm(self) -> None:
        sys.exit("bye")


class RaisesGeneratorExit(Forward):
    def harm(self) -> None:
        raise GeneratorExit


class RaisesKeyboardInterrupt(Forward):
    def harm(self) -> None:
        raise KeyboardInterrupt


class _OfNobody(BaseException):
    pass


class RaisesBaseException(Constructor):
    def harm(self) -> None:
        raise _OfNobody


class LoopsForEver(Forward):
    def harm(self) -> None:
        while True:
            time.sleep(0.01)


class LoopsInConstructor(Constructor):
    def harm(self) -> None:
        while True:
            pass


class StopsItself(Forward):
    def harm(self) -> None:
        os.kill(os.getpid(), signal.SIGSTOP)


class _Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


class RaisesWhatCannotBeSaid(Forward):
    def harm(self) -> None:
        raise _Unspeakable


class RaisesLoneSurrogate(Forward):
    def harm(self) -> None:
        raise ValueError("half a pair: \ud800, and \x1b[2J\x00")


class RaisesWhatCannotBePickled(Constructor):
    def harm(self) -> None:
        class _Local(Exception):
            def __init__(self, one: object, two: object) -> None:
                super().__init__(one)
                self.lock = threading.Lock()

        raise _Local(1, 2)


class RecursesForEver(Forward):
    def harm(self) -> None:
        self.harm()


class RaisesAtExit(Constructor):
    def harm(self) -> None:
        atexit.register(lambda: 1 / 0)


class HangsAtExit(Constructor):
    def harm(self) -> None:
        atexit.register(time.sleep, 1e6)


class ClosesStreams(Forward):
    def harm(self) -> None:
        sys.stdout.close()
        sys.stderr.close()


class ClosesAllFiles(Forward):
    def harm(self) -> None:
        os.closerange(0, 256)


class LosesItsStreams(Forward):
    def harm(self) -> None:
        sys.stdout = sys.stderr = None


class PrintsMuch(Forward):
    def harm(self) -> None:
        os.write(1, b"noise \x1b[31m\n" * 100)


class LeavesChildren(Constructor):
    def harm(self) -> None:
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1e6)  # left behind"])


class Forks(Constructor):
    def harm(self) -> None:
        os.fork()


class KillsItsGroup(Forward):
    def harm(self) -> None:
        os.killpg(0, signal.SIGKILL)


class KillsItsParent(Forward):
    def harm(self) -> None:
        if os.getppid() > 1:
            os.kill(os.getppid(), signal.SIGKILL)


class TakesAllMemory(Forward):
    def harm(self) -> None:
        held = []
        while True:
            held.append(bytearray(b"x" * 2**26))


class LimitsItsFiles(Forward):
    def harm(self) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))


class BecomesAnother(Forward):
    def harm(self) -> None:
        os.execv(sys.executable, [sys.executable, "-c", "pass"])


class RemovesItsFile(Constructor):
    def harm(self) -> None:
        Path(__file__).with_name("never_there.py").unlink(missing_ok=True)
        sys.modules.pop(__name__, None)
