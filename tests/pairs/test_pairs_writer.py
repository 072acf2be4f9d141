"""Writing: what lies where, what is linked, what a kill and a second process leave."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from drawn_pairs import SIDE, Upstream, blurred, drawn_photo, small_pairs

from jewelenh.config import Split
from jewelenh.errors import ItemsFailedError, PairsError
from jewelenh.images import Photo, encode_png, grey_levels
from jewelenh.pairs import writer
from jewelenh.pairs.check import examine
from jewelenh.pairs.contract import read_pairs
from jewelenh.pairs.tensors import fit
from jewelenh.pairs.writer import write_pairs

HERE = Path(__file__).parent.parent


def tree(directory: Path) -> dict[str, bytes]:
    """Everything in a directory that is not a lock."""
    files = [path for path in directory.rglob("*") if path.is_file() and not path.name.startswith(".lock")]
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in sorted(files)}


def test_files_and_manifest(written):
    assert len(written.pairs) == 16 and written.n_made == 16
    assert {pair.photo for pair in written.pairs} == {f"rings/ring_{i:02d}.jpg" for i in range(12)}
    for pair in written.pairs:
        assert pair.input.path == f"{pair.split}/{pair.stem}_input.npy"
        assert pair.target.path == f"{pair.split}/{pair.photo}_target.npy"
        array = np.load(written.path(pair.input))
        assert array.shape == (3, 32, 32) and array.dtype == np.float32 and array.flags.c_contiguous
        number = int(pair.photo[-6:-4])
        expected = fit(drawn_photo(number), small_pairs()).transpose(2, 0, 1)
        assert np.array_equal(grey_levels(np.load(written.path(pair.target))), expected)


def test_versions_of_a_photo_share_target_and_side(written):
    versions = [pair for pair in written.pairs if pair.photo == "rings/ring_03.jpg"]
    assert [pair.stem for pair in versions] == ["rings/ring_03.jpg", "rings/ring_03.jpg~1", "rings/ring_03.jpg~2"]
    assert len({pair.target.path for pair in versions}) == len({pair.split for pair in versions}) == 1
    assert len({pair.input.sha256 for pair in versions}) == 3


def test_every_stem_traces_back(written, upstream):
    pair = next(pair for pair in written.pairs if pair.stem == "rings/ring_07.jpg~2")
    assert pair.record["input"] == {
        "photo": "rings/ring_07.jpg",
        "variant": 2,
        "draw": {"sigma_px": 3.0},
        "weights": "w" * 64,
    }
    assert pair.record["target"]["weights"] == "w" * 64
    by_stem = {item.stem: item for item in upstream.items["inputs"]}
    assert pair.record["source"]["input"] == by_stem[pair.stem].files["image"].sha256
    assert written.spec["upstream"] == {
        "raw": "raw-print",
        "inputs": {"mild": "inputs-print"},
        "targets": "targets-print",
    }
    assert written.spec["format"]["resample"] == "area" and "crop" in written.spec["format"]["geometry"]
    shares = {"train": 0.8, "val": 0.1, "test": 0.1, "near_duplicate_bits": 0, "folds": None, "fold": 0}
    assert written.spec["split"] == {"seed": 42, **shares}


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
def test_storage_choices_pass_the_doctor(write_as, dtype):
    made = write_as(dtype=dtype)
    assert np.load(made.path(made.pairs[0].input)).dtype == dtype
    assert not examine(made.directory).findings


def test_native_size(write_as):
    made = write_as(size=None)
    assert made.pairs[0].shape == (3, SIDE, SIDE)


def test_a_second_run_makes_nothing(upstream, tmp_path, written, monkeypatch):
    before = tree(written.directory)
    monkeypatch.setattr(writer, "read_verified", lambda *_: pytest.fail("a photo was read again"))
    again = upstream.write(tmp_path / "data")
    assert (again.n_made, again.n_linked, again.directory) == (0, 0, written.directory)
    assert tree(written.directory) == before


@pytest.mark.parametrize("change", ["dtype", "size", "resample", "seed", "split", "level"])
def test_every_setting_has_its_own_directory(upstream, tmp_path, written, change):
    pairs = {
        "dtype": small_pairs(dtype="uint8"),
        "size": small_pairs(size=24),
        "resample": small_pairs(resample="bicubic"),
        "split": small_pairs(split=Split(near_duplicate_bits=2)),
    }.get(change)
    options = {"seed": 7} if change == "seed" else {"level": "severe"} if change == "level" else {}
    assert upstream.write(tmp_path / "data", pairs, **options).directory != written.directory


def test_more_photos_make_a_new_directory_of_links(upstream, tmp_path, written):
    before = tree(written.directory)
    for number in (20, 21):
        upstream.photo(f"rings/ring_{number}.jpg", drawn_photo(number))
    grown = upstream.write(tmp_path / "data")
    assert grown.directory != written.directory
    assert (grown.n_made, grown.n_linked) == (2, 16)
    assert tree(written.directory) == before  # a run that trains on it sees nothing
    assert not examine(grown.directory).findings
    old, new = ({pair.stem: pair for pair in made.pairs} for made in (written, grown))
    for stem in old:
        assert written.path(old[stem].input).samefile(grown.path(new[stem].input))
    assert not list(grown.directory.rglob("*.tmp"))


def test_links_equal_files_made_anew(upstream, tmp_path, written):
    upstream.photo("rings/ring_20.jpg", drawn_photo(20))
    linked, anew = upstream.write(tmp_path / "data"), upstream.write(tmp_path / "elsewhere")
    assert anew.n_linked == 0
    assert tree(linked.directory) == tree(anew.directory)


def test_targets_are_shared_between_levels(upstream, tmp_path, written):
    for item in list(upstream.items["inputs"]):
        pixels = blurred(drawn_photo(int(item.record["photo"][-6:-4])), 4.0 + item.record["variant"])
        upstream.put("inputs", item.stem, pixels, item.record)
    severe = upstream.write(tmp_path / "data", level="severe")
    assert severe.n_linked == 0 and severe.n_made == 16
    assert severe.path(severe.pairs[0].target).samefile(written.path(written.pairs[0].target))
    assert not severe.path(severe.pairs[0].input).samefile(written.path(written.pairs[0].input))
    sides = {pair.photo: pair.split for pair in written.pairs}
    assert all(sides[pair.photo] == pair.split for pair in severe.pairs)  # no leak from one level to another


def test_a_broken_file_is_never_linked(upstream, tmp_path, written):
    victim = written.path(written.pairs[0].input)
    data = bytearray(victim.read_bytes())
    data[-1] ^= 1
    victim.write_bytes(data)
    upstream.photo("rings/ring_20.jpg", drawn_photo(20))
    grown = upstream.write(tmp_path / "data")
    assert (grown.n_made, grown.n_linked) == (2, 15)
    assert not examine(grown.directory).findings


def test_where_links_cannot_be_made_files_are_copied(upstream, tmp_path, written, monkeypatch):
    def refuse(self, target):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    upstream.photo("rings/ring_20.jpg", drawn_photo(20))
    grown = upstream.write(tmp_path / "data")
    assert grown.n_linked == 16 and not examine(grown.directory).findings
    assert grown.path(grown.pairs[0].input).stat().st_nlink == 1


def test_a_changed_photo_never_writes_into_a_linked_file(upstream, tmp_path, written):
    before = tree(written.directory)
    upstream.photo("rings/ring_00.jpg", drawn_photo(77))
    changed = upstream.write(tmp_path / "data")
    assert (changed.n_made, changed.n_linked) == (1, 15)
    assert tree(written.directory) == before


def test_damage_is_mended_in_place(upstream, tmp_path, written):
    before = tree(written.directory)
    written.path(written.pairs[0].input).unlink()
    written.path(written.pairs[-1].target).write_bytes(b"short")
    assert upstream.write(tmp_path / "data").n_made == 2
    assert tree(written.directory) == before


def test_inputs_without_target_are_failures(upstream, tmp_path):
    upstream.items["targets"] = [item for item in upstream.items["targets"] if "ring_03" not in item.stem]
    with pytest.raises(ItemsFailedError, match="3 of 16 failed") as error:
        upstream.write(tmp_path / "data")
    assert "has no target" in str(error.value)
    made = upstream.write(tmp_path / "data", on_error="skip")
    assert len(made.pairs) == 13 and set(made.failures) == {f"rings/ring_03.jpg{v}" for v in ("", "~1", "~2")}


def test_a_photo_that_cannot_be_read_takes_only_its_own_pairs_with_it(upstream, tmp_path):
    path = upstream.selection("raw").file(upstream.items["raw"][0])
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ItemsFailedError, match="1 of 16 failed"):
        upstream.write(tmp_path / "data")
    assert len(upstream.write(tmp_path / "data", on_error="skip").pairs) == 15


def test_input_and_target_of_different_size_are_no_pair(upstream, tmp_path):
    upstream.put("inputs", "rings/ring_00.jpg", drawn_photo(0, (40, SIDE)), {"photo": "rings/ring_00.jpg"})
    with pytest.raises(ItemsFailedError, match="differ in size"):
        upstream.write(tmp_path / "data")


def test_nothing_to_pair(upstream, tmp_path):
    upstream.items["inputs"] = []
    with pytest.raises(PairsError, match="nothing to pair"):
        upstream.write(tmp_path / "data")


def test_an_input_that_equals_its_target_is_known(upstream, tmp_path):
    upstream.put("inputs", "rings/ring_00.jpg", drawn_photo(0), {"photo": "rings/ring_00.jpg"})
    made = upstream.write(tmp_path / "data")
    assert [pair.record["identical"] for pair in made.pairs].count(True) == 1
    findings = examine(made.directory).findings
    assert [(finding.check, finding.severity) for finding in findings] == [("identical", "warning")]


WRITE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import drawn_pairs
from jewelenh.pairs import writer


upstream = drawn_pairs.Upstream(Path(sys.argv[2]))
for number in range(12):
    upstream.photo(f"rings/ring_{number:02d}.jpg", drawn_pairs.drawn_photo(number), variants=2)
n_left = int(sys.argv[4])
note = writer.Stage.note

def note_and_die(self, *arguments):
    global n_left
    made = note(self, *arguments)
    n_left -= 1
    if n_left == 0:
        import os, signal
        os.kill(os.getpid(), signal.SIGKILL)
    return made

writer.Stage.note = note_and_die
print("ready", flush=True)
if len(sys.argv) > 5:
    sys.stdin.readline()
made = upstream.write(Path(sys.argv[3]))
print(made.n_made, made.n_linked)
"""


