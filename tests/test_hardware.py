"""What this machine has is asked in one place, and answered where a question cannot be asked."""

import os
from pathlib import Path

import pytest
import torch

from jewelenh import hardware
from jewelenh.hardware import choose_precision, find_device, n_cores, native_precision

PACKAGE = Path(hardware.__file__).parent


def test_cores_are_counted_on_macos_too(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert n_cores() == 6


def test_nothing_else_asks_for_affinity_without_a_guard():
    asking = [file for file in PACKAGE.rglob("*.py") if "sched_getaffinity(" in file.read_text(encoding="utf-8")]
    unguarded = [file.name for file in asking if 'hasattr(os, "sched_getaffinity")' not in file.read_text("utf-8")]
    assert unguarded == ["hardware.py"]


@pytest.mark.parametrize(("capability", "expected"), [((9, 0), "bf16"), ((7, 5), "fp16"), ((6, 1), "fp32")])
def test_the_native_precision_of_a_card_goes_by_its_generation(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert native_precision(find_device("auto")) == expected
    assert choose_precision("fp32", find_device("auto")) == "fp32"
