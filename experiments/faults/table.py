"""The faults, as data: area, fault, what must hold, and the function that tries it."""

from __future__ import annotations

import errno
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import attacks
import clocks
import disks
import kills
import network_disks
import photos
import settings
import together
import torn


@dataclass(frozen=True)
class Fault:
    """One row."""

    area: str
    what: str
    holds: str
    check: Callable[..., None]
    arguments: tuple[Any, ...] = ()


def rows(area: str, *found: tuple[Any, ...]) -> list[Fault]:
    """Return the rows of an area: (fault, what must hold, function, arguments of it)."""
    return [Fault(area, what, holds, check, tuple(arguments)) for what, holds, check, *arguments in found]


EQUAL = "the same command again ends byte for byte as one that was never killed"
WEIGHTS = "the same command again ends with the weights, bit for bit, and the numbers of an undisturbed run"

KILLS = rows(
    "kills",
    *((f"SIGKILL in {job}, three random moments", EQUAL, kills.at_random, job)
      for job in ("fetch", "degrade", "enhance", "pair", "predict", "evaluate", "export")),
    ("SIGKILL in train, three random moments", WEIGHTS, kills.at_random, "train"),
    *((f"SIGKILL in {job}, before its 1st, 2nd, 3rd and 5th rename", EQUAL, kills.at_rename, job)
      for job in ("fetch", "degrade", "enhance", "pair", "predict", "evaluate")),
    ("SIGKILL in export, before its 1st, 2nd, 3rd and 5th rename", EQUAL, kills.at_rename, "export"),
    ("SIGKILL in degrade, after its 1st, 2nd, 3rd and 5th rename", EQUAL, kills.at_rename, "degrade", True),
    ("SIGKILL in pair, after its 1st, 2nd, 3rd and 5th rename", EQUAL, kills.at_rename, "pair", True),
    ("SIGKILL while last.ckpt is written", WEIGHTS, kills.at_checkpoint),
    ("SIGKILL in every epoch of a training", f"{WEIGHTS}; the record counts four tries", kills.again_and_again),
    ("SIGTERM in the second epoch", f"it saves and says where; {WEIGHTS}", kills.in_epoch, signal.SIGTERM),
    ("Ctrl-C in the second epoch", f"it saves; {WEIGHTS}", kills.in_epoch, signal.SIGINT),
    ("SIGTERM where an epoch has one batch", f"it saves; {WEIGHTS}", kills.in_epoch, signal.SIGTERM,
     ("data.batch_size=16", "trainer.max_epochs=7")),
    ("SIGTERM while a training tests", f"the record says stopped; {WEIGHTS}", kills.while_testing),
    ("SIGTERM while a training makes its pairs", f"143 and a word; {WEIGHTS}", kills.while_preparing),
    ("an exception in the second epoch", f"the record says failed; {WEIGHTS}", kills.crash),
    ("SIGKILL while rerun=true", f"the earlier result is whole, aside; {WEIGHTS}", kills.at_rerun),
    *((f"SIGTERM in {job}, two random moments", f"143 and a word that what is finished is kept; {EQUAL}",
       kills.at_random, job, signal.SIGTERM, 2) for job in ("degrade", "enhance", "pair", "predict")),
)  # fmt: skip

REFUSED = "refused by name before training, or made again"
ONE = "one message with what to do, no traceback"
AFTER = "one message with what to do; with more room the same command ends as one that was never disturbed"

