"""Attacks on the demo, served for real: reading files, filling the disk, other pages' requests, and how it ends."""

from __future__ import annotations

import http.client
import io
import json
import os
import signal
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from place import Place, Process, Skipped

BOUNDARY = "jewelenh"


@contextmanager
def served(place: Place, *more: str) -> Iterator[tuple[int, Process, Path]]:
    """Serve the demo in a process of its own; yield its port, its process and its temporary folder."""
    import importlib.util

    if importlib.util.find_spec("gradio") is None:
        raise Skipped("Gradio is not installed")
    run = place.root / "outputs/train/run/checkpoints"
    if not run.is_dir():
        run.mkdir(parents=True)
        (run / "best.ckpt").write_bytes(place.checkpoint.read_bytes())
    temporary = place.root / "tmp"
    temporary.mkdir(exist_ok=True)

    def patch() -> None:
        import tempfile

        tempfile.tempdir = str(temporary)

    words = [f"paths.output_dir={place.root / 'outputs'}", "limits.file_mb=1", "limits.hourly_mb=3", *more]
    process = place.start("demo", *words, alone=True, patch=patch)
    try:
        process.says(" demo: http")
        line = next(line for line in process.log.read_text().splitlines() if " demo: http" in line)
        yield int(urllib.parse.urlsplit(line.split(" demo: ")[1].split()[0]).port or 0), process, temporary
    finally:
        process.signal(signal.SIGKILL)


_SERVED: dict[Path, tuple[int, Process, Path, object]] = {}


def shared_demo(place: Place) -> tuple[int, Path]:
    """Serve one demo for all attacks that leave it as it is."""
    if place.shared not in _SERVED:
        own = Place(place.shared / "demo", place.shared)
        own.root.mkdir()
        context = served(own)
        _SERVED[place.shared] = (*context.__enter__(), context)
    port, _, temporary, _ = _SERVED[place.shared]
    return port, temporary


def end_shared_demos() -> None:
    """End what `shared_demo` serves."""
    for _, process, _, _ in _SERVED.values():
        process.signal(signal.SIGKILL)
        os.waitpid(process.pid, 0)
    _SERVED.clear()


