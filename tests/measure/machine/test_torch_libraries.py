from __future__ import annotations

import torch

from blockzoo.measure.machine.environment import TorchLibraries, torch_libraries

TOLD = """PyTorch built with:
  - GCC 13.3
  - Intel(R) oneAPI Math Kernel Library Version 2024.2-Product Build 20240605 for Intel(R) 64
  - Intel(R) MKL-DNN v3.12.0 (Git Hash 80afa7)
  - OpenMP 201511 (a.k.a. OpenMP 4.5)
"""


def test_versions_are_read_from_what_torch_says() -> None:
    assert torch_libraries(TOLD) == TorchLibraries(openmp="4.5", mkl="2024.2", onednn="3.12.0")


def test_an_unnamed_openmp_is_told_by_its_month_and_the_rest_is_none() -> None:
    told = "PyTorch built with:\n  - OpenMP 202011\n  - NNPACK is enabled\n"
    assert torch_libraries(told) == TorchLibraries(openmp="202011", mkl=None, onednn=None)
    assert torch_libraries("") == TorchLibraries(openmp=None, mkl=None, onednn=None)


def test_the_torch_that_is_here_says_what_it_has() -> None:
    found = torch_libraries()
    for version, library in (
        (found.onednn, "mkldnn"),
        (found.mkl, "mkl"),
        (found.openmp, "openmp"),
    ):
        assert (version is not None) == getattr(torch.backends, library).is_available()
