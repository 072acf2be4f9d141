"""Files in, restored files out: formats, sizes, what is kept, what is refused, and going on after a kill."""

import json
import os

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from strange_photos import BAD, GOOD, RGB, SIZES, SRGB, exif, noise, saved, write_all

from jewelenh.config import Enhancer, Hardware
from jewelenh.errors import ConfigError, ItemsFailedError, SourceError, StageError
from jewelenh.images import Photo, encode_png, read_photo
from jewelenh.refinement.networks import RefinementCNN
from jewelenh.restoration import prediction as module
from jewelenh.restoration.prediction import FAILED, RECORD, predict
from jewelenh.restoration.restorer import Restorer
from jewelenh.restoration.results import Output, check_fits, result_name

ENDINGS = [".jpg", ".jpeg", ".png", ".webp", ".tif", ".bmp"]


@pytest.fixture
def restorer(tiny_weights) -> Restorer:
    torch.manual_seed(1)
    network = RefinementCNN(4, residual_scale=0.3)
    return Restorer(network, Enhancer(name="tiny", weights=tiny_weights), hardware=Hardware(precision="fp32"))


@pytest.fixture
def run(restorer, tmp_path):
    def run(root=None, output=None, on_error="stop", **settings):
        output = output or tmp_path / "out"
        return predict(restorer, "id", root or tmp_path / "in", output, Output(**settings), ENDINGS, on_error)

    return run


def test_strange_but_good_photos_are_restored_and_keep_what_they_carry(run, tmp_path):
    write_all(tmp_path / "in", {f"deep er/{name}": data for name, data in GOOD.items()})
    done = run()
    assert {file.name for file in done.made} == GOOD.keys()
    read = {name: read_photo(tmp_path / "out" / "deep er" / name) for name in GOOD}
    assert {name: photo.size for name, photo in read.items()} == {n: (4 * h, 4 * w) for n, (h, w) in SIZES.items()}
    assert read["alpha.png"].alpha is not None and read["alpha.png"].alpha.std() > 1
    assert read["deep.png"].pixels.dtype == np.uint16
    assert read["grey.png"].pixels.std() > 1
    with Image.open(tmp_path / "out" / "deep er" / "rotated.jpg") as image:
        assert image.info["icc_profile"] == SRGB
        assert image.getexif()[ExifTags.Base.Make] == "Maker"
        assert ExifTags.Base.Orientation not in image.getexif()


def private_exif() -> Image.Exif:
    """Return EXIF that says where, by whom and with which camera, and whose work it is."""
    block = exif(6)
    block[ExifTags.Base.Artist] = "An Owner"
    block[ExifTags.Base.Copyright] = "Shop"
    block.get_ifd(ExifTags.IFD.Exif).update({0xA430: "An Owner", 0xA431: "SN-1", 0x927C: b"SN-1", 0x829A: 0.5})
    block.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: (48.0, 8.0, 0.0)})
    return block


@pytest.mark.parametrize("format", ["jpg", "png", "webp"])
def test_place_serial_numbers_and_names_are_left_out_unless_asked_for(run, tmp_path, format):
    write_all(tmp_path / "in", {"a.jpg": saved(RGB, "JPEG", exif=private_exif(), icc_profile=SRGB)})
    for metadata in ("keep", "safe", "none"):
        (file,) = run(metadata=metadata, output=tmp_path / metadata, format=format).made
        with Image.open(file) as image:
            found, inner = image.getexif(), image.getexif().get_ifd(ExifTags.IFD.Exif)
            assert image.info["icc_profile"] == SRGB and image.size == (4 * 12, 4 * 20)  # upright
            assert (ExifTags.IFD.GPSInfo in found) == (metadata == "keep")
            assert (0xA431 in inner) == (metadata == "keep") and (0x829A in inner) == (metadata != "none")
            assert found.get(ExifTags.Base.Copyright) == (None if metadata == "none" else "Shop")
        leaked = [word for word in (b"An Owner", b"SN-1") if word in file.read_bytes()]
        assert bool(leaked) == (metadata == "keep")


