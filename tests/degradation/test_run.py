"""The degraded stage: identity, repeatability, what is kept of a photo, and bad photos."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jewelenh.config import Shard
from jewelenh.degradation.draws import apply, read_draws
from jewelenh.degradation.run import degrade
from jewelenh.errors import ImageError, ItemsFailedError, StageError
from jewelenh.images import read_photo
from jewelenh.manifest import read_manifest


def tree(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and not path.name.startswith(".lock")
    }


def test_each_photo_keeps_its_own_path_and_no_two_collide(folder, raw_of, everything_on, tmp_path):
    degraded = degrade(raw_of(folder), everything_on, 42, tmp_path / "data")
    stems = ["c.png", "d.jpg", "necklaces/a.jpg", "necklaces/a.png", "rings/a.jpg", "rings/b.jpg"]
    assert [item.stem for item in degraded.items] == stems
    assert degraded.n_made == 6
    for item in degraded.items:
        file = degraded.file(item)
        assert file == tmp_path / "data" / "degraded" / f"all-{degraded.fingerprint}" / f"{item.stem}.png"
        assert Image.open(file).format == "PNG"
    assert len(set(tree(degraded.directory).values())) == len(stems) + 2


def test_the_file_is_exactly_what_the_record_says(folder, raw_of, everything_on, tmp_path):
    raw = raw_of(folder)
    degraded = degrade(raw, everything_on, 42, tmp_path / "data")
    for before, item in zip(raw.items, degraded.items, strict=True):
        assert item.key == before.key
        expected = apply(item.record["draw"], read_photo(raw.file(before)).pixels)
        assert np.array_equal(read_photo(degraded.file(item)).pixels, expected)
        assert item.record["photo"] == before.stem


@pytest.mark.parametrize("workers", [2, 4])
def test_any_number_of_workers_and_any_order_give_the_same_bytes(folder, raw_of, everything_on, tmp_path, workers):
    level = replace(everything_on, variants=3)
    raw = raw_of(folder)
    alone = degrade(raw, level, 42, tmp_path / "one", workers=1)
    backwards = replace(raw, items=list(reversed(raw.items)))
    together = degrade(backwards, level, 42, tmp_path / "many", workers=workers)
    assert tree(alone.directory) == tree(together.directory)


def test_another_photo_changes_no_other(folder, raw_of, everything_on, contents, ring, tmp_path):
    before = contents(degrade(raw_of(folder), everything_on, 42, tmp_path / "data"))
    Image.fromarray(ring(50)).save(folder / "aaa.png")
    after = degrade(raw_of(folder), everything_on, 42, tmp_path / "data")
    assert after.n_made == 1
    assert {stem: data for stem, data in contents(after).items() if stem != "aaa.png"} == before
    again = degrade(raw_of(folder), everything_on, 42, tmp_path / "elsewhere")
    assert contents(again) == contents(after)


def test_a_changed_photo_redoes_only_its_own(folder, raw_of, everything_on, contents, ring, tmp_path):
    before = contents(degrade(raw_of(folder), everything_on, 42, tmp_path / "data"))
    Image.fromarray(ring(51)).save(folder / "c.png")
    after = degrade(raw_of(folder), everything_on, 42, tmp_path / "data")
    assert after.n_made == 1
    changed = {stem for stem, data in contents(after).items() if data != before[stem]}
    assert changed == {"c.png"}


def test_nothing_is_made_twice_and_what_is_lost_is_made_again(folder, raw_of, everything_on, contents, tmp_path):
    first = degrade(raw_of(folder), everything_on, 42, tmp_path / "data")
    before = tree(first.directory)
    stamps = {item.stem: first.file(item).stat().st_mtime_ns for item in first.items}
    second = degrade(raw_of(folder), everything_on, 42, tmp_path / "data")
    assert second.n_made == 0
    assert stamps == {item.stem: second.file(item).stat().st_mtime_ns for item in second.items}
    first.file(first.items[2]).unlink()
    (first.directory / "draws.jsonl").unlink()
    assert degrade(raw_of(folder), everything_on, 42, tmp_path / "data").n_made == 1
    assert tree(first.directory) == before


def test_seed_and_values_make_another_stage_and_variants_the_same(folder, raw_of, everything_on, tmp_path):
    raw, data_dir = raw_of(folder), tmp_path / "data"
    first = degrade(raw, everything_on, 42, data_dir)
    assert degrade(raw, everything_on, 43, data_dir).directory != first.directory
    noisier = replace(everything_on, noise=replace(everything_on.noise, gaussian_sigma=(1, 2)))
    assert degrade(raw, noisier, 42, data_dir).directory != first.directory
    more = degrade(raw, replace(everything_on, variants=3), 42, data_dir)
    assert more.directory == first.directory
    assert more.n_made == 12


def test_variants_differ_and_belong_to_one_photo(folder, raw_of, everything_on, contents, tmp_path):
    degraded = degrade(raw_of(folder), replace(everything_on, variants=3), 42, tmp_path / "data")
    stems = [item.stem for item in degraded.items if item.record["photo"] == "rings/a.jpg"]
    assert stems == ["rings/a.jpg", "rings/a.jpg~1", "rings/a.jpg~2"]
    assert len({contents(degraded)[stem] for stem in stems}) == 3
    assert degraded.file(next(item for item in degraded.items if item.stem == stems[1])).name == "a.jpg~1.png"
    alone = degrade(raw_of(folder), everything_on, 42, tmp_path / "alone")
    assert contents(alone)["rings/a.jpg"] == contents(degraded)["rings/a.jpg"]


def test_draws_are_written_beside_the_photos_sorted_and_whole(folder, raw_of, everything_on, tmp_path):
    raw = raw_of(folder)
    degraded = degrade(raw, replace(everything_on, variants=2), 42, tmp_path / "data")
    lines = read_draws(degraded.directory / "draws.jsonl")
    places = [(line["photo"], line["variant"]) for line in lines]
    assert places == sorted((item.stem, variant) for item in raw.items for variant in (0, 1))
    keys = {item.stem: item.key for item in raw.items}
    for line in lines:
        assert line["raw_sha256"] == keys[line["photo"]]
        assert set(line["draw"]) == {"blur", "downscale", "noise", "jpeg", "colour"}
        assert (degraded.directory / line["file"]).is_file()


def test_shards_together_make_what_one_run_makes(folder, raw_of, everything_on, tmp_path):
    raw = raw_of(folder)
    whole = degrade(raw, everything_on, 42, tmp_path / "one")
    parts = [degrade(raw, everything_on, 42, tmp_path / "two", shard=Shard(index=i, count=2)) for i in (0, 1)]
    assert [len(part.items) for part in parts] == [3, 3]
    assert tree(whole.directory) == tree(parts[0].directory)


def test_alpha_rotation_profile_and_exif_are_kept(tmp_path, raw_of, everything_on, ring):
    root = tmp_path / "photos"
    root.mkdir()
    alpha = np.random.default_rng(0).integers(0, 256, (96, 96), dtype=np.uint8)
    Image.fromarray(np.dstack([ring(1), alpha])).save(root / "alpha.png")
    wide = Image.fromarray(ring(2)[:60])
    exif = Image.Exif()
    exif[274], exif[271] = 6, "a maker"  # turned by 90 degrees; the camera's maker
    wide.save(root / "turned.jpg", quality=95, exif=exif, icc_profile=b"a profile")
    degraded = degrade(raw_of(root), everything_on, 42, tmp_path / "data")
    clear, turned = (read_photo(degraded.file(item)) for item in degraded.items)
    assert np.array_equal(clear.alpha, alpha)
    assert turned.size == (96, 60)
    written = Image.open(degraded.file(degraded.items[1]))
    assert written.info["icc_profile"] == b"a profile"
    assert written.getexif()[271] == "a maker"
    assert 274 not in written.getexif()


def test_16_bit_photos_are_degraded_at_8_bits_and_the_record_says_so(tmp_path, raw_of, everything_on, ring):
    import cv2

    root = tmp_path / "photos"
    root.mkdir()
    cv2.imwrite(str(root / "deep.png"), ring(1)[..., ::-1].astype(np.uint16) * 257)
    Image.fromarray(ring(1)).save(root / "flat.png")
    deep, flat = degrade(raw_of(root), everything_on, 42, tmp_path / "data").items
    assert deep.record["raw_bits"] == 16
    assert "raw_bits" not in flat.record


def test_a_grey_photo_stays_grey_as_long_as_nothing_colours_it(tmp_path, raw_of, level, ring):
    root = tmp_path / "photos"
    root.mkdir()
    Image.fromarray(ring(1)).convert("L").save(root / "grey.jpg")
    mild = level("mild")
    quiet = replace(mild, noise=replace(mild.noise, probability=0), colour=replace(mild.colour, probability=0))
    for chosen, mode in ((quiet, "L"), (mild, "RGB")):
        degraded = degrade(raw_of(root), chosen, 42, tmp_path / "data")
        assert Image.open(degraded.file(degraded.items[0])).mode == mode


def test_a_photo_of_one_pixel(tmp_path, raw_of, everything_on):
    root = tmp_path / "photos"
    root.mkdir()
    Image.new("RGB", (1, 1), (200, 150, 100)).save(root / "dot.png")
    degraded = degrade(raw_of(root), replace(everything_on, variants=20), 42, tmp_path / "data")
    assert all(read_photo(degraded.file(item)).size == (1, 1) for item in degraded.items)


NAMES = ["with space.jpg", "q\"uo'te.jpg", "ring 💍.jpg", "new\nline.jpg", "späť~1.jpg", "-rf.jpg", "%s{}.jpg"]
NAMES.append("💍" * 55 + ".jpg")


def test_strange_names_come_through(tmp_path, raw_of, everything_on, ring):
    root = tmp_path / "photos"
    root.mkdir()
    names = [*NAMES, os.fsdecode(b"latin\xe9.jpg")]
    for i, name in enumerate(names):
        with (root / name).open("wb") as file:
            Image.fromarray(ring(i)).save(file, "JPEG")
    degraded = degrade(raw_of(root), everything_on, 42, tmp_path / "data")
    assert {item.stem for item in degraded.items} == set(names)
    assert all(degraded.file(item).name == f"{item.stem}.png" for item in degraded.items)
    assert {line["photo"] for line in read_draws(degraded.directory / "draws.jsonl")} == set(names)
    assert degrade(raw_of(root), everything_on, 42, tmp_path / "data").n_made == 0


def test_a_name_without_room_for_png_fails_alone(folder, raw_of, everything_on, tmp_path):
    name = "n" * 251 + ".jpg"
    shutil.copy(folder / "d.jpg", folder / name)
    degraded = degrade(raw_of(folder), everything_on, 42, tmp_path / "data", on_error="skip")
    assert list(degraded.failures) == [name]
    assert "file name is too long" in degraded.failures[name]
    assert len(degraded.items) == 6


def test_bad_photos_are_recorded_and_the_rest_is_finished(folder, raw_of, everything_on, tmp_path):
    whole = (folder / "d.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("a ring\n" * 50)
    (folder / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    os.mkfifo(folder / "pipe.jpg")
    raw = raw_of(folder)
    with pytest.raises(ItemsFailedError) as error:
        degrade(raw, replace(everything_on, variants=2), 42, tmp_path / "data")
    assert "7 of 19 failed" in str(error.value)  # two variants of the two that can be read as files, and three raw
    manifest = read_manifest(next((tmp_path / "data" / "degraded").glob("all-*")))
    assert len(manifest.items) == 12
    reasons = {stem: manifest.failures[stem] for stem in manifest.failures}
    assert set(reasons) == {"cut.jpg", "cut.jpg~1", "text.jpg", "text.jpg~1", "empty.jpg", "gone.jpg", "pipe.jpg"}
    assert "truncated" in reasons["cut.jpg"]
    assert "not an image" in reasons["text.jpg~1"]
    assert "empty" in reasons["empty.jpg"]
    assert "not a regular file" in reasons["pipe.jpg"]
    skipped = degrade(raw, replace(everything_on, variants=2), 42, tmp_path / "data", on_error="skip")
    assert len(skipped.items) == 12
    assert set(skipped.failures) == set(reasons)
    (folder / "cut.jpg").write_bytes(whole)
    mended = degrade(raw_of(folder), everything_on, 42, tmp_path / "data", on_error="skip")
    assert "cut.jpg" not in mended.failures


def test_a_photo_that_changed_since_it_was_indexed_fails(folder, raw_of, everything_on, ring, tmp_path):
    raw = raw_of(folder)
    Image.fromarray(ring(60)).save(folder / "c.png")
    degraded = degrade(raw, everything_on, 42, tmp_path / "data", on_error="skip")
    assert list(degraded.failures) == ["c.png"]
    assert "changed since it was indexed" in degraded.failures["c.png"]


def test_memory_that_runs_out_fails_the_photo_and_says_what_helps(folder, raw_of, everything_on, tmp_path, monkeypatch):
    def no_memory(*_):
        raise MemoryError

    monkeypatch.setattr("jewelenh.stage.decode", no_memory)
    degraded = degrade(raw_of(folder), everything_on, 42, tmp_path / "data", on_error="skip")
    assert len(degraded.failures) == 6
    assert "fewer hardware.workers" in degraded.failures["c.png"]


def test_a_full_disk_stops_the_run_and_keeps_what_is_finished(folder, raw_of, everything_on, tmp_path, monkeypatch):
    from jewelenh import stage as stage_module

    n_written = 0

    def fills_up(path, data):
        nonlocal n_written
        n_written += 1
        if n_written > 3:
            raise StageError("Cannot write: No space left on device.", where=path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    raw = raw_of(folder)
    with monkeypatch.context() as patched:
        patched.setattr(stage_module, "write_atomically", fills_up)
        with pytest.raises(StageError, match="No space left"):
            degrade(raw, everything_on, 42, tmp_path / "data", workers=1)
    resumed = degrade(raw, everything_on, 42, tmp_path / "data")
    assert resumed.n_made == 3
    assert tree(resumed.directory) == tree(degrade(raw, everything_on, 42, tmp_path / "never").directory)


def test_opencv_keeps_its_threads_afterwards(folder, raw_of, everything_on, tmp_path):
    import cv2

    before = cv2.getNumThreads()
    degrade(raw_of(folder), everything_on, 42, tmp_path / "data")
    assert cv2.getNumThreads() == before


def test_broken_draws_are_refused(tmp_path):
    for content in ("", "no json\n", '{"algorithm": 1}\n', "[1]\n", json.dumps({"algorithm": 99, "draw": {}})):
        file = tmp_path / "draws.jsonl"
        file.write_text(content)
        with pytest.raises(StageError, match="no file of draws"):
            read_draws(file)
    with pytest.raises(StageError, match="cannot be read"):
        read_draws(tmp_path / "nothing.jsonl")
    assert issubclass(ItemsFailedError, StageError)
    assert not issubclass(ImageError, StageError)
