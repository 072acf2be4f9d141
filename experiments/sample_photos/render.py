"""Make the sample photos, their large versions, new scenes like them, and high-resolution renders for a x4 network.

    python render.py photos            jewelenh/sample/photos, manifest.json
    python render.py large             jewelenh/sample/large
    python render.py training          data/renders_hr/train and data/renders_hr/heldout
    python render.py new --n 300       data/renders/seed3001: 300 rings and 300 necklaces that the sample does not hold

`--write mask` writes what each pixel shows in place of the picture, `--write picture mask` (what `new` does) both.
What exists under the same recipe (scene, film, samples, development) is not rendered again.
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
from typing import Any, Literal

import numpy as np
from PIL import Image
from scenes import Scene, draw_scene, generator, scene_list
from stones import GEMS

ROOT = Path(__file__).resolve().parents[2]
SAMPLE_DIR = ROOT / "jewelenh" / "sample"
TRAINING_DIR = ROOT / "data" / "renders_hr"
SEED, NEW_SEED = 2025, 3001
DEVELOPMENT = "2"  # raise when camera_room.develop or trace changes the picture of an unchanged scene
MASKING = "1"  # the same for camera_room.coverage
PHOTO_PX, LARGE_PX, HR_PX, CROP_PX = 262, 786, 1048, 384
PHOTO_QUALITY, LARGE_QUALITY = 95, 92
N_TRAIN, N_HELDOUT = 64, 8  # of each kind

Product = Literal["picture", "mask"]


@dataclass(frozen=True)
class Shot:
    """A picture to make: `film` is (film size, left, top, width) in pixels; the render is then resized to `out_px`."""

    file: Path
    mask: Path
    scene: Scene
    film: tuple[int, int, int, int]
    out_px: int
    spp: int

    def recipe(self, product: Product) -> str:
        """A hash of everything that decides the file's pixels."""
        how = f"{self.spp} {DEVELOPMENT}" if product == "picture" else f"mask {MASKING}"
        text = f"{self.scene.digest()} {self.film} {self.out_px} {how} {version('mitsuba')}"
        return hashlib.sha256(text.encode()).hexdigest()

    def render(self, product: Product) -> bytes:
        """The content of the picture's or of the mask's file."""
        from camera_room import Film, coverage, develop, trace  # only here: a finished set needs no renderer

        film = Film(*self.film)
        if product == "mask":
            return png(coverage(self.scene, film, self.out_px))
        return encoded(develop(trace(self.scene, film, self.spp), self.scene), self.file, self.out_px)