DISKS = rows(
    "disks",
    *((f"the disk is full in the middle of {job}", AFTER, disks.full, job)
      for job in ("fetch", "degrade", "enhance", "pair", "train", "evaluate", "predict", "export")),
    *((f"no file may be longer than 2 KiB (RLIMIT_FSIZE), in {job}", AFTER, disks.limited_files, job)
      for job in ("degrade", "pair", "train")),
    ("no inode is free, in degrade", AFTER, disks.no_more_files),
    ("the disk is full when last.ckpt is written again", "the former is whole, no pieces are left, training goes on",
     disks.full_at_checkpoint),
    ("TMPDIR is a disk of 8 KiB while training", "nothing goes through it", disks.temporary_elsewhere),
    ("data_dir is read-only", ONE, disks.read_only, "paths.data_dir", "degrade"),
    ("output_dir is read-only", ONE, disks.read_only, "paths.output_dir", "train"),
    ("the output of predict is read-only", ONE, disks.read_only, "output", "predict"),
    ("fsync fails with EIO in degrade", AFTER, disks.failing, "degrade", errno.EIO, "fsync"),
    ("fsync fails with EIO in train", AFTER, disks.failing, "train", errno.EIO, "fsync"),
    ("the quota ends (EDQUOT) in pair", AFTER, disks.failing, "pair", errno.EDQUOT, "replace"),
    ("the working directory is deleted", ONE, disks.directory_gone),
    ("a file lies where data/ belongs", ONE, disks.file_in_the_way, "data", "fetch"),
    ("a file lies where data/degraded/ belongs", ONE, disks.file_in_the_way, "data/degraded", "degrade"),
    ("a file lies where the output of predict belongs", ONE, disks.file_in_the_way, "restored", "predict"),
)  # fmt: skip

NETWORK = rows(
    "network disks",
    ("no locks (ENOLCK), in degrade", "one message that asks for a disk with locks", network_disks.no_locks, "degrade"),
    ("no locks (ENOLCK), in train", "one message that asks for a disk with locks", network_disks.no_locks, "train"),
    (
        "no locks (ENOSYS), in pair",
        "one message that asks for a disk with locks",
        network_disks.no_locks,
        "pair",
        errno.ENOSYS,
    ),
    ("a stale handle (ESTALE) at a rename, in degrade", AFTER, network_disks.stale_once, "degrade", errno.ESTALE),
    ("a stale handle (ESTALE) at a rename, in train", AFTER, network_disks.stale_once, "train", errno.ESTALE),
    ("EBUSY at a rename, in pair", AFTER, network_disks.stale_once, "pair", errno.EBUSY),
    ("a rename is done and answers ENOENT", AFTER, network_disks.rename_done_but_refused),
    ("hard links are refused", "files are written in full, the same", network_disks.no_hard_links),
    (".nfs files lie in every directory", "the outcome is the same", network_disks.names_left_behind),
    ("every stat takes 2 ms", "the outcome is the same", network_disks.slow),
    ("a photo gives EIO once", "a failure of that photo; the next run makes it", network_disks.unreadable_once),
)

CLOCKS = rows(
    "clocks",
    *((f"photos of {year}", "the same degraded photos, made once", clocks.photos_of, year) for year in clocks.YEARS),
    ("a photo replaced at equal size and time", "found by content, said, not used", clocks.changed_behind_its_time),
    ("the clock jumps back a year in a training", WEIGHTS, clocks.jumping),
    *((f"{job}, ten years later", "the same bytes", clocks.another_day, job) for job in ("degrade", "pair")),
    ("lock files of ten years ago", "nobody waits", clocks.old_lock),
    ("temporary files from the future", "swept", clocks.temporary_from_the_future),
    ("a run's record from the future", "finished; `latest` finds it", clocks.record_from_the_future),
)

