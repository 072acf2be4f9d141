"""Photos a second of the degraded stage, against a plain loop of the same operations, in one run.

python experiments/bench/degradation.py [photos=<folder>] [level=study] [workers=<n>] [repeats=3]

Without a folder: 280 drawn photos of 262 x 262, stored as JPEG. The plain loop is what one writes first: OpenCV and
NumPy, one photo after the other, `filter2D` for motion, `normal` for noise, CIELAB and HSV through `cvtColor`. Both
sides do the same draws. In memory: pixels in, pixels out. With files: JPEG in, PNG out. The best of the repeats counts.
Processor time beside it tells what a machine that is busy with other things hides.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from jewelenh.config import Source, parse
from jewelenh.degradation.draws import Draw, apply, sample
from jewelenh.degradation.levels import Degradation
from jewelenh.degradation.run import degrade
from jewelenh.degradation.transforms import steps_of
from jewelenh.hardware import n_cores
from jewelenh.images import Pixels, read_photo
from jewelenh.job import CONF_DIR
from jewelenh.sources import fetch

FLAGS = {"nearest": 6, "bilinear": 1, "bicubic": 2, "area": 3, "lanczos": 4}


def plain_loop(draw: Mapping[str, Any], pixels: Pixels, seed: int) -> Pixels:
    """Degrade (H, W, 3) uint8 with plain OpenCV and NumPy."""
    rng = np.random.default_rng(seed)
    if drawn := draw.get("blur"):
        pixels = plain_blur(drawn, pixels)
    if drawn := draw.get("downscale"):
        height, width = pixels.shape[:2]
        small = (max(1, round(width * drawn["factor"])), max(1, round(height * drawn["factor"])))
        flag = FLAGS[drawn["method"]]
        pixels = cv2.resize(cv2.resize(pixels, small, interpolation=flag), (width, height), interpolation=flag)
    if sigma := draw.get("noise", {}).get("gaussian_sigma"):
        pixels = np.clip(pixels + rng.normal(0, sigma, pixels.shape), 0, 255).astype(np.uint8)
    if drawn := draw.get("jpeg"):
        stored = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, drawn["quality"]])[1]
        pixels = cv2.imdecode(stored, cv2.IMREAD_COLOR)[..., ::-1]
    if drawn := draw.get("colour"):
        pixels = plain_colour(drawn, pixels)
    return pixels


def plain_blur(drawn: Mapping[str, Any], pixels: Pixels) -> Pixels:
    if sigma := drawn.get("gaussian_sigma_px"):
        pixels = cv2.GaussianBlur(pixels, (0, 0), sigma)
    if length := drawn.get("motion_length_px"):
        kernel = np.zeros((length, length), np.float32)
        kernel[length // 2] = 1
        centre = (length / 2 - 0.5, length / 2 - 0.5)
        kernel = cv2.warpAffine(kernel, cv2.getRotationMatrix2D(centre, drawn["motion_angle_deg"], 1), (length, length))
        pixels = cv2.filter2D(pixels, -1, kernel / kernel.sum())
    return pixels


def plain_colour(drawn: Mapping[str, Any], pixels: Pixels) -> Pixels:
    lab = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2LAB).astype(np.float32)
    lab[..., 2] = np.clip(lab[..., 2] + drawn["temperature"], 0, 255)
    hsv = cv2.cvtColor(cv2.cvtColor(lab.astype(np.uint8), cv2.COLOR_LAB2RGB), cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 1] = np.clip(hsv[..., 1] + drawn["saturation"], 0, 255)
    return cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB)


def plain_job(files: Sequence[Path], draws: Sequence[Draw], out_dir: Path) -> None:
    for i, (file, draw) in enumerate(zip(files, draws, strict=True)):
        pixels = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)
        cv2.imwrite(str(out_dir / f"{i}.png"), cv2.cvtColor(plain_loop(draw, pixels, i), cv2.COLOR_RGB2BGR))


def draw_photos(folder: Path, n_photos: int = 280) -> None:
    """Write photos of a ring on a bright ground, about as large as a shop's thumbnails."""
    for i in range(n_photos):
        rng = np.random.default_rng(i)
        picture = np.full((262, 262, 3), 250, np.uint8)
        centre = tuple(int(v) for v in rng.integers(100, 160, 2))
        cv2.ellipse(picture, centre, (90, 60), float(rng.uniform(0, 180)), 0, 360, (80, 170, 210), 14, cv2.LINE_AA)
        for _ in range(60):
            at = tuple(int(v) for v in rng.integers(50, 210, 2))
            cv2.circle(picture, at, int(rng.integers(1, 9)), tuple(int(v) for v in rng.integers(0, 256, 3)), -1)
        cv2.imwrite(str(folder / f"{i:03}.jpg"), picture)