class Ledger:
    """Recipes of what is done, beside the pictures; read before and written after each picture."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.done: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}

    def has(self, key: str, recipe: str) -> bool:
        """Whether what `key` names was made by this recipe."""
        return self.done.get(key) == recipe

    def add(self, key: str, recipe: str) -> None:
        """Record a finished file, atomically."""
        self.done[key] = recipe
        self.file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.file.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.done, indent=1, sort_keys=True))
        temporary.replace(self.file)


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


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


def make(shots: Iterator[Shot], ledger: Ledger, products: list[Product]) -> None:
    for shot in shots:
        for product in products:
            file = shot.file if product == "picture" else shot.mask
            key = f"{shot.file.parent.name}/{shot.file.name}" + (" mask" if product == "mask" else "")
            recipe = shot.recipe(product)
            if file.exists() and ledger.has(key, recipe):
                continue
            start = time.perf_counter()
            data = shot.render(product)
            file.parent.mkdir(parents=True, exist_ok=True)
            temporary = file.with_name(file.name + ".tmp")
            temporary.write_bytes(data)
            temporary.replace(file)
            ledger.add(key, recipe)
            print(f"{key} {shot.scene.words['style']} {time.perf_counter() - start:.1f} s", flush=True)


def photo_shots(seed: int, n: int, spp: int) -> Iterator[Shot]:
    """The sample set: rings, then necklaces."""
    for kind, number, style in scene_list(seed, "photos", n, n):
        scene = draw_scene(seed, "photos", kind, number, style)
        yield photo_shot(SAMPLE_DIR, scene, scene.name, spp)


def new_shots(root: Path, seed: int, n: int, spp: int) -> Iterator[Shot]:
    """Scenes of a stream of their own, ring and necklace in turn: a set that was stopped is half of each."""
    for kind, number, style in sorted(scene_list(seed, "new", n, n), key=lambda scene: scene[1]):
        scene = draw_scene(seed, "new", kind, number, style)
        yield photo_shot(root, scene, f"{kind}_{seed}_{number:03d}", spp)


def photo_shot(root: Path, scene: Scene, name: str, spp: int) -> Shot:
    """A photo is rendered at twice the size and reduced, which is kinder to thin wires than more samples."""
    place = Path(f"{scene.words['kind']}s", name)
    file, mask = root / "photos" / place.with_suffix(".jpg"), root / "masks" / place.with_suffix(".png")
    return Shot(file, mask, scene, (2 * PHOTO_PX, 0, 0, 2 * PHOTO_PX), PHOTO_PX, spp)


def large_shots(seed: int, n: int, names: list[str], spp: int) -> Iterator[Shot]:
    for kind, number, style in scene_list(seed, "photos", n, n):
        if f"{kind}_{number:03d}" in names:
            scene = draw_scene(seed, "photos", kind, number, style)
            file = SAMPLE_DIR / "large" / f"{scene.name}.jpg"
            mask = SAMPLE_DIR / "masks" / "large" / f"{scene.name}.png"
            yield Shot(file, mask, scene, (LARGE_PX, 0, 0, LARGE_PX), LARGE_PX, spp)


def training_shots(seed: int, spp: int, kinds: tuple[str, ...]) -> Iterator[Shot]:
    """One window of a x4 film per scene, about a stone or metal; streams of their own, disjoint from the photos."""
    for split, n in (("heldout", N_HELDOUT), ("train", N_TRAIN)):
        for kind, number, style in scene_list(seed, split, n, n):
            if kind in kinds:
                scene = draw_scene(seed, split, kind, number, style)
                left, top = window(scene, generator(seed, split, "window", kind, number))
                file, mask = (folder / split / f"{scene.name}.png" for folder in (TRAINING_DIR, TRAINING_DIR / "masks"))
                yield Shot(file, mask, scene, (HR_PX, left, top, CROP_PX), CROP_PX, spp)


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


def write_manifest(root: Path, shots: Iterator[Shot], seed: int, command: str) -> None:
    """What each photo shows and how it was made; read by the package and by people."""
    photos: list[dict[str, Any]] = []
    for shot in shots:
        data = shot.file.read_bytes()
        entry = {"file": str(shot.file.relative_to(root)), "sha256": hashlib.sha256(data).hexdigest()}
        photos.append(entry | shot.scene.words | {"spp": shot.spp * 4})  # four film pixels are averaged into one
    large = [
        {"file": str(file.relative_to(root)), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
        for file in sorted((root / "large").glob("*.jpg"))
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
    (root / "manifest.json").write_text(text)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["photos", "large", "training", "new"])
    parser.add_argument("--seed", type=int, default=None, help=f"{SEED}, for new scenes {NEW_SEED}")
    parser.add_argument(
        "--spp", type=int, default=None, help="samples per film pixel (photos 12, large 36, training 30)"
    )
    parser.add_argument("--n", type=int, default=48, help="photos of each kind")
    parser.add_argument("--names", nargs="*", default=[], help="which photos to make large")
    parser.add_argument("--kinds", nargs="*", default=["ring", "necklace"], help="make only these kinds now")
    parser.add_argument("--write", nargs="+", choices=["picture", "mask"], help="picture; for new scenes both")
    parser.add_argument("--out", type=Path, default=None, help="folder of new scenes (data/renders/seed<seed>)")
    args = parser.parse_args(arguments)
    seed = args.seed or (NEW_SEED if args.what == "new" else SEED)
    products = args.write or (["picture", "mask"] if args.what == "new" else ["picture"])
    command = "python experiments/sample_photos/render.py"
    if args.what == "photos":
        shots = (s for s in photo_shots(seed, args.n, args.spp or 12) if s.scene.words["kind"] in args.kinds)
        make(shots, Ledger(TRAINING_DIR / "photos.json"), products)
        if "picture" in products:
            write_manifest(SAMPLE_DIR, photo_shots(seed, args.n, args.spp or 12), seed, f"{command} photos")
    elif args.what == "new":
        root = args.out or ROOT / "data" / "renders" / f"seed{seed}"
        make(new_shots(root, seed, args.n, args.spp or 12), Ledger(root / "recipes.json"), products)
        if "picture" in products:
            made = new_shots(root, seed, args.n, args.spp or 12)
            write_manifest(root, made, seed, f"{command} new --seed {seed} --n {args.n}")
    elif args.what == "large":
        make(large_shots(seed, args.n, args.names, args.spp or 36), Ledger(TRAINING_DIR / "large.json"), products)
    else:
        for kind in args.kinds:
            shots = training_shots(seed, args.spp or 30, (kind,))
            make(shots, Ledger(TRAINING_DIR / f"{kind}s.json"), products)


if __name__ == "__main__":
    main(sys.argv[1:])
