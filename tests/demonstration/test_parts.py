"""Uploads and their limits, checkpoints to pick, views, scores and words: each part by itself, without a page."""

import json

import numpy as np
import pytest
from demo_parts import write_checkpoint
from PIL import Image, ImageCms
from skimage.metrics import peak_signal_noise_ratio
from strange_photos import BAD, GOOD, SIZES, noise, saved

from jewelenh.config import Limits
from jewelenh.demonstration import session as session_module
from jewelenh.demonstration.actions import messages
from jewelenh.demonstration.checkpoints import choices, find_trained
from jewelenh.demonstration.comparison import MOST_ZOOM, PANEL_PX, SCORED, WHOLE_PX, Scores, View, panel, score, whole
from jewelenh.demonstration.session import Result
from jewelenh.errors import CheckpointError, ImageError, JewelenhError
from jewelenh.images import Photo, encode_png
from jewelenh.runs import READY


@pytest.mark.parametrize("name", GOOD)
def test_strange_but_good_uploads_are_read(upload, name):
    assert upload(name.replace("\n", " "), GOOD[name]).photo.size == SIZES[name]


@pytest.mark.parametrize("name", BAD)
def test_bad_uploads_are_refused_without_telling_where_they_are_kept(upload, tmp_path, name):
    data, word = BAD[name]
    with pytest.raises(ImageError) as caught:
        upload(name, data)
    assert word in str(caught.value)
    assert name in str(caught.value) and str(tmp_path) not in str(caught.value)


def test_limits_hold_before_a_pixel_is_decoded(upload, monkeypatch):
    def never(*_):
        raise AssertionError("decoded")

    monkeypatch.setattr(session_module, "decode", never)
    large = encode_png(Photo(noise(60, 50)))
    with pytest.raises(ImageError, match=r"too many pixels[\s\S]*at most 0.002 megapixels[\s\S]*50x60"):
        upload("a.png", large, Limits(megapixels=0.002))
    with pytest.raises(ImageError, match=r"file is too large[\s\S]*limits.file_mb"):
        upload("a.png", large, Limits(file_mb=0.001))
    with pytest.raises(AssertionError, match="decoded"):
        upload("a.png", large, Limits(megapixels=0.003))


def test_the_newest_checkpoint_leads_and_what_cannot_be_used_is_left_out(tmp_path, tiny_weights):
    out = tmp_path / "out"
    old = write_checkpoint(out / "train/old/checkpoints/best.ckpt", tiny_weights, age_s=9000)
    new = write_checkpoint(out / "train-sweeps/s/1/checkpoints/best.ckpt", tiny_weights, age_s=3000)
    broken = out / "train/broken/checkpoints/best.ckpt"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(new.read_bytes()[:500])
    found = find_trained(out)
    assert [one.file for one in found] == [new, old, READY]
    assert [one.file for one in find_trained(out, old)] == [old, new, READY], "one that was named leads"
    with pytest.raises(CheckpointError, match="no readable checkpoint"):
        find_trained(out, broken)
    (ready,) = find_trained(tmp_path / "nothing")
    assert ready.file == READY and ready.label == "all · ready weights"


def test_labels_differ_even_where_runs_ended_in_the_same_minute(tmp_path, tiny_weights):
    for name in "ab":
        write_checkpoint(tmp_path / name / "checkpoints/best.ckpt", tiny_weights)
    found = find_trained(tmp_path)
    labels, keys = zip(*choices(found), strict=True)
    assert len(set(labels)) == len(set(keys)) == 3 and all(label.startswith("moderate · ") for label in labels[:2])
    write_checkpoint(tmp_path / "a" / "checkpoints/best.ckpt", tiny_weights, age_s=4000)
    assert {one.key for one in find_trained(tmp_path)} == set(keys), "a training that goes on takes no choice away"


def test_a_view_stays_inside_the_picture():
    assert View().box() == (0, 0, 1, 1)
    assert View(4, 0.5, 0.5).box() == (0.375, 0.375, 0.625, 0.625)
    assert View(4, 0.0, 1.0).box() == (0, 0.75, 0.25, 1)
    assert View(1000, 0.5, 0.5).box() == View(MOST_ZOOM, 0.5, 0.5).box()
    inside = View(2, 0.25, 0.25).moved_to(1.0, 0.5)  # shows the upper left quarter; its right border, half way down
    assert (inside.x, inside.y) == (0.5, 0.25)


