"""The first stage: an index of the raw photos, by content, without copying them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jewelenh.config import Source
from jewelenh.errors import ImageError
from jewelenh.images import read_bytes
from jewelenh.manifest import Item, StoredFile, sha256_of
from jewelenh.progress import progress
from jewelenh.sources.folder import choose, find_photos
from jewelenh.sources.kaggle import download_dataset
from jewelenh.stage import Selection, Stage, open_stage

SAMPLE_DIR = Path(__file__).resolve().parent.parent / "sample" / "photos"


def fetch(source: Source, seed: int, data_dir: Path) -> Selection:
    """Return the chosen photos as a selection of stage `<data_dir>/raw/<kind>-<fingerprint>`.

    A photo's stem is its path relative to the source, ending included (`rings/a.jpg`), its key the SHA-256 of the file.
    Photos stay where they are; the manifest points at them. Files unchanged in size and time are not hashed again.
    Photos that cannot be read are among the selection's failures; whoever uses it decides.
    """
    root, spec = _locate(source, data_dir)
    stems = choose(find_photos(root, source.extensions), source.limit, seed)
    with open_stage(data_dir / "raw", source.kind, "raw", spec) as stage, progress("fetch", len(stems)) as advance:
        for stem in stems:
            _index(stage, root, stem)
            advance()
        return stage.commit(stems)


def _locate(source: Source, data_dir: Path) -> tuple[Path, dict[str, Any]]:
    if source.kind == "sample":
        return SAMPLE_DIR, {"source": "sample"}
    if source.kind == "folder":
        assert source.root is not None  # config.Source holds this
        root = source.root.expanduser().absolute()
        return root, {"source": "folder", "root": str(root)}
    assert source.dataset is not None
    place = source.root or data_dir / "raw" / f"kaggle-{source.dataset.replace('/', '--')}"
    return download_dataset(source.dataset, place.absolute()), {"source": "kaggle", "dataset": source.dataset}


def _index(stage: Stage, root: Path, stem: str) -> None:
    path = root / stem
    try:
        stat = path.stat()
        stamp = {"photo": stem, "mtime_ns": stat.st_mtime_ns, "bytes": stat.st_size}
        known: Item | None = stage.items.get(stem)
        if known and known.record == stamp and known.files["image"].path == str(path):
            return
        data = read_bytes(path)
    except (OSError, ImageError) as error:
        stage.fail(stem, str(error) if isinstance(error, ImageError) else f"{error.strerror}: {path}")
        return
    stored = StoredFile(str(path), sha256_of(data), len(data))
    stage.note(stem, stored.sha256, {"image": stored}, stamp)
