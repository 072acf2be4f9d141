"""A checkpoint written by hand, what a training leaves in it included."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import torch
import yaml

from jewelenh.config import Enhancer, parse
from jewelenh.degradation.levels import Degradation
from jewelenh.refinement.networks import RefinementCNN

REPO = Path(__file__).resolve().parents[2]
MODERATE = parse(Degradation, yaml.safe_load((REPO / "conf/degradation/moderate.yaml").read_text()), "degradation")


def draw_ring(number: int, height: int = 48, width: int = 48) -> np.ndarray:
    """Return a drawn gold ring on white, (H, W, 3) uint8, different for every number."""
    image = np.full((height, width, 3), 250, np.uint8)
    axes = (width // 4 + number % 3, height // 5 + number % 5)
    cv2.ellipse(image, (width // 2, height // 2), axes, 17.0 * number, 0, 360, (212, 175, 55), 4, cv2.LINE_AA)
    return image


def write_checkpoint(file: Path, weights: Path, age_s: float = 0.0) -> Path:
    """Write a checkpoint of a random network of 4 features behind the tiny enhancer."""
    torch.manual_seed(1)
    network = RefinementCNN(4, residual_scale=0.3)
    enhancer = asdict(Enhancer(name="tiny", weights=weights)) | {"weights": str(weights)}
    about = {
        "version": 2,
        "network": {
            "_target_": "jewelenh.refinement.networks.RefinementCNN",
            "features": 4,
            "residual_scale": 0.3,
        },
        "pairs_dir": "gone",
        "config": {"enhancer": enhancer, "degradation": {"name": "moderate"}},
    }
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": state, "epoch": 1, "global_step": 2, "jewelenh": about}, file)
    if age_s:
        moment = file.stat().st_mtime - age_s
        os.utime(file, (moment, moment))
    return file