TORN = rows(
    "torn and foreign files",
    *((f"a {kind} photo: {how}", "made again, or named as a stage file to remove", torn.stage_file, kind, job, how)
      for kind, job in (("degraded", "enhance"), ("enhanced", "pair")) for how in torn.SPOIL),
    *((f"a file of a pair: {how}, cache=ram", REFUSED, torn.pair_file, how, "ram")
      for how in torn.SPOILT_PAIRS),
    *((f"a file of a pair: {how}, cache=none", REFUSED, torn.pair_file, how, "none")
      for how in ("flip", "swap")),
    *((f"the pairs' manifest: {how}", REFUSED, torn.manifest, how)
      for how in ("empty", "torn", "version", "settings", "outside", "moved")),
    ("a journal of noise", EQUAL, torn.journal, "\xff\0{]"),
    ("a journal of foreign JSON", EQUAL, torn.journal, '{"stem": 3}\n[]\nnull\n"x"\n{"stem":"a","key":1,"files":[]}'),
    ("a journal that is a folder", ONE, torn.journal, None),
    *((f"a run's record: {what}", "made again or finished, with the numbers of ever", torn.run_record, content)
      for what, content in {
          "torn": '{"state": "fini', "without numbers": '{"state": "finished"}',
          "numbers that are text": '{"state": "finished", "numbers": "good", "tries": "many"}',
          "tries that are none": '{"state": "stopped", "tries": "many", "seconds": "long"}',
      }.items()),
    ("a run's record that is a folder", ONE, torn.run_record, None),
    *((f"last.ckpt of a stopped run: {how}", f"said, another is used; {WEIGHTS}", torn.last_checkpoint, how)
      for how in ("empty", "torn", "pickle")),
    *((f"a checkpoint: {what}", "refused; no code of it runs", torn.checkpoint, *how)
      for what, how in {
          "a pickle that runs code": ("pickle", "no readable checkpoint"),
          "a pickle that runs code in torch's format": ("zip pickle", "no readable checkpoint"),
          "torn": ("torn", "no readable checkpoint"), "the network is os.system": ("os.system", "trust="),
          "the network is a function of torch that downloads": ("subprocess", "no network"),
          "the network is a file in the current folder": ("a file here", "trust="),
          "a network of -3 features": ("impossible", "negative"),
          "a network of a billion features": ("huge",),
          "an option that the network does not have": ("unknown option", "colour"),
          "no weights": ("no weights", "weights"), "NaN weights": ("nan", "NaN"),
          "another version": ("version", "version"),
          "not ours": ("nothing", "not written by"),
      }.items()),
    *((f"a weight file: {how}", "refused; no code of it runs", torn.weights, how, *words)
      for how, *words in (("pickle", "weights.pth"), ("zip pickle", "weights.pth"), ("page", "weights.pth"),
                          ("other network", "weights.pth"), ("nan", "NaN"), ("folder", "weights.pth"))),
    ("the checkpoints of a finished run are deleted", "train makes them again", torn.checkpoints_deleted),
    ("photos replaced by others of equal names and sizes", "another run", torn.other_photos),
    *((f"predict's record: {how}", "what it does not vouch for is made again", torn.prediction_record, how)
      for how in ("noise", "cut", "folder")),
    ("a restored photo is emptied", "it is made again", torn.prediction_record, "result"),
    ("ckpt_path= of another network", "the difference is said", torn.resumed_other),
    ("ckpt_path= of an adversarial run", "the difference is said", torn.resumed_adversarial),
)  # fmt: skip

TOGETHER = rows(
    "concurrency",
    *(
        (f"{n} x {job} at once", "all end well, with the outcome of one", together.writers, job, n)
        for job, n in (("fetch", 4), ("degrade", 4), ("enhance", 2), ("pair", 4))
    ),
    ("two shards of enhance, one killed once", "the stage of one job", together.shards),
    ("the same training twice at once", "one trains, both have its numbers", together.trainings),
    ("busy=skip beside a training", "left to it, exit code 75", together.skipping),
    ("two users on a data directory open to both", "the second finds all made", together.two_users, True),
    ("two users on a data directory of one", ONE, together.two_users, False),
    ("two predictions into one folder", "the outcome of one", together.into_one_output),
    ("a photo vanishes between index and degrade", "a failure of that photo", together.photo_vanishes),
    ("photos arrive between two runs", "only they are made", together.photos_arrive),
    (
        "the holder of a lock is stopped, then killed",
        "the other says that it waits, and goes on",
        together.stopped_holder,
    ),
    ("an evaluation beside the writing of pairs", "both end well", together.reader_beside_writer),
    ("a set grows by half", "at most 2 of 8 change their side, none between val and test", together.growing),
)

