"""Photos of every strange kind through the stage: the good ones come out right, the bad ones are recorded."""

from __future__ import annotations

import os

import cv2
import numpy as np
import pytest
from esrgan_parts import png
from PIL import ExifTags, Image
from strange_photos import GOOD, RGB, header_bomb, saved

from jewelenh.enhancement.run import enhance
from jewelenh.errors import ItemsFailedError
from jewelenh.images import read_photo
from jewelenh.manifest import read_manifest

BAD: dict[str, tuple[bytes, str]] = {
    "cut.jpg": (saved(RGB, "JPEG")[:300], "damaged"),
    "text.jpg": (b"this is no picture", "not an image"),
    "bomb.png": (header_bomb(), "too large"),
}


def test_strange_but_good_photos_come_out_right(photo_stage, enhancer, tmp_path):
    made = enhance(photo_stage(GOOD), "raw", enhancer, tmp_path / "data", None)
    results = {item.stem: made.file(item) for item in made.items}
    assert results.keys() == GOOD.keys()
    expected = dict.fromkeys(GOOD, (48, 80)) | {"rotated.jpg": (80, 48), "one.png": (4, 4)}
    assert {stem: read_photo(file).size for stem, file in results.items()} == expected
    assert read_photo(results["alpha.png"]).alpha is not None
    assert read_photo(results["deep.png"]).pixels.dtype == np.uint16
    assert cv2.imread(str(results["grey.png"]), cv2.IMREAD_UNCHANGED).ndim == 2
    assert Image.open(results["rotated.jpg"]).getexif().get(ExifTags.Base.Orientation) is None


def test_bad_photos_are_recorded_with_their_reason(photo_stage, enhancer, tmp_path):
    raw = photo_stage({**{stem: data for stem, (data, _) in BAD.items()}, "empty.jpg": b"", "good.png": png(9, 9)})
    with pytest.raises(ItemsFailedError, match="4 of 5 failed"):
        enhance(raw, "raw", enhancer, tmp_path / "data", None)
    (stage,) = (tmp_path / "data" / "enhanced").iterdir()
    failures = read_manifest(stage).failures
    assert failures.keys() == BAD.keys() | {"empty.jpg"}
    assert all(reason in failures[stem] for stem, (_, reason) in BAD.items())
    assert "empty" in failures["empty.jpg"]
    assert [path.name for path in stage.rglob("*.png")] == ["good.png.png"]


def test_what_is_no_file_is_never_waited_for(photo_stage, enhancer, tmp_path):
    raw = photo_stage({"fifo.png": png(9, 9), "link.png": png(8, 8), "good.png": png(9, 9, 2)})
    for item in raw.items[:2]:
        raw.file(item).unlink()
    os.mkfifo(raw.file(raw.items[0]))
    raw.file(raw.items[1]).symlink_to(tmp_path / "nowhere.png")
    made = enhance(raw, "raw", enhancer, tmp_path / "data", None, on_error="skip")
    assert [item.stem for item in made.items] == ["good.png"]
    assert "not a regular file" in made.failures["fifo.png"]
    assert "link to nothing" in made.failures["link.png"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_rights_that_are_missing(photo_stage, enhancer, tmp_path):
    raw = photo_stage({"a.png": png(9, 9)})
    raw.file(raw.items[0]).chmod(0)
    with pytest.raises(ItemsFailedError, match="Permission denied"):
        enhance(raw, "raw", enhancer, tmp_path / "data", None)