def ask(
    port: int, path: str, method: str = "GET", body: bytes = b"", headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    """Send one request exactly as given; return status and content."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.putrequest(method, path, skip_host="Host" in (headers or {}), skip_accept_encoding=True)
    given = {**({"Content-Length": str(len(body))} if body else {}), **(headers or {})}
    for name, value in given.items():
        connection.putheader(name, value)
    connection.endheaders()
    if body:
        try:
            connection.send(body)
        except OSError:
            return 413, b"closed"
    answer = connection.getresponse()
    return answer.status, answer.read()


def form(name: str, data: bytes) -> tuple[bytes, dict[str, str]]:
    """Return an upload as a browser's form sends it."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n'
    body = head.encode() + b"Content-Type: image/png\r\n\r\n" + data + f"\r\n--{BOUNDARY}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def photo() -> bytes:
    """Return a small photo."""
    buffer = io.BytesIO()
    Image.fromarray(np.full((24, 24, 3), 200, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def reads(place: Place, path: str) -> None:
    """A request for a file that is not the page's gets nothing of it."""
    port, _ = shared_demo(place)
    secret = place.shared / "secret.txt"
    secret.write_text("the owner's secret")
    status, content = ask(port, path.format(secret=secret, checkpoint=place.checkpoint))
    assert status >= 400 or b"<!doctype html" in content.lower(), f"{status}: {content[:80]!r}"
    assert b"owner's secret" not in content and b"root:" not in content


def upload_named(place: Place, name: str) -> None:
    """An upload of a hostile name stays inside the demo's folder."""
    port, temporary = shared_demo(place)
    before = {path for path in place.shared.rglob("*") if temporary not in path.parents}
    status, content = ask(port, "/gradio_api/upload", "POST", *form(name, photo()))
    if status == 200:
        (stored,) = json.loads(content)
        assert Path(stored).resolve().is_relative_to(temporary.resolve()), stored
    after = {path for path in place.shared.rglob("*") if temporary not in path.parents}
    assert after == before, after - before


def origin(place: Place, value: str, path: str) -> None:
    """A request that a page of another origin sends is refused, and nothing is stored."""
    port, temporary = shared_demo(place)
    before = sum(1 for _ in temporary.rglob("*"))
    body, headers = form("a.png", photo())
    status, _ = ask(port, path, "POST", body, {**headers, "Origin": value})
    assert status == 403, status
    assert sum(1 for _ in temporary.rglob("*")) == before
    same = ask(port, "/gradio_api/upload", "POST", body, {**headers, "Origin": f"http://127.0.0.1:{port}"})
    assert same[0] == 200, same


def foreign_host(place: Place) -> None:
    """A foreign name for this address (DNS rebinding) is refused."""
    port, _ = shared_demo(place)
    status, _ = ask(port, "/", headers={"Host": "evil.example"})
    assert status == 400, status


def too_large(place: Place) -> None:
    """A file above limits.file_mb is refused and not kept."""
    port, temporary = shared_demo(place)
    status, _ = ask(port, "/gradio_api/upload", "POST", *form("big.png", bytes(1_400_000)))
    assert status in {413, 400, 422}, status
    assert not [path for path in temporary.rglob("*") if path.is_file() and path.stat().st_size > 1_200_000]


def no_length(place: Place) -> None:
    """An upload that does not say its length is refused."""
    port, _ = shared_demo(place)
    _, headers = form("a.png", b"")
    status, _ = ask(port, "/gradio_api/upload", "POST", b"", {**headers, "Transfer-Encoding": "chunked"})
    assert status == 411, status


def many(place: Place) -> None:
    """Uploads are bounded together."""
    with served(place) as (port, _, temporary):
        statuses = [
            ask(port, "/gradio_api/upload", "POST", *form(f"{n}.png", bytes(900_000) + bytes([n])))[0] for n in range(6)
        ]
        kept = sum(path.stat().st_size for path in (temporary).rglob("*") if path.is_file())
    assert statuses[:3] == [200] * 3 and set(statuses[3:]) == {413}, statuses
    assert kept < 4_500_000, kept


def ends(place: Place, number: int) -> None:
    """However the demo is ended, its files are deleted; after SIGKILL by the next demo."""
    with served(place) as (port, process, temporary):
        assert ask(port, "/gradio_api/upload", "POST", *form("a.png", photo()))[0] == 200
        process.signal(number)
        ended = process.wait(60)
        left = list(temporary.glob("jewelenh-demo-*"))
    if number != signal.SIGKILL:
        assert ended.code in {0, 128 + number}, f"exit code {ended.code}: {ended.said[-300:]}"
        assert not left, left
        return
    assert left
    with served(place) as (_, process, temporary):
        assert not left[0].exists(), "what the killed demo left is still there"
        process.signal(signal.SIGTERM)
        process.wait(60)
    assert not list(temporary.glob("jewelenh-demo-*"))


def two(place: Place) -> None:
    """A second demo takes another port and leaves the files of the first alone."""
    port, temporary = shared_demo(place)
    (first,) = temporary.glob("jewelenh-demo-*")
    other = Place(place.root, place.shared)
    (place.root / "tmp").symlink_to(temporary)
    with served(other) as (second_port, process, _):
        assert second_port != port
        process.signal(signal.SIGTERM)
        process.wait(60)
    assert first.is_dir() and ask(port, "/")[0] == 200


def nonsense(place: Place, path: str, body: str) -> None:
    """Calls of what the page calls, with nonsense, are answered, and the page lives on."""
    port, _ = shared_demo(place)
    status, content = ask(port, path, "POST", body.encode(), {"Content-Type": "application/json"})
    assert b"Traceback" not in content, content[:200]
    time.sleep(0.3)
    assert ask(port, "/")[0] == 200, status
