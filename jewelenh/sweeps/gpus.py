"""The GPUs of this machine, asked of the driver (NVML) without starting CUDA and without importing torch."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from dataclasses import dataclass

from jewelenh.errors import ConfigError

VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Gpu:
    """One GPU: what CUDA_VISIBLE_DEVICES calls it, and the name its lock goes by, the same in every process."""

    entry: str
    name: str


def visible_gpus(wanted: str | int = "auto", environment: Mapping[str, str] = os.environ) -> list[Gpu]:
    """Return the GPUs that this process may use: those of CUDA_VISIBLE_DEVICES, else all that the driver shows.

    `wanted` is `lease.gpus`: `auto`, or how many GPUs there are where the driver cannot be asked, 0 for none.
    """
    if wanted != "auto":
        if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 0:
            raise ConfigError("lease.gpus cannot be used.", expected="auto, or a number of GPUs", found=wanted)
        return [Gpu(str(number), str(number)) for number in range(wanted)]
    uuids = _uuids()
    if VISIBLE not in environment:
        return [Gpu(uuid, uuid) for uuid in uuids]
    entries = [entry.strip() for entry in environment[VISIBLE].split(",") if entry.strip()]
    by_number = {str(number): uuid for number, uuid in enumerate(uuids)}
    return [Gpu(entry, by_number.get(entry, entry)) for entry in _until_minus_one(entries)]


def _until_minus_one(entries: list[str]) -> list[str]:
    """CUDA reads the list up to the first entry that is none."""
    return entries[: entries.index("-1")] if "-1" in entries else entries


def _uuids() -> list[str]:
    """Return the UUIDs of all GPUs in the driver's order; none where there is no driver."""
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
        if nvml.nvmlInit_v2() != 0:
            return []
    except (OSError, AttributeError):
        return []
    try:
        n_gpus = ctypes.c_uint()
        if nvml.nvmlDeviceGetCount_v2(ctypes.byref(n_gpus)) != 0:
            return []
        return [uuid for number in range(n_gpus.value) if (uuid := _uuid(nvml, number))]
    finally:
        nvml.nvmlShutdown()


def _uuid(nvml: ctypes.CDLL, number: int) -> str | None:
    handle, text = ctypes.c_void_p(), ctypes.create_string_buffer(96)
    if nvml.nvmlDeviceGetHandleByIndex_v2(number, ctypes.byref(handle)) != 0:
        return None
    if nvml.nvmlDeviceGetUUID(handle, text, len(text)) != 0:
        return None
    return text.value.decode()
