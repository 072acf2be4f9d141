"""Make the sample photos, their large versions, and the high-resolution renders for training a x4 network.

    python render.py photos            jewelenh/sample/photos, manifest.json
    python render.py large             jewelenh/sample/large
    python render.py training          data/renders_hr/train and data/renders_hr/heldout

A picture that exists under the same recipe (scene, film, samples, development) is not rendered again.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scenes import Scene, draw_scene, generator, scene_list
from stones import GEMS

ROOT = Path(__file__).resolve().parents[2]
SAMPLE_DIR = ROOT / "jewelenh" / "sample"
TRAINING_DIR = ROOT / "data" / "renders_hr"
SEED = 2025
DEVELOPMENT = "2"  # raise when camera_room.develop or trace changes the picture of an unchanged scene
PHOTO_PX, LARGE_PX, HR_PX, CROP_PX = 262, 786, 1048, 384
PHOTO_QUALITY, LARGE_QUALITY = 95, 92
N_TRAIN, N_HELDOUT = 64, 8  # of each kind


@dataclass(frozen=True)
class Shot:
    """One file to make: `film` is (film size, left, top, width) in pixels; the render is then resized to `out_px`."""

    file: Path
    scene: Scene
    film: tuple[int, int, int, int]
    out_px: int
    spp: int

    def recipe(self) -> str:
        """A hash of everything that decides the file's pixels."""
        text = f"{self.scene.digest()} {self.film} {self.out_px} {self.spp} {DEVELOPMENT} {version('mitsuba')}"
        return hashlib.sha256(text.encode()).hexdigest()


def _key(shot: Shot) -> str:
    return f"{shot.file.parent.name}/{shot.file.name}"


