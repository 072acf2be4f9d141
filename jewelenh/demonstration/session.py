"""What the demo does with a photo: degrade it if asked, enhance, refine, compare, and make the file to download.

The pictures come from the same calls as `predict`'s, so that its file and the demo's are equal byte for byte.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from PIL import Image

from jewelenh.config import Hardware, Limits, Metadata, Output
from jewelenh.degradation.draws import sample
from jewelenh.degradation.levels import Degradation
from jewelenh.degradation.run import degrade_photo
from jewelenh.degradation.transforms import steps_of
from jewelenh.demonstration.checkpoints import Trained
from jewelenh.demonstration.comparison import Scores, score
from jewelenh.errors import ImageError
from jewelenh.images import Photo, decode, read_bytes
from jewelenh.manifest import sha256_of
from jewelenh.restoration.restorer import Restorer, rescale
from jewelenh.restoration.results import check_fits, photo_file, result_name, with_metadata

KEPT_BYTES = 1 << 30
"""Of enlarged pictures that are kept, so that another strength or format need not enhance again."""
KEPT_RESTORERS = 2

Say = Callable[[float, str], None]
"""Told how far the work is, 0 to 1, and what comes next."""
V = TypeVar("V")


@dataclass(frozen=True)
class Upload:
    """A decoded file."""

    name: str
    sha256: str
    photo: Photo


@dataclass(frozen=True)
class Request:
    """What somebody asked for."""

    upload: Upload
    trained: Trained
    level: str | None
    """Degrade the photo first; None leaves it as it is."""
    output: Output
    reference: Upload | None = None


@dataclass(frozen=True)
class Result:
    """What came of it."""

    token: str
    original: Photo
    """What was enhanced: the upload, or its degraded version."""
    enhanced: Photo
    refined: Photo
    file: Path
    """The restored photo, as predict writes it."""
    degraded_file: Path | None
    scores: Sequence[Scores]
    seconds: float
    level: str | None

    def delete_files(self) -> None:
        """Delete the files; the pictures can still be looked at."""
        shutil.rmtree(self.file.parent, ignore_errors=True)


class Cache(Generic[V]):
    """The values used last whose sizes add up to `limit` at most; the newest always stays."""

    def __init__(self, limit: int, size_of: Callable[[V], int], drop: Callable[[V], None] = lambda _: None) -> None:
        self._values: OrderedDict[Hashable, V] = OrderedDict()
        self._guard = threading.Lock()  # a look closer may come while a photo is under way
        self._limit, self._size_of, self._drop = limit, size_of, drop

    def get(self, key: Hashable) -> V | None:
        """Return a value and make it the newest."""
        with self._guard:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: Hashable, value: V) -> V:
        """Add a value, drop the oldest that have no room any more, and return it."""
        with self._guard:
            self._values[key] = value
            while len(self._values) > 1 and sum(map(self._size_of, self._values.values())) > self._limit:
                self._drop(self._values.popitem(last=False)[1])
        return value


class Session:
    """Holds what is worth keeping between two requests; one request at a time, which the queue sees to."""

    def __init__(
        self,
        levels: Mapping[str, Degradation],
        seed: int,
        folder: Path,
        cache_dir: Path | None = None,
        hardware: Hardware = Hardware(),
        trust: Sequence[str] = (),
        metadata: Metadata = "safe",
    ) -> None:
        self.levels, self.seed, self.folder = levels, seed, folder
        self.cache_dir, self.hardware, self.trust, self.metadata = cache_dir, hardware, trust, metadata
        self._restorers: Cache[Restorer] = Cache(KEPT_RESTORERS, lambda restorer: 1)
        self._enhanced: Cache[Photo] = Cache(KEPT_BYTES, lambda photo: int(photo.pixels.nbytes))
        self._results: Cache[Result] = Cache(KEPT_BYTES, _n_bytes, Result.delete_files)

    def restore(self, request: Request, say: Say = lambda share, text: None) -> Result:
        """Do what was asked.

        Raises:
            JewelenhError: with what is wrong, in the user's words.
        """
        started_s = time.monotonic()
        say(0.05, "Loading the checkpoint")
        restorer = self._restorer(request.trained)
        upload, level, output = request.upload, request.level, request.output
        name = result_name(upload.name, output)
        check_fits(upload.photo, name, output, restorer.upscaler.scale)
        degraded, degraded_data = self._degraded(upload, level)
        say(0.15, "Enhancing")
        enhanced = self._enhance(restorer, upload, degraded, level)
        say(0.7, "Refining")
        refined = restorer.restore_from(degraded, enhanced, output.strength, output.scale)
        say(0.85, "Writing the file")
        token = uuid.uuid4().hex
        file = _save(self.folder / token / name, photo_file(refined, name, output))
        if output.scale is not None:
            enhanced = rescale(enhanced, degraded, output.scale)
        say(0.92, "Comparing")
        scores = self._score(request, restorer, degraded, enhanced, refined)
        before = degraded_data and _save(self.folder / token / "before" / f"{upload.name}.png", degraded_data)
        seconds = time.monotonic() - started_s
        result = Result(token, degraded, enhanced, refined, file, before or None, scores, seconds, level)
        return self._results.put(token, result)

    def recall(self, token: str | None) -> Result | None:
        """Return an earlier result, unless it had to make room."""
        return None if token is None else self._results.get(token)

    def _restorer(self, trained: Trained) -> Restorer:
        key = (trained.file, trained.when.timestamp())
        return self._restorers.get(key) or self._restorers.put(
            key,
            Restorer.from_checkpoint(trained.file, cache_dir=self.cache_dir, hardware=self.hardware, trust=self.trust),
        )

    def _degraded(self, upload: Upload, level: str | None) -> tuple[Photo, bytes | None]:
        """Return the photo at a level, as `jewelenh.degrade` makes it of a photo of this name, and its PNG file."""
        if level is None:
            return upload.photo, None
        values = self.levels[level]
        draw = sample(steps_of(values), self.seed, values.name, 0, upload.name)
        data, _ = degrade_photo(upload.name, 0, draw, upload.photo)
        return decode(data, upload.name), data

    def _enhance(self, restorer: Restorer, upload: Upload, photo: Photo, level: str | None) -> Photo:
        key = (upload.sha256, upload.name if level else None, level, str(restorer.enhancer))
        return self._enhanced.get(key) or self._enhanced.put(key, restorer.upscaler.upscale(photo))

    def _score(
        self, request: Request, restorer: Restorer, degraded: Photo, enhanced: Photo, refined: Photo
    ) -> list[Scores]:
        """Score against the reference; without one, a degraded photo as in a test, against `target` and `raw`."""
        pictures = {"ESRGAN": enhanced, "refined": refined}
        if request.reference is not None:
            try:
                return [score(request.reference.photo, f"your reference, {request.reference.name}", pictures)]
            except ImageError as error:
                return [Scores(str(error), None, {})]
        if request.level is None:
            return []
        raw = request.upload.photo
        target = self._enhance(restorer, request.upload, raw, None)
        found = [score(target, "the target: ESRGAN of the photo before it was degraded", pictures)]
        with contextlib.suppress(ImageError):  # a photo too small to be scored at its own size
            shown = {"degraded": degraded, "ESRGAN": enhanced, "target": target, "refined": refined}
            found.append(score(raw, "the photo itself, before it was degraded", shown))
        return found


def _n_bytes(result: Result) -> int:
    return sum(photo.pixels.nbytes for photo in (result.original, result.enhanced, result.refined))


def _save(file: Path, data: bytes) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file


def read_upload(path: Path, limits: Limits, metadata: Metadata = "safe") -> Upload:
    """Read a dropped file, with the EXIF that the results may carry.

    Raises:
        ImageError: empty, too large, damaged, or no image; `where` is its name alone, not where the demo keeps it.
    """
    name = path.name
    try:
        data = read_bytes(path)
    except ImageError as error:
        raise ImageError(error.what, where=name) from error
    if len(data) > limits.file_mb * 1e6:
        raise ImageError(
            "The file is too large.",
            where=name,
            expected=f"at most {limits.file_mb:g} MB",
            found=f"{len(data) / 1e6:.1f} MB",
            fix="a smaller file, or start the demo with a larger limits.file_mb",
        )
    _check_pixels(data, name, limits)
    return Upload(name, sha256_of(data), with_metadata(decode(data, name), metadata))


def _check_pixels(data: bytes, name: str, limits: Limits) -> None:
    try:
        with Image.open(io.BytesIO(data)) as image:  # reads the header only
            width, height = image.size
    except Exception:
        return  # `decode` says what is wrong with it
    if width * height > limits.megapixels * 1e6:
        raise ImageError(
            "The photo has too many pixels for the demo.",
            where=name,
            expected=f"at most {limits.megapixels:g} megapixels",
            found=f"{width}x{height}, {width * height / 1e6:.1f} megapixels",
            fix="a smaller photo, a larger limits.megapixels, or python -m jewelenh.predict, which has no limit",
        )
