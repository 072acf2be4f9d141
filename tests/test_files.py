"""Locks: one holder at a time, free as soon as the holder is gone, and a place without locks is said."""

import errno
import fcntl
import multiprocessing
import os
import signal
import time

import pytest

from jewelenh.errors import BusyError, StageError
from jewelenh.files import lock, remove_leftovers, write_atomically


def hold(path, held) -> None:
    with lock(path):
        held.set()
        time.sleep(60)


def hold_in_another_process(path) -> multiprocessing.process.BaseProcess:
    context = multiprocessing.get_context("fork")
    held = context.Event()
    process = context.Process(target=hold, args=(path, held))
    process.start()
    assert held.wait(20)
    return process


def test_a_held_lock_is_refused_or_waited_for_and_freed_by_a_kill(tmp_path):
    process = hold_in_another_process(tmp_path / ".lock")
    with pytest.raises(BusyError), lock(tmp_path / ".lock", blocking=False):
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with lock(tmp_path / ".lock"):
        pass
    assert (tmp_path / ".lock").is_file()


def test_what_killed_processes_left_is_removed_and_what_others_write_is_not(tmp_path):
    context = multiprocessing.get_context("fork")

    def killed_while_writing():
        os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
        write_atomically(tmp_path / "deep" / "a.png", b"x")

    process = context.Process(target=killed_while_writing)
    process.start()
    process.join(20)
    (left,) = (tmp_path / "deep").iterdir()
    alive = left.with_name(left.name.replace(f"-{process.pid}-", f"-{os.getppid()}-"))
    elsewhere = left.with_name(left.name.replace(left.name.split(".")[-2].split("-")[0], "00000000"))
    own = left.with_name(".notes.tmp")
    for path in (alive, elsewhere, own):
        path.write_bytes(b"x")
    remove_leftovers(tmp_path)
    assert not left.exists() and alive.exists() and elsewhere.exists() and own.exists()


def test_who_waits_says_so(tmp_path, caplog):
    caplog.set_level("INFO")
    process = hold_in_another_process(tmp_path / ".lock")
    context = multiprocessing.get_context("fork")
    killer = context.Process(target=lambda: (time.sleep(0.5), os.kill(process.pid, signal.SIGKILL)))
    killer.start()
    with lock(tmp_path / ".lock"):
        assert f"waiting for another process that works in {tmp_path}" in caplog.text
    killer.join()
    process.join()


def test_a_process_that_was_forked_meanwhile_does_not_free_the_lock(tmp_path):
    context = multiprocessing.get_context("fork")
    with lock(tmp_path / ".lock"):
        forked = context.Process(target=print)
        forked.start()
        forked.join()
        with pytest.raises(BusyError), lock(tmp_path / ".lock", blocking=False):
            pass


def test_the_lock_is_freed_where_the_block_fails(tmp_path):
    with pytest.raises(ZeroDivisionError), lock(tmp_path / ".lock"):
        raise ZeroDivisionError
    with lock(tmp_path / ".lock", blocking=False):
        pass


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch, code):
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StageError, match=r"(?s)Cannot lock: .*fix: .*file locks") as caught, lock(tmp_path / ".lock"):
        pass
    assert str(tmp_path / ".lock") in str(caught.value)