def test_panels_show_the_same_place_at_the_same_size():
    small = np.zeros((30, 40, 3), np.uint8)
    small[15:, 20:] = 255  # the lower right quarter
    large = np.kron(small, np.ones((4, 4, 1), np.uint8))
    view = View(2, 1.0, 1.0)
    shown = [panel(Photo(pixels), view, (120, 160)) for pixels in (small, large)]
    assert [one.shape for one in shown] == [(PANEL_PX * 3 // 4, PANEL_PX, 3)] * 2
    assert all((one == 255).all() for one in shown)
    assert panel(Photo(small), View(2, 0.0, 0.0), (120, 160)).max() == 0
    assert panel(Photo(noise(1, 1)), View(16, 0.3, 0.9), (4, 4)).shape == (PANEL_PX, PANEL_PX, 3)


def test_whole_pictures_are_small_enough_for_a_browser_and_upright_on_white():
    assert whole(Photo(np.zeros((100, 3000, 3), np.uint8)), (100, 3000)).shape == (47, WHOLE_PX, 3)
    deep = Photo(np.zeros((4, 4, 3), np.uint16), np.zeros((4, 4), np.uint16))
    assert (whole(deep, (16, 16)) == 255).all(), "what is transparent is shown on white"


def test_profiles_are_converted_for_the_browser_only():
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    pixels = noise(8, 8)
    assert np.abs(whole(Photo(pixels, icc=srgb), (8, 8)).astype(int) - pixels).max() <= 1
    for unusable in (b"no profile", lab):
        assert np.array_equal(whole(Photo(pixels, icc=unusable), (8, 8)), pixels)


def test_scores_agree_with_another_library():
    target, picture = noise(40, 50, 1), noise(40, 50, 2)
    made = score(Photo(target), "it", {"ESRGAN": Photo(picture), "refined": Photo(target)})
    assert made.size == (40, 50)
    assert made.rows["ESRGAN"]["psnr_db"] == pytest.approx(peak_signal_noise_ratio(target, picture), abs=1e-3)
    assert made.rows["refined"] == {"psnr_db": 100.0, "ssim": pytest.approx(1.0), "ciede2000": 0.0}


def test_scores_are_taken_at_the_smaller_size():
    target = np.full((20, 30, 3), 100, np.uint8)
    large = np.full((80, 120, 3), 110, np.uint8)
    for reference, picture in ((target, large), (large, target)):
        made = score(Photo(reference), "it", {"a": Photo(picture)})
        assert made.size == (20, 30)
        assert made.rows["a"]["psnr_db"] == pytest.approx(20 * np.log10(255 / 10), abs=1e-3)
    assert score(Photo(noise(3000, 20)), "it", {"a": Photo(noise(3000, 20))}).size == (2048, 14)


@pytest.mark.parametrize(("reference", "word"), [((20, 31), "another shape"), ((6, 6), "11 pixels")])
def test_references_that_do_not_fit_are_refused(reference, word):
    with pytest.raises(ImageError, match=word):
        score(Photo(noise(*reference)), "it", {"a": Photo(noise(24, 24))})


def a_result(tmp_path, level=None) -> Result:
    photo = Photo(noise(4, 6))
    return Result("t", photo, photo, Photo(noise(16, 24)), tmp_path / "a.png", None, None, 1.26, level)


def test_what_the_page_says_of_a_result(tmp_path):
    text = messages.summary(a_result(tmp_path))
    assert "6 × 4 → 24 × 16 pixels" in text and "1.3 s" in text and "degraded" not in text
    assert "degraded at level <em>mild</em> first" in messages.summary(a_result(tmp_path, "mild"))


def test_scores_become_a_table_with_the_gain():
    rows = {
        "ESRGAN": {"psnr_db": 27.0, "ssim": 0.9, "ciede2000": 3.0},
        "refined": {"psnr_db": 28.25, "ssim": 0.95, "ciede2000": 2.5},
    }
    text = messages.table(Scores("your reference, <b>.png", (16, 24), rows), SCORED)
    assert "+1.25" in text and "+0.0500" in text and "−0.50" in text and "24 × 16" in text
    assert "&lt;b&gt;" in text and "<b>" not in text
    assert messages.tables([], SCORED).strip() == ""
    assert "another shape" in messages.table(Scores("The reference has another shape", None, {}), SCORED)


def test_names_cannot_put_code_on_the_page():
    text = messages.refusal(ImageError("It is <i>broken</i>.", where='<img src=x onerror="alert(1)">.png', fix="a & b"))
    assert "<img" not in text and "<i>" not in text and "&lt;img" in text and "a &amp; b" in text
    assert 'role="alert"' in text
    assert "terminal" in messages.fault() and "Traceback" not in messages.fault()
    assert messages.welcome()


def test_errors_of_every_kind_are_messages():
    assert json.dumps(messages.refusal(JewelenhError("What.", expected=1, found=2)))
    assert "found: 2" in messages.refusal(JewelenhError("What.", expected=1, found=2))


def test_a_grey_cmyk_and_cut_photo_in_one_go_do_not_confuse_the_profile(upload):
    grey = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    photo = upload("grey.png", saved(Image.fromarray(noise(9, 9)).convert("L"), "PNG", icc_profile=grey)).photo
    assert photo.is_grey and whole(photo, photo.size).shape == (9, 9, 3)
