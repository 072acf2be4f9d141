"""Measure whether the degradation levels rank, over all photos below a folder, photo by photo.

python -m experiments.degradation_ranking.measure [root=<folder of photos>] [seeds=42,1,7]
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from jewelenh.config import Source, parse
from jewelenh.degradation.draws import apply, sample
from jewelenh.degradation.levels import Degradation
from jewelenh.degradation.transforms import steps_of
from jewelenh.images import Pixels, read_photo
from jewelenh.job import CONF_DIR, VERSION_BASE
from jewelenh.metrics import METRICS
from jewelenh.sources import SAMPLE_DIR, find_photos

RANKED = ("mild", "moderate", "severe")
LEVELS = (*RANKED, "study")


@dataclass(frozen=True)
class Scores:
    """PSNR in dB and SSIM of every photo (rows) at every level (columns)."""

    psnr_db: npt.NDArray[np.float64]
    ssim: npt.NDArray[np.float64]


def levels() -> dict[str, Degradation]:
    """Return the shipped levels, as the jobs compose them."""
    with initialize_config_dir(config_dir=str(CONF_DIR), **VERSION_BASE):
        configs = {name: compose("degrade", overrides=[f"degradation={name}"]).degradation for name in LEVELS}
    return {
        name: parse(Degradation, OmegaConf.to_container(config, resolve=True), "degradation")  # type: ignore[arg-type]
        for name, config in configs.items()
    }


def measure(photos: dict[str, Pixels], chosen: dict[str, Degradation], seed: int) -> Scores:
    """Degrade every photo at every level and compare it with itself."""

    def score(stem: str, level: Degradation) -> list[float | None]:
        pixels = apply(sample(steps_of(level), seed, level.name, 0, stem), photos[stem])
        return [METRICS[name].of_pixels(pixels, photos[stem]) for name in ("psnr_db", "ssim")]

    jobs = [(stem, level) for stem in photos for level in chosen.values()]
    with ThreadPoolExecutor() as pool:
        scores = np.array(list(pool.map(lambda job: score(*job), jobs)), dtype=np.float64).reshape(
            len(photos), len(chosen), 2
        )
    return Scores(scores[..., 0], scores[..., 1])


def ranked_share(values: npt.NDArray[np.float64]) -> float:
    """Return the share of photos whose score falls from each ranked level to the next."""
    return float(np.mean(np.all(np.diff(values[:, : len(RANKED)], axis=1) < 0, axis=1)))


def report(scores: Scores, seed: int) -> str:
    """Return a table row per level and one line on the ranking."""
    lines = [f"seed {seed}, {len(scores.psnr_db)} photos", ""]
    lines += ["| level | mean PSNR, dB | step | mean SSIM | step |", "|---|---|---|---|---|"]
    means = np.stack([scores.psnr_db.mean(axis=0), scores.ssim.mean(axis=0)], axis=1)
    for i, (name, (psnr, similarity)) in enumerate(zip(LEVELS, means, strict=True)):
        step_db, step = means[i] - means[i - 1] if name in RANKED[1:] else (None, None)
        shown = (f"{step_db:+.2f}", f"{step:+.3f}") if step is not None else ("", "")
        lines.append(f"| {name} | {psnr:.2f} | {shown[0]} | {similarity:.3f} | {shown[1]} |")
    both = np.minimum(np.diff(-scores.psnr_db[:, :3], axis=1), np.diff(-scores.ssim[:, :3], axis=1)).min(axis=1) > 0
    lines += [
        "",
        f"ranked photo by photo: PSNR {ranked_share(scores.psnr_db):.1%}, SSIM {ranked_share(scores.ssim):.1%}, "
        f"both {both.mean():.1%}",
    ]
    return "\n".join(lines)


def main() -> None:
    arguments = dict(argument.split("=", 1) for argument in sys.argv[1:])
    root = Path(arguments.get("root", SAMPLE_DIR)).expanduser()
    cv2.setNumThreads(1)
    stems = find_photos(root, Source(kind="sample").extensions)
    photos = {stem: read_photo(root / stem).as_uint8().pixels for stem in stems}
    for seed in arguments.get("seeds", "42").split(","):
        print(report(measure(photos, levels(), int(seed)), int(seed)), end="\n\n")


if __name__ == "__main__":
    main()
