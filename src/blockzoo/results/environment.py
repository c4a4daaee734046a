"""What a result was made with and in: the machine, the software, and the scaffold."""

from __future__ import annotations

from typing import Literal

from blockzoo.core.display import Facts
from blockzoo.results.frozen import Frozen
from blockzoo.results.ranges import Amount, Count, Name, Positive

PASSING = ("commit", "cpu_mhz", "load_average", "thermal_events", "gpu_clock_mhz", "threads")
"""Fields of an environment that change while it stays what it is, and threads: those of the way."""


class Environment(Frozen):
    """The machine and the software a result was made with; None where it cannot be read.

    Attributes:
        blockzoo: Version.
        commit: Of BlockZoo's source, where it is a checkout; "-dirty" where files were changed.
        python: Version.
        torch: Version.
        timm: Version.
        system: Name of the operating system and its release.
        processor: Model of the CPU.
        cores: Logical cores.
        threads: Threads that torch used within an operation.
        memory_bytes: Of the machine.
        accelerator: Model of the GPU.
        driver: Version of its driver.
        instructions: The vector instructions that torch runs on; older records lack them.
        numpy: Version.
        torchvision: Version.
        lightning: Version.
        onnxruntime: Version.
        openvino: Version.
        physical_cores: Of the CPU.
        virtualised: Whether a hypervisor runs the system.
        cpu_quota_cores: Cores that a container may use; None without a limit.
        memory_limit_bytes: Memory that a container may use; None without a limit.
        governor: What chooses the clock of the CPU.
        cpu_min_mhz: The lowest clock that the governor may choose.
        cpu_max_mhz: The highest.
        cpu_mhz: The clock at that moment, the mean over cores.
        boost: Whether the CPU may exceed its base clock.
        hyper_threading: Whether cores run two threads each.
        thermal_events: Times that heat slowed a core since the system started, of all cores.
        openmp: The OpenMP that torch was built with.
        mkl: The MKL that torch was built with.
        onednn: The oneDNN that torch was built with.
        load_average: Of the minute before the process began to measure, in processes.
        thread_variables: Variables of the environment that set numbers of threads.
        cuda: Version.
        cudnn: Version.
        gpu_clock_default_mhz: Of the GPU's multiprocessors.
        gpu_clock_max_mhz: The highest they may have.
        gpu_clock_mhz: At that moment.
        gpu_power_limit_w: In watts.
        gpu_ecc: Whether the GPU's memory corrects errors.
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
    instructions: str | None = None
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

    @property
    def named_processor(self) -> str:
        """The model of the CPU with its instructions, for models that share a name."""
        return f"{self.processor} ({self.instructions})" if self.instructions else self.processor

    def _facts(self) -> Facts:
        return {
            "blockzoo": self.blockzoo,
            "torch": self.torch,
            "python": self.python,
            "system": self.system,
            "processor": self.named_processor,
            "cores": str(self.cores),
            "threads": str(self.threads),
            "accelerator": self.accelerator,
        }


class ScaffoldSettings(Frozen):
    """The scaffold as recorded; see `ScaffoldConfig`.

    Attributes:
        context: The block in the two other stages.
        depth: Blocks per stage.
        width: Channels of the stem.
        classes: Outputs of the head.
        input_shape: (3, H, W) of an image, in pixels.
        stem_bias: Whether the stem's convolution has a bias.
        stem: The one there is, "small", "half" or "large"; older records, which lack it, all have
            the small one.
    """

    context: Name
    depth: Positive
    width: Positive
    classes: Positive
    input_shape: tuple[Positive, Positive, Positive]
    stem_bias: bool
    stem: Literal["small", "half", "large"] = "small"
