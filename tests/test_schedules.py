"""The learning rate rises, falls by half a cosine, and moves as often as its schedule asks for."""

import functools
import math

import pytest
import torch

from jewelenh.schedules import scheduled, warm_cosine


def sgd(lr=2.0):
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def rates(n_steps, **options):
    optimizer = sgd()
    schedule = warm_cosine(optimizer, n_steps, **options)
    found = []
    for _ in range(n_steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found, optimizer.param_groups[0]["lr"]


def test_the_closed_form():
    found, last = rates(100, warm_share=0.1, floor=0.05)
    assert found[:10] == pytest.approx([0.2 * (k + 1) for k in range(10)])
    middle = 0.05 + 0.95 * (1 + math.cos(math.pi * 0.5)) / 2
    assert found[55] == pytest.approx(2 * middle)  # half way from step 10 to step 100
    assert last == pytest.approx(0.1) and max(found) == pytest.approx(2.0)


@pytest.mark.parametrize("n_steps", [1, 2, 3])
def test_runs_of_a_few_steps_have_a_rate(n_steps):
    found, _ = rates(n_steps)
    assert all(0 < rate <= 2 for rate in found)


def test_who_moves_when():
    asks = scheduled(sgd(), functools.partial(warm_cosine, floor=0.1), lambda: 7)
    assert asks["lr_scheduler"]["interval"] == "step"
    epoch = scheduled(sgd(), functools.partial(torch.optim.lr_scheduler.StepLR, step_size=3), lambda: 1 / 0)
    assert epoch["lr_scheduler"]["interval"] == "epoch"
    assert isinstance(scheduled(sgd(), None, lambda: 1 / 0), torch.optim.SGD)