@dataclass(frozen=True)
class Speed:
    """Photos a second, and milliseconds of processor time (all cores) a photo."""

    photos_a_s: float
    cpu_ms: float


def speed(work: Callable[[], object], n_photos: int, repeats: int) -> Speed:
    """Return the best of the repeats."""
    best_s = best_cpu_s = float("inf")
    for _ in range(repeats):
        started_s, started_cpu_s = time.perf_counter(), time.process_time()
        work()
        best_cpu_s = min(best_cpu_s, time.process_time() - started_cpu_s)
        best_s = min(best_s, time.perf_counter() - started_s)
    return Speed(n_photos / best_s, 1000 * best_cpu_s / n_photos)


def measure(root: Path, level: Degradation, workers: int, repeats: int, work_dir: Path) -> dict[str, Speed]:
    """Return the speed of every way."""
    raw = fetch(Source(kind="folder", root=root), 0, work_dir)
    files = [raw.file(item) for item in raw.items]
    photos = [read_photo(file).pixels for file in files]
    draws = [sample(steps_of(level), 0, level.name, 0, item.stem) for item in raw.items]
    n, n_threads = len(photos), cv2.getNumThreads()

    def plain() -> None:
        for i, (draw, pixels) in enumerate(zip(draws, photos, strict=True)):
            plain_loop(draw, pixels, i)

    def ours() -> None:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(apply, draws, photos))

    def ours_job() -> None:
        shutil.rmtree(work_dir / "degraded", ignore_errors=True)
        degrade(raw, level, 0, work_dir, workers=workers)

    speeds = {"plain loop, in memory, OpenCV's own threads": speed(plain, n, repeats)}
    cv2.setNumThreads(1)
    speeds["plain loop, in memory, one OpenCV thread"] = speed(plain, n, repeats)
    speeds[f"jewelenh, in memory, {workers} workers"] = speed(ours, n, repeats)
    (work_dir / "plain").mkdir(exist_ok=True)
    speeds["plain loop, with files, one OpenCV thread"] = speed(
        lambda: plain_job(files, draws, work_dir / "plain"), n, repeats
    )
    cv2.setNumThreads(n_threads)
    speeds[f"jewelenh, the job's whole stage with files, {workers} workers"] = speed(ours_job, n, repeats)
    return speeds


def main() -> None:
    options = dict(argument.split("=", 1) for argument in sys.argv[1:])
    values = yaml.safe_load((CONF_DIR / "degradation" / f"{options.get('level', 'study')}.yaml").read_text())
    workers = int(options.get("workers", n_cores()))
    with tempfile.TemporaryDirectory() as work:
        root = Path(options["photos"]) if "photos" in options else Path(work) / "photos"
        if "photos" not in options:
            root.mkdir()
            draw_photos(root)
        level = parse(Degradation, values, "degradation")
        speeds = measure(root, level, workers, int(options.get("repeats", 3)), Path(work) / "data")
    print(f"degradation, level {level.name}:\n  photos/s  CPU ms a photo")
    for way, measured in speeds.items():
        print(f"  {measured.photos_a_s:8.1f}  {measured.cpu_ms:14.2f}  {way}")


if __name__ == "__main__":
    main()
