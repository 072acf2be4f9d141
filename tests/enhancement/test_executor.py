"""The forward pass is made once, whichever thread asks first."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from jewelenh.enhancement.executor import Forwards


class Slow(nn.Module):
    """Counts its conversions, each of which waits for a second thread to ask."""

    def __init__(self) -> None:
        super().__init__()
        self.n_conversions = 0
        self.asked = threading.Barrier(2)

    def __deepcopy__(self, memo):
        return self

    def to(self, *args, **kwargs):
        self.n_conversions += 1
        with pytest.raises(threading.BrokenBarrierError):
            self.asked.wait(0.2)  # a second conversion at the same time would meet this one
        return self


class Holder:
    scale = 4

    def __init__(self, module: nn.Module) -> None:
        self.module = module


def test_two_threads_that_ask_at_once_get_one_conversion():
    module = Slow()
    forwards = Forwards(Holder(module), torch.device("cpu"), 1.0, compiles=False)  # type: ignore[arg-type]
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: forwards.at("fp32"), range(2))
    assert first is second
    assert module.n_conversions == 1


def test_every_precision_is_made_from_the_weights_as_they_were_read():
    torch.manual_seed(0)
    module = nn.Conv2d(3, 3, 3)
    expected = module.weight.detach().clone()
    forwards = Forwards(Holder(module), torch.device("cpu"), 1.0, compiles=False)  # type: ignore[arg-type]
    forwards.at("bf16")
    assert torch.equal(forwards.at("fp32").network.weight, expected)
    assert module.weight.dtype == torch.float32
