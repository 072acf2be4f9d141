"""The pixel loss against hand values."""

import pytest
import torch

from jewelenh.refinement.losses import PixelLoss


def test_l1_and_mse_by_hand():
    refined, target = torch.tensor([[[[0.0, 0.5]]]]), torch.tensor([[[[0.2, -0.5]]]])
    pixel_loss = PixelLoss(1.0, 0.5)
    loss, parts = pixel_loss(refined, target), pixel_loss.parts
    assert float(parts["l1"]) == pytest.approx(0.6)  # (0.2 + 1.0) / 2
    assert float(parts["mse"]) == pytest.approx(0.52)  # (0.04 + 1.0) / 2
    assert float(loss) == pytest.approx(0.6 + 0.5 * 0.52)


@pytest.mark.parametrize("weights", [(-1, 1), (0, 0)])
def test_impossible_weights_are_refused(weights):
    with pytest.raises(ValueError, match="0 or more"):
        PixelLoss(*weights)