PHOTOS = rows(
    "photos",
    *((f"{name}", "refused with its reason, the others are restored", photos.refused, name)
      for name, (_, word) in photos.REFUSED.items() if word),
    ("text bomb.png, 200 MiB of zeros in a chunk", "restored or refused, no memory used up", photos.not_harmful,
     "text bomb.png"),
    *((f"{name}", "refused with its reason", photos.refused, name, word)
      for name, word in (("fifo.png", "regular"), ("zero.png", "regular"), ("nothing.png", "link to nothing"),
                         ("loop.png", "opened"))),
    *((f"{name}", "restored at four times its upright size, looking as it did", photos.read, name,
       *(("first frame",) if name in {"gif in disguise.png", "frames.webp", "apng.png", "pages.tif"} else ()))
      for name in photos.READ),
    *((f"a name of {what}", "restored under its name", photos.named, name) for what, name in photos.NAMES.items()),
    ("pages and endings that are not read", "counted and named by fetch", photos.index_says),
    *((f"GPS, serial number and owner in EXIF, metadata={kind or 'as it comes'}",
       "kept" if kind == "keep" else "left out, the colour profile stays", photos.metadata, kind)
      for kind in ("", "keep", "none")),
)  # fmt: skip

CONFIGURATION = rows(
    "configuration",
    *((what, "one message that names it, before any work", settings.wrong, what) for what in settings.WRONG),
    *((f"{n} photo{'s' * (n > 1)}", "said before any training", settings.few_photos, n) for n in (1, 2)),
)

UPLOAD = "/gradio_api/upload"
DEMO = rows(
    "demo",
    *((f"GET {path}", "nothing of it is shown", attacks.reads, path) for path in (
        "/gradio_api/file=/etc/passwd", "/gradio_api/file={secret}", "/gradio_api/file=../../secret.txt",
        "/gradio_api/file=%2e%2e%2f%2e%2e%2fsecret.txt", "/gradio_api/file={checkpoint}", "/file={secret}",
        "/static/../../../../../../etc/passwd", "/gradio_api/file=http://127.0.0.1:1/secret",
        "/?deep_link=../../../secret")),
    *((f"an upload named {name!r}", "stays in the demo's folder", attacks.upload_named, name)
      for name in ("../../../x.png", "/etc/x.png", "a/../../b.png", ".lock", "x" * 400 + ".png")),
    *((f"POST {path.rsplit('/', 1)[-1]} from {value}", "403, nothing stored", attacks.origin, value, path)
      for value, path in (("http://evil.example", UPLOAD), ("null", UPLOAD), ("http://127.0.0.1:9", UPLOAD),
                          ("http://evil.example", "/gradio_api/queue/join"))),
    ("a foreign name for this address", "refused", attacks.foreign_host),
    ("an upload above limits.file_mb", "refused, not kept", attacks.too_large),
    ("an upload without a length", "refused", attacks.no_length),
    ("six uploads of which three fit limits.hourly_mb", "three are taken", attacks.many),
    *((f"POST {path}: {body[:24]}", "answered; the page lives on", attacks.nonsense, path, body) for path, body in (
        ("/gradio_api/queue/join", "{}"), ("/gradio_api/queue/join", '{"data":[{"path":"/etc/passwd"}],"fn_index":0}'),
        ("/gradio_api/run/predict", "[" * 5000))),
    ("two demos", "two ports, and neither deletes the other's files", attacks.two),
    *((f"it ends by {number.name}", "its files are deleted", attacks.ends, number)
      for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)),
    ("it ends by SIGKILL", "the next demo deletes its files", attacks.ends, signal.SIGKILL),
)  # fmt: skip

CLUSTERS = rows(
    "ranks and launchers",
    ("the second of two DDP ranks is killed", "the job ends, the record says failed", together.ranks, "second"),
    ("the first of two DDP ranks is killed", "the other ends, too", together.ranks, "first"),
    ("a sweep has a job that fails", "the others finish; it says which failed", together.sweep),
    ("a Ray sweep has a job that fails", "the others finish; it says which failed", together.ray),
    ("a SLURM sweep has a job that fails", "the others finish; it says which failed", together.slurm),
)

FAULTS: list[Fault] = [
    *(*KILLS, *DISKS, *NETWORK, *CLOCKS, *TORN, *TOGETHER, *PHOTOS, *CONFIGURATION, *DEMO, *CLUSTERS)
]
