"""Render a Scene with Mitsuba 3, denoise it and develop it; the only module that needs a renderer."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import drjit as dr
import mitsuba as mi
import mitsuba_oidn as oidn
import numpy as np
from mesh import Floats, write_ply
from numpy.typing import NDArray
from scenes import Scene
from studio import REGIONS, floor, floor_radiance, region, sky, surface

mi.set_variant("llvm_ad_rgb")

MAX_DEPTH = 22  # a ray in a diamond is reflected about ten times before what is left of it no longer matters
WHITE = 1.22  # exposure: an unshadowed white floor lands here in linear light, just over the shoulder's end
SATURATION = 1.2  # the picture style of a catalogue: colours a little stronger than measured


@dataclass(frozen=True)
class Film:
    """A square film of `size` pixels, or the window of it at (`left`, `top`) of `width` x `width` pixels."""

    size: int
    left: int = 0
    top: int = 0
    width: int | None = None


def ior_dir() -> Path:
    return Path(mi.__file__).parent / "data" / "ior"


def _load(scene: Scene, film: Film, work_dir: Path, merges: bool = True) -> Any:
    """The renderer's scene; with `merges` it joins meshes of one surface, and they lose their names `part<number>`."""
    camera, (azimuth, zenith, horizon, boxes) = scene.camera, scene.sky
    width = film.width or film.size
    sensor: dict[str, Any] = {
        "type": "thinlens" if camera.aperture_mm > 0 else "perspective",
        "fov": camera.fov_deg,
        "near_clip": 1.0,
        "far_clip": 1e5,
        "to_world": mi.ScalarTransform4f().look_at(list(camera.origin), list(camera.target), [0, 0, 1]),
        "film": {
            "type": "hdrfilm", "width": film.size, "height": film.size,
            "pixel_format": "rgb", "component_format": "float32",
            "crop_offset_x": film.left, "crop_offset_y": film.top, "crop_width": width, "crop_height": width,
            "rfilter": {"type": "box"},
        },
        "sampler": {"type": "independent"},
    }  # fmt: skip
    if camera.aperture_mm > 0:
        sensor |= {"aperture_radius": camera.aperture_mm, "focus_distance": camera.focus_distance}
    light = mi.Bitmap(sky(azimuth, zenith, horizon, boxes).astype(np.float32))
    turn = mi.ScalarTransform4f().rotate([1, 0, 0], 90)
    content: dict[str, Any] = {
        "type": "scene",
        "sensor": sensor,
        "sky": {"type": "envmap", "bitmap": light, "to_world": turn},
    }
    ground = floor(scene.floor_albedo, scene.glossy_floor, scene.floor_falloff, camera, _reach(scene))
    texture = next(v for k, v in ground["bsdf"]["nested"].items() if k in ("reflectance", "diffuse_reflectance"))
    texture["bitmap"] = mi.Bitmap(texture.pop("data"))
    place = mi.ScalarTransform4f().translate(list(ground["centre"])).scale([ground["size"], ground["size"], 1.0])
    content["floor"] = {"type": "rectangle", "to_world": place, "bsdf": ground["bsdf"]}
    for number, ((material, crease), mesh) in enumerate(scene.piece.by_material().items()):
        file = work_dir / f"{number}.ply"
        write_ply(mesh, file)
        bsdf = surface(material, ior_dir(), scene.roughness, scene.enamel)
        content[f"part{number}"] = {"type": "ply", "filename": str(file), "face_normals": crease <= 0, "bsdf": bsdf}
    return mi.load_dict(content, optimize=merges)


def _reach(scene: Scene) -> float:
    """Half of what the film sees at the target, in mm."""
    distance = float(np.linalg.norm(np.subtract(scene.camera.origin, scene.camera.target)))
    return distance * float(np.tan(np.radians(scene.camera.fov_deg / 2)))


