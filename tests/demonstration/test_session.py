"""What the demo makes of a photo is what the jobs make of it, to the byte; and it leaves no files behind."""

import numpy as np
import pytest
from demo_parts import MODERATE
from PIL import ExifTags, Image
from strange_photos import GOOD, exif, noise, saved

from jewelenh.config import Source
from jewelenh.degradation.run import degrade
from jewelenh.demonstration import session as module
from jewelenh.demonstration.session import Cache, Request, Session
from jewelenh.errors import ImageError
from jewelenh.images import Photo, encode_png, read_photo
from jewelenh.restoration.prediction import predict
from jewelenh.restoration.restorer import Restorer
from jewelenh.restoration.results import Output
from jewelenh.sources import fetch

PHOTO = encode_png(Photo(noise(24, 30, 7)))


@pytest.mark.parametrize(
    "output",
    [
        Output(),
        Output(strength=0.35),
        Output(format="jpg", quality=71, scale=1.0),
        Output(format="webp", quality=80, scale=0.5),
        Output(format="png", strength=0.0),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["alpha.png", "deep.png", "rotated.jpg", "cmyk.jpg", "one.png"])
def test_the_demos_file_is_the_one_that_predict_writes(session, trained, upload, tmp_path, name, output):
    result = session.restore(Request(upload(name, GOOD[name]), trained, None, output))
    restorer = Restorer.from_checkpoint(trained.file)
    done = predict(restorer, "id", tmp_path / "uploads" / name, tmp_path / "predicted", output, [])
    assert result.file.name == done.made[0].name
    assert result.file.read_bytes() == done.made[0].read_bytes()


def test_place_and_names_do_not_go_into_the_files(session, trained, upload):
    block = exif(6)
    block[ExifTags.Base.Artist] = "An Owner"
    block.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: (48.0, 8.0, 0.0)})
    photo = upload("a.jpg", saved(Image.fromarray(noise(24, 30, 7)), "JPEG", exif=block))
    result = session.restore(Request(photo, trained, "moderate", Output()))
    for file in (result.file, result.degraded_file):
        with Image.open(file) as image:
            assert image.getexif()[ExifTags.Base.Make] == "Maker" and ExifTags.IFD.GPSInfo not in image.getexif()
        assert b"An Owner" not in file.read_bytes()


def test_a_level_is_the_one_of_the_degrade_job(session, trained, upload, tmp_path):
    result = session.restore(Request(upload("a.png", PHOTO), trained, "moderate", Output(strength=0.5)))
    raw = fetch(Source(kind="folder", root=tmp_path / "uploads"), 42, tmp_path / "data")
    made = degrade(raw, session.levels["moderate"], 42, tmp_path / "data")
    degraded = made.file(made.items[0])
    assert result.degraded_file is not None
    assert result.degraded_file.read_bytes() == degraded.read_bytes()
    assert np.array_equal(result.original.pixels, read_photo(degraded).pixels)
    restorer = Restorer.from_checkpoint(trained.file)
    done = predict(restorer, "id", result.degraded_file, tmp_path / "predicted", Output(strength=0.5), [])
    assert np.array_equal(read_photo(done.made[0]).pixels, read_photo(result.file).pixels)


def test_degraded_photos_are_scored_against_the_target_and_others_against_a_reference(session, trained, upload):
    photo = upload("a.png", PHOTO)
    assert session.restore(Request(photo, trained, None, Output())).scores == []
    result = session.restore(Request(photo, trained, "moderate", Output(strength=0.0)))
    scores, at_raw = result.scores
    assert at_raw.size == photo.photo.size and list(at_raw.rows) == ["degraded", "ESRGAN", "target", "refined"]
    degraded = np.square(result.original.pixels.astype(float) - photo.photo.pixels).mean()
    assert at_raw.rows["degraded"]["psnr_db"] == pytest.approx(10 * np.log10(255**2 / degraded), abs=1e-6)
    assert scores.size == (96, 120) and "target" in scores.against
    assert scores.rows["ESRGAN"] == scores.rows["refined"], "at strength 0 they are one picture"
    target = session.restore(Request(photo, trained, None, Output(format="png", strength=0.0))).file
    given = upload("reference.png", target.read_bytes())
    same = session.restore(Request(photo, trained, "moderate", Output(strength=0.0), given))
    assert same.scores[0].rows == scores.rows
    other = session.restore(Request(photo, trained, None, Output(), upload("tall.png", GOOD["one.png"]))).scores[0]
    assert other.size is None and "another shape" in other.against


def test_another_strength_does_not_enhance_again(session, trained, upload, monkeypatch):
    photo, made = upload("a.png", PHOTO), []
    session.restore(Request(photo, trained, None, Output()))
    restorer = session._restorer(trained)
    real = restorer.upscaler.upscale
    monkeypatch.setattr(restorer.upscaler, "upscale", lambda photo: made.append(1) or real(photo))
    files = [session.restore(Request(photo, trained, None, Output(strength=s))).file.read_bytes() for s in (0.2, 1.0)]
    assert not made and files[0] != files[1]
    session.restore(Request(upload("b.png", GOOD["grey.png"]), trained, None, Output()))
    assert made


def test_results_make_room_and_take_their_files_along(trained, upload, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "KEPT_BYTES", 100_000)  # one result of this photo takes 71,280
    session = Session({"moderate": MODERATE}, 42, tmp_path / "results")
    photo = upload("a.png", PHOTO)
    first = session.restore(Request(photo, trained, None, Output()))
    assert session.recall(first.token) is first
    second = session.restore(Request(photo, trained, "moderate", Output()))
    assert session.recall(first.token) is None and not first.file.parent.exists()
    assert session.recall(second.token) is second and second.file.is_file()
    second.delete_files()
    assert not second.file.exists() and session.recall(second.token) is second, "its pictures can still be seen"
    assert session.recall("never") is None and session.recall(None) is None


def test_what_was_used_last_stays():
    gone: list[int] = []
    cache: Cache[int] = Cache(2, lambda _: 1, gone.append)
    cache.put("a", 1)
    cache.put("b", 2)
    cache.get("a")
    cache.put("c", 3)
    assert gone == [2]
    huge: Cache[int] = Cache(2, lambda _: 99)
    huge.put("a", 1)
    assert huge.get("a") == 1, "the newest stays however large it is"


def test_a_result_that_a_format_cannot_hold_is_refused(session, trained, upload):
    wide = upload("wide.webp", _webp(4100))
    with pytest.raises(ImageError, match=r"too large for .webp"):
        session.restore(Request(wide, trained, None, Output()))
    assert not session.folder.exists()


def _webp(width: int) -> bytes:
    return saved(Image.fromarray(noise(2, width)), "WEBP")