class Ledger:
    """Recipes of what is done, beside the pictures; read before and written after each picture."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.done: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}

    def has(self, shot: Shot) -> bool:
        """Whether the file exists and was made by this recipe."""
        return shot.file.exists() and self.done.get(_key(shot)) == shot.recipe()

    def add(self, shot: Shot) -> None:
        """Record a finished file, atomically."""
        self.done[_key(shot)] = shot.recipe()
        self.file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.file.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.done, indent=1, sort_keys=True))
        temporary.replace(self.file)


def encoded(picture: np.ndarray, file: Path, out_px: int) -> bytes:
    """The file's bytes: PNG, or JPEG without chroma subsampling."""
    image = Image.fromarray(np.uint8(np.clip(picture, 0, 1) * 255 + 0.5))
    if image.width != out_px:
        image = image.resize((out_px, out_px), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    if file.suffix == ".png":
        image.save(buffer, "PNG", optimize=True)
    else:
        quality = PHOTO_QUALITY if out_px == PHOTO_PX else LARGE_QUALITY
        image.save(buffer, "JPEG", quality=quality, subsampling=0 if out_px == PHOTO_PX else 2, optimize=True)
    return buffer.getvalue()


def make(shots: Iterator[Shot], ledger: Ledger) -> None:
    for shot in shots:
        if ledger.has(shot):
            continue
        from camera_room import Film, develop, trace  # only here: a finished set needs no renderer

        start = time.perf_counter()
        picture = develop(trace(shot.scene, Film(*shot.film), shot.spp), shot.scene)
        shot.file.parent.mkdir(parents=True, exist_ok=True)
        temporary = shot.file.with_name(shot.file.name + ".tmp")
        temporary.write_bytes(encoded(picture, shot.file, shot.out_px))
        temporary.replace(shot.file)
        ledger.add(shot)
        print(f"{shot.file.name} {shot.scene.words['style']} {time.perf_counter() - start:.1f} s", flush=True)


def photo_shots(seed: int, n: int, spp: int) -> Iterator[Shot]:
    """The sample set: rendered at twice the size and reduced, which is kinder to thin wires than more samples."""
    for kind, number, style in scene_list(seed, "photos", n, n):
        scene = draw_scene(seed, "photos", kind, number, style)
        yield Shot(
            SAMPLE_DIR / "photos" / f"{kind}s" / f"{scene.name}.jpg",
            scene,
            (2 * PHOTO_PX, 0, 0, 2 * PHOTO_PX),
            PHOTO_PX,
            spp,
        )


def large_shots(seed: int, n: int, names: list[str], spp: int) -> Iterator[Shot]:
    for kind, number, style in scene_list(seed, "photos", n, n):
        if f"{kind}_{number:03d}" in names:
            scene = draw_scene(seed, "photos", kind, number, style)
            yield Shot(SAMPLE_DIR / "large" / f"{scene.name}.jpg", scene, (LARGE_PX, 0, 0, LARGE_PX), LARGE_PX, spp)


def training_shots(seed: int, spp: int, kinds: tuple[str, ...]) -> Iterator[Shot]:
    """One window of a x4 film per scene, about a stone or metal; streams of their own, disjoint from the photos."""
    for split, n in (("heldout", N_HELDOUT), ("train", N_TRAIN)):
        for kind, number, style in scene_list(seed, split, n, n):
            if kind in kinds:
                scene = draw_scene(seed, split, kind, number, style)
                left, top = window(scene, generator(seed, split, "window", kind, number))
                yield Shot(TRAINING_DIR / split / f"{scene.name}.png", scene, (HR_PX, left, top, CROP_PX), CROP_PX, spp)


def window(scene: Scene, rng: np.random.Generator) -> tuple[int, int]:
    """Top left corner (px) of a window about a random point of the piece: half the time of a stone, if it has any."""
    groups = [(material, mesh.vertices) for (material, _), mesh in scene.piece.by_material().items()]
    gems = [points for material, points in groups if material in GEMS]
    points = np.concatenate(gems if gems and rng.random() < 0.5 else [points for _, points in groups])
    film = scene.camera.project(points)
    film = film[(np.abs(film - 0.5) < 0.47).all(1)]
    corner = film[rng.integers(len(film))] * HR_PX - CROP_PX / 2
    left, top = np.clip(np.round(corner), 0, HR_PX - CROP_PX).astype(int)
    return int(left), int(top)


def write_manifest(seed: int, n: int, spp: int, command: str) -> None:
    """What each photo shows and how it was made; read by the package and by people."""
    photos: list[dict[str, Any]] = []
    for shot in photo_shots(seed, n, spp):
        data = shot.file.read_bytes()
        entry = {"file": str(shot.file.relative_to(SAMPLE_DIR)), "sha256": hashlib.sha256(data).hexdigest()}
        photos.append(entry | shot.scene.words | {"spp": spp * 4})  # four film pixels are averaged into one
    large = [
        {"file": str(file.relative_to(SAMPLE_DIR)), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
        for file in sorted((SAMPLE_DIR / "large").glob("*.jpg"))
    ]
    head = {
        "version": 1,
        "seed": seed,
        "generator": command,
        "renderer": f"mitsuba {version('mitsuba')}",
        "denoiser": f"mitsuba-oidn {version('mitsuba-oidn')} (Intel Open Image Denoise)",
        "licence": "MIT, as the project: the pictures are path-traced from drawn scenes and show no real product",
        "size_px": PHOTO_PX,
        "jpeg_quality": PHOTO_QUALITY,
    }
    lines = ",\n".join("  " + json.dumps(photo) for photo in photos)
    text = json.dumps(head, indent=1)[:-2] + f',\n "photos": [\n{lines}\n ],\n "large": {json.dumps(large)}\n}}\n'
    (SAMPLE_DIR / "manifest.json").write_text(text)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["photos", "large", "training"])
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument(
        "--spp", type=int, default=None, help="samples per film pixel (photos 12, large 36, training 30)"
    )
    parser.add_argument("--n", type=int, default=48, help="photos of each kind")
    parser.add_argument("--names", nargs="*", default=[], help="which photos to make large")
    parser.add_argument("--kinds", nargs="*", default=["ring", "necklace"], help="make only these kinds now")
    args = parser.parse_args(arguments)
    if args.what == "photos":
        spp = args.spp or 12
        shots = (shot for shot in photo_shots(args.seed, args.n, spp) if shot.scene.words["kind"] in args.kinds)
        make(shots, Ledger(ROOT / "data" / "renders_hr" / "photos.json"))
        write_manifest(args.seed, args.n, spp, "python experiments/sample_photos/render.py photos")
    elif args.what == "large":
        make(large_shots(args.seed, args.n, args.names, args.spp or 36), Ledger(TRAINING_DIR / "large.json"))
    else:
        for kind in args.kinds:
            shots = training_shots(args.seed, args.spp or 30, (kind,))
            make(shots, Ledger(TRAINING_DIR / f"{kind}s.json"))


if __name__ == "__main__":
    main(sys.argv[1:])
