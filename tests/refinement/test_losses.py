"""The pixel loss against hand values."""

import pytest
import torch

from jewelenh.refinement.losses import PixelLoss


def test_l1_and_mse_by_hand():
    refined, target = torch.tensor([[[[0.0, 0.5]]]]), torch.tensor([[[[0.2, -0.5]]]])
    loss, parts = PixelLoss(1.0, 0.5)(refined, target)
    assert float(parts["l1"]) == pytest.approx(0.6)  # (0.2 + 1.0) / 2
    assert float(parts["mse"]) == pytest.approx(0.52)  # (0.04 + 1.0) / 2
    assert float(loss) == pytest.approx(0.6 + 0.5 * 0.52)


@pytest.mark.parametrize("weights", [(-1, 1), (0, 0)])
def test_impossible_weights_are_refused(weights):
    with pytest.raises(ValueError, match="loss weights"):
        PixelLoss(*weights)


def test_the_psnr_part_is_each_picture_s_own_psnr():
    target = torch.zeros(2, 3, 4, 4)
    refined = target.clone()
    refined[0] += 0.2  # 0.1 on [0, 1]: 20 dB
    refined[1] += 0.02  # 0.01: 40 dB
    loss, parts = PixelLoss(0.0, 0.0, 2.0)(refined, target)
    assert float(parts["psnr"]) == pytest.approx(-30, abs=0.25)  # the floor of 50 dB takes 0.4 of 40
    assert float(loss) == pytest.approx(2 * float(parts["psnr"]))
    perfect, _ = PixelLoss(0.0, 0.0, 1.0)(target, target)
    assert float(perfect) == pytest.approx(-50)


def test_a_decibel_pulls_as_hard_on_a_good_picture_as_on_a_bad_one():
    target = torch.zeros(2, 3, 4, 4)
    refined = torch.stack([target[0] + 0.4, target[1] + 0.04]).requires_grad_(True)
    PixelLoss(0.0, 0.0, 1.0)(refined, target)[0].backward()
    pull = (refined.grad * refined).sum(dim=(1, 2, 3))  # change of the loss for a change of one per cent
    assert float(pull[1] / pull[0]) == pytest.approx(1, abs=0.05)
    refined.grad = None
    PixelLoss(0.0, 1.0)(refined, target)[0].backward()
    pull = (refined.grad * refined).sum(dim=(1, 2, 3))
    assert float(pull[1] / pull[0]) == pytest.approx(0.01, rel=0.01)
