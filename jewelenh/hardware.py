"""Device, precision, cores: what this machine does natively, unless the configuration says otherwise."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import torch

from jewelenh.errors import ConfigError

Precision = Literal["fp32", "bf16", "fp16"]
DTYPES: dict[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_CPU_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
"""Names in /proc/cpuinfo (x86 and ARM) of a bf16 matrix product in hardware; without it bf16 is slower than fp32."""


def find_device(name: str) -> torch.device:
    """Return the device of `hardware.device`; `auto` is CUDA where there is one."""
    if name == "auto":
        return torch.device("cuda" if has_gpu() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        n_found = torch.cuda.device_count()
        raise ConfigError(
            f"hardware.device={name} is not there.", found=f"{n_found} CUDA devices", fix="hardware.device=auto"
        )
    return device


def has_gpu(accelerator: str = "auto") -> bool:
    """Say whether training with Lightning's `accelerator` runs on a GPU here: the one place that answers it."""
    return accelerator in {"auto", "gpu", "cuda"} and torch.cuda.is_available()


def n_cores() -> int:
    """Return the cores that this process may use, at least 1."""
    try:
        return max(1, len(os.sched_getaffinity(0)))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


def native_precision(device: torch.device) -> Precision:
    """Return the fastest precision that `device` has matrix units for: bf16, else (older CUDA) fp16, else fp32."""
    if device.type == "cuda":
        major, _ = torch.cuda.get_device_capability(device)
        return "bf16" if major >= 8 else "fp16" if major == 7 else "fp32"
    return "bf16" if _cpu_flags() & _CPU_BF16_FLAGS else "fp32"


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return set()
    for line in lines:
        if line.startswith(("flags", "Features")):
            return set(line.split())
    return set()


def choose_precision(wanted: str, device: torch.device) -> Precision:
    """Return `wanted`, or the native precision for `auto`."""
    if wanted == "auto":
        return native_precision(device)
    return wanted  # type: ignore[return-value]


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether `error` is an allocation that failed, and nothing else.

    CUDA has an exception of its own; the CPU allocator raises a plain RuntimeError (`alloc_cpu.cpp`, "can't allocate
    memory"), NumPy a MemoryError.
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator: can't allocate memory" in str(error)