def start(*arguments: object, **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITE, str(HERE), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, **options)


def test_killed_and_resumed_equals_never_killed(tmp_path):
    killed = start(tmp_path / "up", tmp_path / "killed", 9)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    (directory,) = (tmp_path / "killed" / "pairs").iterdir()
    assert not (directory / "manifest.json").exists()  # nothing half-made can be read
    with pytest.raises(PairsError, match="no manifest"):
        read_pairs(directory)
    journal = next(directory.glob("journal-*.jsonl"))
    journal.write_bytes(journal.read_bytes()[:-40])  # the kill tore a line
    torn = directory / "train" / ".half.npy.1-1.tmp"
    torn.parent.mkdir(parents=True, exist_ok=True)
    torn.write_bytes(b"half")

    resumed = start(tmp_path / "up", tmp_path / "killed", -1)
    n_made = int(resumed.communicate()[0].split()[1])
    assert resumed.returncode == 0 and 0 < n_made < 24
    clean = start(tmp_path / "up", tmp_path / "clean", -1)
    clean.communicate()
    assert tree(tmp_path / "killed" / "pairs") == tree(tmp_path / "clean" / "pairs")


def test_two_processes_on_one_directory(tmp_path):
    """Both are started on a signal; one writes, the other waits and finds everything made."""
    both = [start(tmp_path / "up", tmp_path / "data", -1, "wait") for _ in range(2)]
    for process in both:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    made = [int(process.communicate("go\n")[0].split()[0]) for process in both]
    assert sorted(made) == [0, 24]
    (directory,) = (tmp_path / "data" / "pairs").iterdir()
    assert not examine(directory).findings
    assert not list(directory.rglob("*.tmp")) and not list(directory.glob("journal-*"))


