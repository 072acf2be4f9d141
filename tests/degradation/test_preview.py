"""The contact sheet: what stands on it, and that it is a picture of the photos and their levels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from jewelenh.config import parse
from jewelenh.degradation.levels import Preview
from jewelenh.degradation.preview import in_words, preview
from jewelenh.degradation.run import degrade
from jewelenh.errors import ConfigError, SourceError
from jewelenh.images import read_photo


@pytest.fixture
def sheet(level):
    return Preview(photos=3, levels={name: level(name) for name in ("mild", "moderate", "severe")})


def holds(page: np.ndarray, picture: np.ndarray) -> bool:
    """Say whether the page holds the picture somewhere, pixel by pixel."""
    height, width = picture.shape[:2]
    corners = np.argwhere(np.all(page == picture[0, 0], axis=2))
    return any(np.array_equal(page[y : y + height, x : x + width], picture) for y, x in corners)


def test_the_sheet_shows_the_photos_and_what_the_job_would_make_of_them(folder, raw_of, sheet, tmp_path):
    raw = raw_of(folder)
    file = preview(raw, sheet, sheet.levels["mild"], 42, tmp_path / "run" / "preview.png")
    page = np.asarray(Image.open(file))
    assert page.dtype == np.uint8
    stems = [raw.items[i].stem for i in (0, 2, 4)]
    assert all(holds(page, read_photo(folder / stem).pixels) for stem in stems)
    for chosen in sheet.levels.values():
        degraded = degrade(raw, chosen, 42, tmp_path / "data")
        shown = {item.stem: read_photo(degraded.file(item)).pixels for item in degraded.items}
        assert all(holds(page, shown[stem]) for stem in stems)
        assert not holds(page, shown[raw.items[1].stem])


def test_a_level_of_ones_own_gets_a_column(folder, raw_of, sheet, level, tmp_path):
    raw = raw_of(folder)
    widths = []
    mild = sheet.levels["mild"]
    others = [
        replace(mild, variants=3),
        level("study"),
        replace(mild, noise=replace(mild.noise, gaussian_sigma=(9, 9))),
    ]
    for i, chosen in enumerate(others):
        widths.append(Image.open(preview(raw, sheet, chosen, 42, tmp_path / f"{i}.png")).width)
    assert widths[1] == widths[2] > widths[0]


def test_the_same_sheet_twice_is_the_same_file(folder, raw_of, sheet, tmp_path):
    first, second = (preview(raw_of(folder), sheet, sheet.levels["mild"], 42, tmp_path / n) for n in ("a.png", "b.png"))
    assert first.read_bytes() == second.read_bytes()


def test_broken_photos_leave_their_place_to_others(folder, raw_of, sheet, tmp_path, ring):
    (folder / "aaa.jpg").write_text("no photo")
    alpha = np.full((96, 96), 99, np.uint8)
    Image.fromarray(np.dstack([ring(1), alpha])).resize((900, 500)).save(folder / "large and clear 💍.png")
    Image.new("RGB", (1, 1)).save(folder / "dot.png")
    page = Image.open(preview(raw_of(folder), replace(sheet, photos=8), sheet.levels["mild"], 42, tmp_path / "p.png"))
    assert page.height > 8 * 100
    for file in folder.rglob("*.*"):
        file.write_text("no photo")
    with pytest.raises(SourceError, match="no photo to preview"):
        preview(raw_of(folder), sheet, sheet.levels["mild"], 42, tmp_path / "p.png")


def test_draws_in_words():
    draw = {
        "blur": {"gaussian_sigma_px": 0.8312, "motion_length_px": 7, "motion_angle_deg": 33.4},
        "downscale": {"factor": 0.5512, "method": "bicubic"},
        "noise": {"gaussian_sigma": 9.2, "salt_pepper_amount": 0.015, "seed": 1},
        "jpeg": {"quality": 54},
        "colour": {"temperature": -0.01, "saturation": 5.04},
    }
    assert in_words(draw) == [
        "blur σ 0.8 px, motion 7 px at 33°",
        "scale 0.55, bicubic",
        "noise σ 9, salt and pepper 1.5%",
        "JPEG quality 54",
        "warmth +0.0, saturation +5.0",
    ]
    assert in_words({}) == ["nothing drawn"]
    assert in_words({"noise": {"salt_pepper_amount": 0.0, "seed": 1}}) == ["nothing drawn"]


def test_what_is_asked_for_is_checked(level):
    with pytest.raises(ConfigError, match="preview=true"):
        parse(Preview, {"photos": 4, "levels": {}}, "preview")
    with pytest.raises(ConfigError, match=r"preview\.photos"):
        parse(Preview, {"photos": 0, "levels": {"mild": level("mild")}}, "preview")