def trace(scene: Scene, film: Film, spp: int, passes: int = 6, seed: int = 1) -> Floats:
    """Linear radiance (H, W, 3), denoised. `spp` is shared by `passes` independent renders.

    Each pass is limited to a few times the passes' median before they are averaged: that removes fireflies, which a
    denoiser would spread, and costs a little of the brightest glints.
    """
    if spp % passes:
        raise ValueError(f"spp: {spp} does not divide into {passes} passes; take a multiple of {passes}")
    integrator = mi.load_dict({
        "type": "aov", "aovs": "albedo:albedo,normal:sh_normal",
        "path": {"type": "path", "max_depth": MAX_DEPTH, "rr_depth": 8},
    })  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        loaded = _load(scene, film, Path(folder))
        stack = []
        for number in range(passes):
            image = mi.render(loaded, integrator=integrator, spp=spp // passes, seed=seed * 1000 + number)
            stack.append(np.array(image, dtype=np.float32))
    passes_rgb = np.stack([image[..., :3] for image in stack])
    middle = np.median(passes_rgb, axis=0)
    colour = np.minimum(passes_rgb, 2.5 * middle + 0.25).mean(0)
    aux = np.mean(stack, axis=0)
    return _denoised(colour, np.clip(aux[..., 3:6], 0, 1), np.clip(aux[..., 6:9], -1, 1))


def coverage(scene: Scene, film: Film, out_px: int, side: int = 8) -> NDArray[np.uint8]:
    """What each pixel shows: (out_px, out_px, 3), the shares (255 is all) of metal, gem and other; ground is the rest.

    `side` x `side` rays a pixel through the same lens as the picture's, and what they meet first: what shines through
    a stone counts as stone, a blurred edge is shared between both sides.
    """
    at = (np.arange(out_px * side) + 0.5) / (out_px * side)
    x, y = (axis.ravel() for axis in np.meshgrid(at, at))
    lens = np.random.default_rng(1).random((2, x.size))
    with tempfile.TemporaryDirectory() as folder:
        loaded = _load(scene, film, Path(folder), merges=False)
    sensor = loaded.sensors()[0]
    ray, _ = sensor.sample_ray(0.0, 0.0, mi.Point2f(x, y), mi.Point2f(lens[0], lens[1]))
    met = np.array(dr.reinterpret_array(mi.UInt32, loaded.ray_intersect_preliminary(ray).shape))
    rows = met.reshape(out_px, side, out_px, side)
    share = np.zeros((out_px, out_px, len(REGIONS)))
    materials = [material for material, _ in scene.piece.by_material()]
    for shape in loaded.shapes():
        if shape.id() != "floor":
            number = dr.reinterpret_array(mi.UInt32, mi.ShapePtr(shape))[0]
            name = region(materials[int(shape.id().removeprefix("part"))])
            share[..., REGIONS.index(name)] += (rows == number).mean((1, 3))
    return np.uint8(share * 255)  # rounded down, so that the three never add up to more than all


def _denoised(colour: Floats, albedo: Floats, normal: Floats, margin: int = 24) -> Floats:
    """Denoise inside a mirrored margin: without one the outermost pixels keep their noise."""
    edge = ((margin, margin), (margin, margin), (0, 0))
    images = [np.pad(image, edge, mode="reflect").astype(np.float32) for image in (colour, albedo, normal)]
    clean = oidn.denoise(*images, hdr=True)
    return np.asarray(clean, dtype=np.float64)[margin:-margin, margin:-margin]


def develop(radiance: Floats, scene: Scene) -> Floats:
    """Expose for the floor, round off the highlights and encode as sRGB in [0, 1].

    The meter reads the floor as if it were white, so a pastel ground keeps its own brightness.
    """
    azimuth, zenith, horizon, boxes = scene.sky
    white = floor_radiance(sky(azimuth, zenith, horizon, boxes), np.full(3, 0.86)).mean()
    linear = np.maximum(radiance, 0) * WHITE / white
    grey = linear @ [0.2126, 0.7152, 0.0722]
    linear = np.maximum(grey[..., None] + SATURATION * (linear - grey[..., None]), 0)
    knee = 0.86
    over = np.maximum(linear - knee, 0)
    linear = np.minimum(linear, knee) + (1 - knee) * (1 - np.exp(-over / (1 - knee)))
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)