def test_the_worker_count_changes_no_byte(upstream, tmp_path, written, monkeypatch):
    monkeypatch.setattr(writer, "n_cores", lambda: 1)
    alone = upstream.write(tmp_path / "alone")
    assert tree(alone.directory) == tree(written.directory)


def test_transparent_photos_keep_only_their_colours(upstream, tmp_path):
    alpha = np.full((SIDE, SIDE), 128, np.uint8)
    upstream.put("targets", "rings/ring_00.jpg", drawn_photo(0), {"photo": "rings/ring_00.jpg"}, alpha)
    made = upstream.write(tmp_path / "data")
    target = next(pair.target for pair in made.pairs if pair.photo == "rings/ring_00.jpg")
    assert np.array_equal(made.pixels(target), fit(drawn_photo(0), small_pairs()))


@pytest.mark.parametrize("kind", ["raw", "inputs", "targets"])
def test_a_replaced_file_becomes_no_pair(upstream, tmp_path, kind):
    """It would be a pair that claims the right source."""
    item = upstream.items[kind][0]
    upstream.selection(kind).file(item).write_bytes(encode_png(Photo(drawn_photo(70))))
    with pytest.raises(ItemsFailedError, match="1 of 16 failed") as error:
        upstream.write(tmp_path / "data")
    assert ("changed after it was indexed" if kind == "raw" else "made again") in str(error.value)
    made = upstream.write(tmp_path / "data", on_error="skip")
    assert set(made.failures) == {"rings/ring_00.jpg"} and len(made.pairs) == 15