def test_bad_photos_are_listed_with_their_reasons_and_the_rest_is_made(run, tmp_path, caplog):
    write_all(tmp_path / "in", {name: data for name, (data, _) in BAD.items()} | {"good.png": GOOD["one.png"]})
    os.mkfifo(tmp_path / "in" / "fifo.png")
    (tmp_path / "in" / "link.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(ItemsFailedError, match="6 of 7 photos could not be restored") as caught:
        run()
    reasons = json.loads((tmp_path / "out" / FAILED).read_text())
    assert reasons.keys() == BAD.keys() | {"fifo.png", "link.png"}
    assert all(word in reasons[name] for name, (_, word) in BAD.items())
    assert "not a regular file" in reasons["fifo.png"] and "link to nothing" in reasons["link.png"]
    assert all(repr(name) in str(caught.value) for name in reasons), "the summary names them all"
    assert (tmp_path / "out" / "good.png").is_file()
    assert run(on_error="skip").there == [tmp_path / "out" / "good.png"], "told to tolerate it, no error"
    for name in reasons:
        (tmp_path / "in" / name).unlink()
    run()
    assert not (tmp_path / "out" / FAILED).exists(), "reasons of an earlier run are gone with their photos"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_photo_without_read_permission_is_listed(run, tmp_path):
    write_all(tmp_path / "in", {"a.png": GOOD["one.png"]})
    (tmp_path / "in" / "a.png").chmod(0)
    with pytest.raises(ItemsFailedError, match="Permission denied"):
        run()


@pytest.mark.parametrize(("scale", "size"), [(None, (2400, 1200)), (1.0, (600, 300)), (0.5, (300, 150))])
def test_any_size_comes_back_at_the_scale_asked_for(run, tmp_path, scale, size):
    file = write_all(tmp_path / "in", {"tall.png": encode_png(Photo(noise(600, 300)))}) / "tall.png"
    run(file, scale=scale)
    assert read_photo(tmp_path / "out" / "tall.png").size == size


def test_formats_and_quality(run, tmp_path):
    write_all(tmp_path / "in", {"a.png": GOOD["alpha.png"], "b.bmp": saved(RGB, "BMP")})
    run(format="webp")
    assert read_photo(tmp_path / "out" / "a.png.webp").alpha is not None
    sizes = {}
    for quality in (40, 95):
        run(output=tmp_path / str(quality), format="jpg", quality=quality)
        sizes[quality] = (tmp_path / str(quality) / "b.bmp.jpg").stat().st_size
    assert sizes[40] < sizes[95]
    run(output=tmp_path / "same")
    assert sorted(path.name for path in (tmp_path / "same").glob("[ab]*")) == ["a.png", "b.bmp.png"]


@pytest.mark.parametrize(
    ("stem", "form", "expected"),
    [
        ("a.jpg", "same", "a.jpg"),
        ("a.tif", "same", "a.tif.png"),
        ("d/a.WEBP", "same", "d/a.WEBP"),
        ("a.JPEG", "jpg", "a.JPEG"),
        ("a.png", "jpg", "a.png.jpg"),
    ],
)
def test_names_of_results(stem, form, expected):
    assert result_name(stem, Output(format=form)) == expected


def test_strength_blends_and_stages_saves_the_enhancers_picture(run, tmp_path):
    write_all(tmp_path / "in", {"a.png": encode_png(Photo(noise(16, 16) // 4 + 96))})
    run(stages=True)
    run(output=tmp_path / "half", strength=0.5)
    run(output=tmp_path / "none", strength=0.0)
    refined = read_photo(tmp_path / "out" / "a.png").pixels.astype(int)
    enhanced = read_photo(tmp_path / "out" / "a_enhanced.png").pixels.astype(int)
    half = read_photo(tmp_path / "half" / "a.png").pixels.astype(int)
    assert np.abs(refined - enhanced).max() > 2, "the network does something here"
    assert np.array_equal(read_photo(tmp_path / "none" / "a.png").pixels, enhanced)
    assert np.abs(half - (refined + enhanced) / 2).max() <= 1.0  # two roundings


def test_a_second_run_makes_only_what_is_missing_or_changed(run, restorer, tmp_path):
    write_all(tmp_path / "in", {"a.png": GOOD["one.png"], "b.png": GOOD["grey.png"], "c.png": GOOD["palette.png"]})
    run(stages=True)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.png")}
    (tmp_path / "out" / "b_enhanced.png").unlink()
    write_all(tmp_path / "in", {"c.png": GOOD["alpha.png"]})
    with (tmp_path / "out" / RECORD).open("ab") as noise:
        noise.write(b"\xff\x00\n")
    with (tmp_path / "out" / RECORD).open("a") as record:
        record.write('{"file": "a.p')  # a killed run's last line
    done = run(stages=True)
    assert {file.name for file in done.there} == {"a.png"}
    assert {file.name for file in done.made} == {"b.png", "c.png"}
    after = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.png")}
    assert {name for name in after if after[name] != before[name]} == {"c.png", "c_enhanced.png"}
    assert {file.name for file in run(stages=True).there} == {"a.png", "b.png", "c.png"}
    assert len(run(stages=True, strength=0.5).made) == 3, "other settings, other files"
    again = predict(restorer, "another checkpoint", tmp_path / "in", tmp_path / "out", Output(), ENDINGS)
    assert len(again.made) == 3


def test_a_killed_run_resumed_equals_one_never_killed(run, restorer, tmp_path, monkeypatch):
    write_all(tmp_path / "in", {f"{n}.png": encode_png(Photo(noise(9, 9 + n, n))) for n in range(4)})
    run(output=tmp_path / "whole")

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        written = []
        patch.setattr(module, "_note", lambda *_: written.append(1) or (killed() if len(written) == 2 else None))
        with pytest.raises(KeyboardInterrupt):
            run()
    run()
    results = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.png")}
    assert len(results) == 4
    assert results == {path.name: path.read_bytes() for path in (tmp_path / "whole").glob("*.png")}
    assert not list((tmp_path / "out").glob(".*.tmp"))


def test_a_result_that_cannot_be_written_is_listed_and_the_rest_is_made(run, tmp_path):
    write_all(tmp_path / "in", {"d/a.png": GOOD["one.png"], "b.png": GOOD["one.png"], "c.png": GOOD["one.png"]})
    (tmp_path / "out" / "b.png").mkdir(parents=True)
    (tmp_path / "out" / "d").write_text("a file where a folder belongs")
    with pytest.raises(ItemsFailedError, match="2 of 3"):
        run()
    reasons = json.loads((tmp_path / "out" / FAILED).read_text())
    assert reasons.keys() == {"b.png", "d/a.png"} and all("Cannot write" in why for why in reasons.values())
    assert "paths.data_dir" not in str(reasons), "the fix names predict's own key"
    assert (tmp_path / "out" / "c.png").is_file()


def test_a_full_disk_ends_the_run_at_once(run, tmp_path, monkeypatch):
    import errno

    write_all(tmp_path / "in", {"a.png": GOOD["one.png"], "b.png": GOOD["one.png"]})

    def full(path, data):
        raise StageError("Cannot write: No space left on device.") from OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(module, "write_atomically", full)
    with pytest.raises(StageError, match=r"No space left.*\n.*\n.*free some space"):
        run()


def test_what_cannot_begin_is_refused_before_any_work(run, tmp_path):
    root = write_all(tmp_path / "in", {"a.png": GOOD["one.png"], "a_enhanced.png": GOOD["one.png"]})
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(root)
    with pytest.raises(SourceError, match=r"No photos were found[\s\S]*extensions="):
        run(tmp_path / "empty")
    with pytest.raises(SourceError, match="nothing to restore"):
        run(tmp_path / "nowhere")
    for output in (root, root / "sub", tmp_path / "link"):
        with pytest.raises(ConfigError, match="lies inside it"):
            run(root, output)
    with pytest.raises(StageError, match="output folder cannot be written"):
        run(root, tmp_path / "file")
    with pytest.raises(ConfigError, match=r"one name, 'a_enhanced.png'"):
        run(root, stages=True)
    with pytest.raises(ItemsFailedError, match="would replace the original"):
        run(root / "a.png", root)
    assert sorted(path.name for path in root.glob("*.png")) == ["a.png", "a_enhanced.png"]
    assert (root / "a.png").read_bytes() == GOOD["one.png"]


@pytest.mark.parametrize(
    ("name", "side", "scale", "fits"),
    [
        ("a.webp", 4095, None, True),
        ("a.webp", 4096, None, False),
        ("a.webp", 16383, 1.0, True),
        ("a.jpg", 16376, None, False),
        ("a.JPG", 16375, None, True),
        ("a.png", 60000, None, True),
    ],
)
def test_results_that_a_format_cannot_hold_are_refused_before_any_work(name, side, scale, fits):
    from jewelenh.errors import ImageError

    photo = Photo(np.zeros((1, side, 3), np.uint8))
    if fits:
        check_fits(photo, name, Output(scale=scale), 4)
        return
    with pytest.raises(ImageError, match=r"format=png, or scale=") as caught:
        check_fits(photo, name, Output(scale=scale), 4)
    proposed = float(str(caught.value.fix).split("scale=")[1].split()[0])
    check_fits(photo, name, Output(scale=proposed), 4)


def test_a_webp_photo_of_which_the_result_is_too_large_is_listed(run, tmp_path):
    wide = saved(Image.fromarray(noise(1, 4100)), "WEBP")
    write_all(tmp_path / "in", {"wide.webp": wide, "b.png": GOOD["one.png"]})
    with pytest.raises(ItemsFailedError, match=r"too large for .webp"):
        run()
    assert (tmp_path / "out" / "b.png").is_file()
    assert len(run(format="png").made) == 2


def test_exif_that_jpeg_has_no_room_for_is_a_failure_not_a_crash(run, tmp_path):
    long = exif()
    long[ExifTags.Base.ImageDescription] = "x" * 70_000
    write_all(tmp_path / "in", {"a.png": saved(RGB, "PNG", exif=long)})
    with pytest.raises(ItemsFailedError, match="cannot be encoded"):
        run(format="jpg")
    assert len(run().made) == 1


def test_no_enlarged_photo_is_held_while_the_next_is_made(restorer, tmp_path):
    """What was handed out is let go before the next is asked for: two large results would be gigabytes."""
    import gc
    import weakref

    write_all(tmp_path / "in", {f"{n}.png": encode_png(Photo(noise(8, 8, n))) for n in range(3)})
    alive: list[weakref.ref] = []

    class Watched:
        scale = 4

        def upscale_many(self, photos):
            for stem, photo in photos:
                gc.collect()
                assert not any(reference() is not None for reference in alive)
                large = Photo(np.zeros((32, 32, 3), np.uint8))
                alive.append(weakref.ref(large))
                yield stem, large
                del large, photo

    restorer._upscaler = Watched()
    assert len(predict(restorer, "id", tmp_path / "in", tmp_path / "out", Output(), ENDINGS).made) == 3


def test_settings_that_are_impossible_are_refused(run_job):
    for override in ("strength=1.5", "quality=0", "scale=0", "format=gif", "on_error=maybe"):
        outcome = run_job("predict", "input=a", "output=b", override)
        assert outcome.code == 2, override
        assert override.split("=")[0] in outcome.err and "Traceback" not in outcome.err
