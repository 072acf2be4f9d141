"""How much memory does `predict` take for a 24-megapixel photo on a CPU? Prints seconds and peak memory of each run.

python experiments/large_predict/measure.py <checkpoint> [key=value ...]

Every run is the command as a user types it, in a process of its own: at the enhancer's resolution, then with scale=1.
`size=WxH` makes another photo, `ending=png` another format, `bits=16` a deep one; other words go to predict.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageCms

from jewelenh.images import Photo, decode, encode, read_bytes, resize

RING = Path(__file__).resolve().parents[2] / "jewelenh" / "sample" / "large" / "ring_021.jpg"


def write_photo(file: Path, width: int, height: int, bits: int) -> None:
    """Write the sample ring at that size with a little grain, a colour profile and EXIF."""
    kind = np.uint16 if bits == 16 else np.uint8
    rng, top = np.random.default_rng(0), np.iinfo(kind).max
    pixels = np.empty((height, width, 3), kind)
    small = decode(read_bytes(RING)).pixels.astype(np.float32) / 255
    for rows in np.array_split(np.arange(height), 16):  # in strips, so that this takes little memory itself
        part = _strip(small, rows, height, width) + rng.normal(0, 0.012, (len(rows), width, 1)).astype(np.float32)
        pixels[rows] = np.rint(part.clip(0, 1) * top)
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "drawn"
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    file.write_bytes(encode(Photo(pixels, icc=icc, exif=exif.tobytes()), file.suffix))


def _strip(small: np.ndarray, rows: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return some rows of the enlarged picture, interpolated down the picture first."""
    where = rows * (len(small) - 1) / (height - 1)
    above = np.floor(where).astype(int).clip(max=len(small) - 2)
    share = (where - above).astype(np.float32)[:, None, None]
    return resize(small[above] * (1 - share) + small[above + 1] * share, len(rows), width, "bicubic")


def run(checkpoint: str, photo: Path, output: Path, overrides: list[str]) -> None:
    """Run predict in a process of its own and print what it took."""
    paths = [f"input={photo}", f"output={output}", f"checkpoint={checkpoint}", f"paths.output_dir={output.parent}/runs"]
    words = ["-m", "jewelenh.predict", *paths, *overrides]
    started_s = time.monotonic()
    child = os.posix_spawn(sys.executable, [sys.executable, *words], os.environ)
    _, status, usage = os.wait4(child, 0)
    seconds = time.monotonic() - started_s
    label = " ".join(overrides)
    if status:
        print(f"{label}: ended with {os.waitstatus_to_exitcode(status)}")
        return
    (result,) = (path for path in output.iterdir() if path.suffix == photo.suffix)
    Image.MAX_IMAGE_PIXELS = None
    with Image.open(result) as image:
        kept = f"profile {'icc_profile' in image.info}, EXIF {image.getexif().get(ExifTags.Base.Make)!r}"
        print(
            f"{label}: {image.width}x{image.height}, {result.stat().st_size / 1e6:.0f} MB, {kept}; {seconds:.0f} s, "
            f"{usage.ru_utime + usage.ru_stime:.0f} s of processor time, peak memory {usage.ru_maxrss / 1e6:.2f} GB",
            flush=True,
        )


def main() -> None:
    checkpoint, *words = sys.argv[1:]
    given = dict(word.split("=", 1) for word in words)
    width, height = map(int, given.pop("size", "6000x4000").split("x"))
    ending, bits = given.pop("ending", "jpg"), int(given.pop("bits", 8))
    rest = [f"{key}={value}" for key, value in given.items()]
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder) / f"large.{ending}"
        write_photo(photo, width, height, bits)
        print(f"{width}x{height}, {bits} bits, {photo.stat().st_size / 1e6:.1f} MB {ending}", flush=True)
        for number, scale in enumerate([[]] if "scale" in given else [["scale=null"], ["scale=1"]]):
            run(checkpoint, photo, Path(folder) / str(number), [*scale, *rest])


if __name__ == "__main__":
    main()