def test_pairs_of_the_photos_themselves_keep_each_its_own_size(tmp_path):
    upstream = Upstream(tmp_path)
    for number in range(6):
        upstream.photo(f"p{number}.jpg", drawn_photo(number, (SIDE + number, SIDE)))
    made = upstream.write(tmp_path / "data", small_pairs(placement="before"))
    assert made.placement == "before" and made.format.size is None
    first = made.pairs[0]
    assert (first.input.path, first.target.path) == (
        f"{first.split}/p0.jpg_degraded.npy",
        f"{first.split}/p0.jpg_raw.npy",
    )
    assert [pair.side for pair in made.pairs] == [(SIDE + number, SIDE) for number in range(6)]
    assert np.array_equal(made.pixels(made.pairs[3].target), drawn_photo(3, (SIDE + 3, SIDE)))
    assert not examine(made.directory).findings


def test_levels_share_a_photo_s_side_and_target(tmp_path):
    upstream = Upstream(tmp_path)
    for number in range(6):
        upstream.photo(f"p{number}.jpg", drawn_photo(number), variants=2)
    raw, inputs, targets = (upstream.selection(kind) for kind in ("raw", "inputs", "targets"))
    levels = {"mild": inputs, "none": targets}
    made = write_pairs(raw, levels, targets, "all", small_pairs(), 42, tmp_path / "data")
    found = {pair.stem: pair for pair in made.pairs}
    assert len(found) == 6 * 3
    of_first = [found[f"p0.jpg{end}"] for end in ("~mild", "~1~mild", "~none")]
    assert [pair.level for pair in of_first] == ["mild", "mild", "none"]
    assert len({pair.split for pair in of_first}) == len({pair.target.path for pair in of_first}) == 1
    assert np.array_equal(made.pixels(of_first[2].input), made.pixels(of_first[2].target))
    assert not np.array_equal(made.pixels(of_first[0].input), made.pixels(of_first[0].target))
