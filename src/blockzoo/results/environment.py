"""What a result was made with and in: the machine, the software, and the scaffold."""

from __future__ import annotations

from typing import Literal

from blockzoo.core.display import Facts
from blockzoo.results.frozen import Frozen
from blockzoo.results.ranges import Amount, Count, Name, Positive


class Environment(Frozen):
    """The machine and the software a result was made with; absent means not readable.

    `cpu_quota_cores` and `memory_limit_bytes` are a container's, absent without a limit. Clocks of
    the CPU are means over cores, the range is the governor's; `load_average` is of the minute
    before the process began to measure; `thermal_events` are those since the system started, of all
    cores. `openmp`, `mkl` and `onednn` are the ones that torch was built with. Clocks of a GPU are
    those of its multiprocessors.
    """

    blockzoo: str
    commit: str | None = None
    python: str
    torch: str
    timm: str
    system: str
    processor: str
    cores: Count
    threads: Count
    memory_bytes: Count
    accelerator: str | None = None
    driver: str | None = None
    numpy: str | None = None
    torchvision: str | None = None
    lightning: str | None = None
    onnxruntime: str | None = None
    openvino: str | None = None
    physical_cores: Count | None = None
    virtualised: bool | None = None
    cpu_quota_cores: Amount | None = None
    memory_limit_bytes: Count | None = None
    governor: str | None = None
    cpu_min_mhz: Count | None = None
    cpu_max_mhz: Count | None = None
    cpu_mhz: Amount | None = None
    boost: bool | None = None
    hyper_threading: bool | None = None
    thermal_events: Count | None = None
    openmp: str | None = None
    mkl: str | None = None
    onednn: str | None = None
    load_average: Amount | None = None
    thread_variables: dict[str, str] | None = None
    cuda: str | None = None
    cudnn: str | None = None
    gpu_clock_default_mhz: Count | None = None
    gpu_clock_max_mhz: Count | None = None
    gpu_clock_mhz: Count | None = None
    gpu_power_limit_w: Amount | None = None
    gpu_ecc: bool | None = None

    def _facts(self) -> Facts:
        return {
            "blockzoo": self.blockzoo,
            "torch": self.torch,
            "python": self.python,
            "system": self.system,
            "processor": self.processor,
            "cores": str(self.cores),
            "threads": str(self.threads),
            "accelerator": self.accelerator,
        }


class ScaffoldSettings(Frozen):
    """The scaffold as recorded; the fields are those of `blockzoo.scaffold.net.ScaffoldConfig`.

    `stem` is the one there is, never "auto"; older records, which lack it, all have the small one.
    """

    context: Name
    depth: Positive
    width: Positive
    classes: Positive
    input_shape: tuple[Positive, Positive, Positive]
    stem_bias: bool
    stem: Literal["small", "large"] = "small"
