"""One contact sheet before any run: photos in rows, levels in columns, what was drawn and what it cost below each."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from jewelenh.degradation.draws import apply, sample
from jewelenh.degradation.levels import AnyDegradation, Degradation, Preview
from jewelenh.degradation.transforms import steps_of
from jewelenh.errors import ImageError, SourceError
from jewelenh.files import write_atomically
from jewelenh.images import Photo, Pixels, encode_png, read_photo
from jewelenh.reporting.sheet import Picture, on_white, sheet
from jewelenh.stage import Selection

PHOTO_PX = 300
"""Longest side of a shown photo; smaller ones are shown pixel by pixel."""
log = logging.getLogger(__name__)

N_PHOTOS = 6


def preview(raw: Selection, wanted: Preview, chosen: AnyDegradation, seed: int, file: Path) -> Path:
    """Write the contact sheet as PNG. Its photos are variant 0 of what the job would make with the same seed.

    The level chosen for the job gets a column of its own where it is none of the sheet's. Photos that cannot be read
    are left out, with a warning, and others take their place.
    """
    levels = dict(wanted.levels)
    known = levels.values()
    if isinstance(chosen, Degradation) and all(replace(one, variants=chosen.variants) != chosen for one in known):
        levels[chosen.name if chosen.name not in levels else f"{chosen.name}, as set here"] = chosen
    rows = [_row(stem, photo, levels.values(), seed) for stem, photo in _spread(raw, wanted.photos or N_PHOTOS)]
    note = f"seed {seed}   ·   {len(rows)} of {len(raw.items)} photos   ·   PSNR and SSIM against raw, RGB"
    picture = sheet(["raw", *levels], rows, PHOTO_PX, "Degradation levels", note, enlarge=False)
    write_atomically(file, encode_png(Photo(np.asarray(picture)), compression=6))
    log.info("preview: %s", file)
    return file


def _spread(raw: Selection, n_photos: int) -> list[tuple[str, Photo]]:
    """Return up to `n_photos` readable photos, spread evenly over the source."""
    n_items = len(raw.items)
    even = [i * n_items // n_photos for i in range(min(n_photos, n_items))] if n_photos < n_items else range(n_items)
    order = [*even, *(i for i in range(n_items) if i not in set(even))]
    photos: dict[int, tuple[str, Photo]] = {}
    for i in order:
        if len(photos) == n_photos:
            break
        try:
            photos[i] = raw.items[i].stem, read_photo(raw.file(raw.items[i])).as_uint8()
        except ImageError as error:
            log.warning("preview: left out %r: %s", raw.items[i].stem, error.what)
    if not photos:
        raise SourceError(
            "There is no photo to preview.", where=raw.directory, found=f"{n_items} photos, none readable"
        )
    return [photos[i] for i in sorted(photos)]


def _row(stem: str, photo: Photo, levels: Iterable[Degradation], seed: int) -> list[Picture]:
    height, width = photo.size
    pictures = [Picture(on_white(photo), [stem, f"{width} x {height} px"])]
    for level in levels:
        draw = sample(steps_of(level), seed, level.name, 0, stem)
        pixels = apply(draw, photo.pixels)
        scores = _scores(photo.pixels, pixels)
        pictures.append(Picture(on_white(photo.with_pixels(pixels, photo.alpha)), [scores, *in_words(draw)]))
    return pictures


def _scores(raw: Pixels, degraded: Pixels) -> str:
    from jewelenh.metrics import METRICS  # PyTorch, which the job needs for nothing else

    values = {name: METRICS[name].of_pixels(degraded, raw) for name in ("psnr_db", "ssim")}
    return f"{values['psnr_db']:.1f} dB  ·  SSIM {METRICS['ssim'].text(values['ssim'])}"


def in_words(draw: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return what was drawn as short lines for people, one a step."""
    lines = [_WORDS[step](draw[step]) for step in _WORDS if step in draw]
    return [line for line in lines if line] or ["nothing drawn"]


def _blur(drawn: Mapping[str, Any]) -> str:
    gaussian = f"blur σ {drawn['gaussian_sigma_px']:.1f} px" if "gaussian_sigma_px" in drawn else ""
    motion = (
        f"motion {drawn['motion_length_px']} px at {drawn['motion_angle_deg']:.0f}°"
        if "motion_length_px" in drawn
        else ""
    )
    return ", ".join(part for part in (gaussian, motion) if part)


def _noise(drawn: Mapping[str, Any]) -> str:
    gaussian = f"noise σ {drawn['gaussian_sigma']:.0f}" if drawn.get("gaussian_sigma") else ""
    salt_pepper = f"salt and pepper {drawn['salt_pepper_amount']:.1%}" if drawn.get("salt_pepper_amount") else ""
    return ", ".join(part for part in (gaussian, salt_pepper) if part)


_WORDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "blur": _blur,
    "downscale": lambda drawn: f"scale {drawn['factor']:.2f}, {drawn['method']}",
    "noise": _noise,
    "jpeg": lambda drawn: f"JPEG quality {drawn['quality']}",
    "colour": lambda drawn: f"warmth {_signed(drawn['temperature'])}, saturation {_signed(drawn['saturation'])}",
}


def _signed(value: float) -> str:
    return f"{round(value, 1) + 0:+}"  # no minus before 0.0
