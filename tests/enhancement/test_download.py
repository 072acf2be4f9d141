from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from jewelenh.enhancement.weights import WeightFile
from jewelenh.errors import WeightsError
from jewelenh.manifest import sha256_of

CONTENT = bytes(range(256)) * 4000


@dataclass
class Server:
    """A local server that serves CONTENT, in ranges unless told otherwise, and remembers what it was asked."""

    url: str
    knows_ranges: bool = True
    cuts_off_after: int | None = None
    status: int = 200
    asked: list[str | None] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.asked.append(wanted)
            if state.status != 200:
                self.send_error(state.status)
                return
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and state.knows_ranges else 0
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(CONTENT) - start))
            self.end_headers()
            self.wfile.write(CONTENT[start : start + (state.cuts_off_after or len(CONTENT))])

        def log_message(self, *_: object) -> None:
            pass

    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = Server(f"http://127.0.0.1:{listening.server_port}/weights.pth")
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    yield state
    listening.shutdown()
    thread.join()
    listening.server_close()


def release(url: str, content: bytes = CONTENT) -> WeightFile:
    return WeightFile("weights.pth", sha256_of(content), url=url, n_bytes=len(content))


def test_downloads_once_into_a_new_cache(server, tmp_path):
    cache = tmp_path / "some" / "cache"
    assert release(server.url).read(cache) == CONTENT
    assert release(server.url).read(cache) == CONTENT
    assert len(server.asked) == 1
    assert [path.name for path in cache.iterdir() if not path.name.startswith(".")] == ["weights.pth"]


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_a_download_that_broke_off_goes_on(server, tmp_path, knows_ranges):
    server.cuts_off_after, server.knows_ranges = 300_000, knows_ranges
    with pytest.raises(WeightsError, match="run again to go on where it stopped"):
        release(server.url).read(tmp_path)
    assert not (tmp_path / "weights.pth").exists()
    server.cuts_off_after = None
    assert release(server.url).read(tmp_path) == CONTENT
    assert server.asked == [None, "bytes=300000-"]


def test_a_finished_part_needs_no_network(tmp_path):
    (tmp_path / "weights.pth.part").write_bytes(CONTENT)
    assert release("http://127.0.0.1:9/weights.pth").read(tmp_path) == CONTENT


def explains_the_fix(error: WeightsError, url: str, cache: object) -> None:
    text = str(error)
    assert url in text
    assert sha256_of(CONTENT) in text
    assert f"put that file at {cache}" in text
    assert "enhancer.weights=" in text


def test_wrong_content_is_not_kept(server, tmp_path):
    wanted = WeightFile("weights.pth", sha256_of(b"something else"), url=server.url, n_bytes=len(CONTENT))
    with pytest.raises(WeightsError, match="not the published one") as caught:
        wanted.read(tmp_path)
    assert sha256_of(CONTENT) in str(caught.value)
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == []


def test_a_spoilt_cache_is_refused_not_used(server, tmp_path):
    (tmp_path / "weights.pth").write_bytes(b"spoilt")
    with pytest.raises(WeightsError, match="wrong hash") as caught:
        release(server.url).read(tmp_path)
    explains_the_fix(caught.value, server.url, tmp_path / "weights.pth")
    assert sha256_of(b"spoilt") in str(caught.value)


def test_offline(tmp_path):
    url = "http://127.0.0.1:9/weights.pth"  # the discard port: nobody listens
    with pytest.raises(WeightsError, match="could not be downloaded") as caught:
        release(url).read(tmp_path)
    explains_the_fix(caught.value, url, tmp_path / "weights.pth")


def test_the_server_says_no(server, tmp_path):
    server.status = 404
    with pytest.raises(WeightsError, match="404") as caught:
        release(server.url).read(tmp_path)
    explains_the_fix(caught.value, server.url, tmp_path / "weights.pth")


def test_a_cache_that_cannot_be_written(server, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(WeightsError, match=r"(?s)cache cannot be written.*paths.cache_dir="):
        release(server.url).read(tmp_path / "cache")
