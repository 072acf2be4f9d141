"""Sources: what counts as a photo, a choice that only grows, and a Kaggle download against a local server."""

import http.server
import io
import threading
import zipfile
from typing import get_args, get_type_hints

import pytest
from PIL import Image

from jewelenh.config import Source
from jewelenh.errors import SourceError
from jewelenh.job import CONF_DIR
from jewelenh.sources import SAMPLE_DIR, SOURCES, check_source, choose, download_dataset, fetch, find_photos

ENDINGS = (".jpg", ".png")


def test_photos_are_found_below_and_hidden_files_are_not(tmp_path):
    for name in ["b/x.JPG", "a.png", "b/.hidden.jpg", ".git/y.jpg", "b/notes.txt", "b/c/z 'q' \n.png"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert find_photos(tmp_path, ENDINGS) == ["a.png", "b/c/z 'q' \n.png", "b/x.JPG"]


def test_no_folder_and_no_photos_are_said(tmp_path):
    with pytest.raises(SourceError, match="not there"):
        find_photos(tmp_path / "nowhere", ENDINGS)
    with pytest.raises(SourceError, match="No photos were found"):
        find_photos(tmp_path, ENDINGS)


def test_a_larger_limit_only_adds():
    stems = [f"p{n}.jpg" for n in range(100)]
    small, large = choose(stems, 60, 42), choose(stems[::-1], 70, 42)
    assert len(small) == 60 and set(small) < set(large)
    assert choose(stems, 60, 43) != small
    assert choose(stems, None, 42) == sorted(stems)


def test_fetch_indexes_by_content_and_only_what_is_new(photos, tmp_path):
    source = Source(kind="folder", root=photos)
    first = fetch(source, 42, tmp_path / "data")
    assert [item.stem for item in first.items][:2] == ["necklaces/p00.png", "necklaces/p02.png"]
    assert first.n_made == 12 and first.file(first.items[0]) == photos / "necklaces/p00.png"
    assert fetch(source, 42, tmp_path / "data").n_made == 0
    (photos / "rings/p01.png").write_bytes((photos / "rings/p03.png").read_bytes())
    again = fetch(source, 42, tmp_path / "data")
    keys = {item.stem: item.key for item in again.items}
    assert again.n_made == 1 and keys["rings/p01.png"] == keys["rings/p03.png"]


def test_frames_after_the_first_and_other_endings_are_said(photos, tmp_path, caplog):
    frames = [Image.new("RGB", (48, 48), colour) for colour in ("red", "blue")]
    frames[0].save(photos / "pages.tif", save_all=True, append_images=frames[1:])
    (photos / "a.heic").write_bytes(b"x")
    caplog.set_level("INFO")
    for _ in range(2):  # what is indexed already is said again
        caplog.clear()
        fetch(Source(kind="folder", root=photos), 42, tmp_path / "data")
        assert "only the first frame or page is read of 1: pages.tif" in caplog.text
        assert "for their endings: 1 .heic" in caplog.text


def test_unreadable_photos_are_failures_not_stops(photos, tmp_path):
    (photos / "empty.png").write_bytes(b"")
    (photos / "gone.png").symlink_to(photos / "nothing.png")
    selection = fetch(Source(kind="folder", root=photos), 42, tmp_path / "data")
    assert set(selection.failures) == {"empty.png", "gone.png"}
    assert len(selection.items) == 12


def test_the_sample_is_inside_the_package(tmp_path):
    selection = fetch(Source(kind="sample"), 42, tmp_path / "data")
    assert len(selection.items) == 96
    assert all(selection.file(item).is_relative_to(SAMPLE_DIR) for item in selection.items)


@pytest.fixture
def kaggle_server(monkeypatch, tmp_path):
    """A local server that answers the client's download request with a zip of two photos."""
    import kagglesdk.kaggle_env as environment

    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("ring/a.jpg", b"one")
        file.writestr("necklace/b.jpg", b"two")
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(archive.getvalue())))
            self.send_header("Last-Modified", "Sun, 01 Nov 2026 00:00:00 GMT")
            self.end_headers()
            self.wfile.write(archive.getvalue())

        do_POST = do_GET  # noqa: N815

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")
    monkeypatch.setenv("KAGGLE_USERNAME", "someone")
    monkeypatch.setenv("KAGGLE_KEY", "0" * 32)
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setitem(
        environment._env_to_endpoint, environment.KaggleEnv.LOCAL, f"http://127.0.0.1:{server.server_port}"
    )
    yield asked
    server.shutdown()


def test_a_kaggle_data_set_is_downloaded_once(kaggle_server, tmp_path):
    folder = tmp_path / "raw"
    download_dataset("someone/rings", folder)
    assert (folder / "ring/a.jpg").read_bytes() == b"one"
    n_asked = len(kaggle_server)
    assert n_asked > 0
    download_dataset("someone/rings", tmp_path / "raw")
    assert len(kaggle_server) == n_asked
    assert find_photos(folder, ENDINGS) == ["necklace/b.jpg", "ring/a.jpg"]


def test_no_kaggle_credentials_are_said(monkeypatch, tmp_path):
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    with pytest.raises(SourceError) as caught:
        download_dataset("someone/rings", tmp_path / "raw")
    assert "no Kaggle credentials" in str(caught.value)
    with pytest.raises(SourceError, match="no Kaggle credentials"):
        check_source(Source(kind="kaggle", dataset="someone/rings"), tmp_path)
    assert not (tmp_path / "raw").exists()


def test_the_check_finds_a_wrong_root_and_reads_nothing(photos, tmp_path):
    check_source(Source(kind="sample"), tmp_path / "data")
    check_source(Source(kind="folder", root=photos), tmp_path / "data")
    with pytest.raises(SourceError, match=r"source\.root="):
        check_source(Source(kind="folder", root=photos / "nowhere"), tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_the_check_of_a_kaggle_data_set_downloads_nothing(kaggle_server, tmp_path):
    check_source(Source(kind="kaggle", dataset="someone/rings"), tmp_path)
    assert not kaggle_server and not list(tmp_path.glob("raw*"))


def test_every_kind_of_source_has_its_function_and_its_file():
    assert set(SOURCES) == set(get_args(get_type_hints(Source)["kind"]))
    assert set(SOURCES) == {file.stem for file in (CONF_DIR / "source").glob("*.yaml")}
