"""The job before anything is served: what it needs, what it refuses, and to whom it shows itself."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from demo_parts import write_checkpoint

from jewelenh.demonstration.server import (
    copy_samples,
    guarded,
    is_local,
    temporary_folder,
    until_signal,
    with_policy,
)


@pytest.mark.parametrize(
    ("override", "code", "words"),
    [
        ("server.port=70000", 2, "server.port = 70000"),
        ("limits.megapixels=0", 2, "limits.megapixels = 0"),
        ("limits.queue=none", 2, "limits.queue"),
        ("server.hots=x", 2, "Did you mean"),
        ("checkpoint=none.ckpt", 1, "no such checkpoint"),
    ],
)
def test_wrong_values_stop_before_anything_is_served(run_job, override, code, words):
    outcome = run_job("demo", override)
    assert outcome.code == code, outcome.err
    assert words in outcome.err and "Traceback" not in outcome.err


def test_a_level_of_ones_own_is_offered_and_checked(run_job, tmp_path):
    from jewelenh.job import CONF_DIR

    own = tmp_path / "own" / "degradation"
    own.mkdir(parents=True)
    text = (CONF_DIR / "degradation" / "mild.yaml").read_text().replace("name: mild", "name: steamy")
    (own / "steamy.yaml").write_text(text)
    shown = run_job("demo", "--config-dir", str(own.parent), "--cfg", "job", "--resolve", "--package", "levels").out
    assert [line for line in shown.splitlines() if line.startswith("  name: ")] == [
        f"  name: {name}" for name in ("all", "mild", "moderate", "severe", "steamy", "study")
    ]
    (own / "steamy.yaml").write_text(text.replace("probability: 0.9", "probability: 2"))
    outcome = run_job("demo", "--config-dir", str(own.parent))
    assert outcome.code == 2, outcome.err
    assert "levels.steamy.blur.probability = 2" in outcome.err and "Traceback" not in outcome.err


def test_without_gradio_it_says_what_to_install(run_job, monkeypatch):
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "gradio" else real(name, *rest)
    )
    outcome = run_job("demo")
    assert outcome.code == 1 and "jewelenh[demo]" in outcome.err


@pytest.mark.slow
def test_a_port_that_is_taken_is_one_message(run_job, tmp_path, tiny_weights):
    pytest.importorskip("gradio", reason="the demo's extra is not installed")
    write_checkpoint(tmp_path / "outputs/train/run/checkpoints/best.ckpt", tiny_weights)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        outcome = run_job("demo", f"server.port={taken.getsockname()[1]}")
    assert outcome.code == 2, outcome.err
    assert "cannot be served there" in outcome.err and "server.port" in outcome.err and "Traceback" not in outcome.err


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("192.168.0.3", False),
        ("a.b", False),
    ],
)
def test_who_can_reach_a_host(host, local):
    assert is_local(host) is local


def test_the_defaults_show_it_to_this_machine_only(run_job):
    outcome = run_job("demo", "--cfg", "job", "--resolve")
    assert outcome.code == 0
    assert "host: 127.0.0.1" in outcome.out and "share: false" in outcome.out


def test_the_temporary_folder_is_gone_in_the_end_even_after_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    photo = tmp_path / "a.jpg"
    photo.write_bytes(b"x")
    with pytest.raises(RuntimeError), temporary_folder() as folder:
        assert copy_samples([photo], folder / "samples")[0].read_bytes() == b"x"
        raise RuntimeError
    assert not folder.exists() and photo.exists()


def test_a_later_start_deletes_what_killed_demos_left_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code = (
        "import os; from jewelenh.demonstration.server import temporary_folder as t\n"
        "with t() as f: (f / 'photo.jpg').write_bytes(b'x'); print(f, flush=True); os.kill(os.getpid(), 9)"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    killed = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    left, other = Path(killed.stdout.strip()), tmp_path / "jewelenh-demo-notes"
    other.mkdir()
    (tmp_path / "jewelenh-demo-link").symlink_to(left)
    assert killed.returncode == -9 and (left / "photo.jpg").exists()
    with temporary_folder() as first:
        assert not left.exists() and other.exists()
        with temporary_folder():
            assert first.exists()  # its demo lives


def test_a_closed_terminal_ends_it_and_nohup_does_not(monkeypatch):
    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        stopped = until_signal()
        os.kill(os.getpid(), signal.SIGHUP)
        assert stopped.wait(10)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        stopped = until_signal()
        os.kill(os.getpid(), signal.SIGHUP)
        assert not stopped.is_set()
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def answered(app, method="POST", path="/gradio_api/upload", **headers):
    """Return the status with which an ASGI app answers."""
    sent = []

    async def send(message):
        sent.append(message)

    found = [(name.replace("_", "-").encode(), str(value).encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": found}
    asyncio.run(app(scope, None, send))
    return sent[0]["status"]


def passing(limit_bytes=100.0, kept_s=3600.0):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})

    return guarded(app, limit_bytes, kept_s)


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://127.0.0.1:7860", 200), *((other, 403) for other in ("http://evil.example", "http://[::1]:9", "null"))],
)
def test_a_page_of_another_origin_sends_nothing(origin, status):
    here = {"host": "127.0.0.1:7860", "content_length": 9}
    assert answered(passing(), origin=origin, **here) == status
    assert answered(passing(), path="/gradio_api/queue/join", origin=origin, **here) == status
    assert answered(passing(), method="GET", origin=origin, **here) == 200
    assert answered(passing(), **here) == 200  # no browser


def test_uploads_are_bounded_together():
    app = passing(limit_bytes=100)
    assert [answered(app, content_length=n) for n in (60, 40, 1)] == [200, 200, 413]
    assert answered(app, path="/gradio_api/queue/join", content_length=50) == 200
    assert answered(passing()) == answered(passing(), content_length="-5") == 411
    app = passing(limit_bytes=100, kept_s=-1)  # deleted by now
    assert [answered(app, content_length=80) for _ in range(3)] == [200, 200, 200]


def test_every_answer_carries_the_policy():
    sent = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
        await send({"type": "http.response.body", "body": b"x"})

    async def keep(message):
        sent.append(message)

    asyncio.run(with_policy(app)({"type": "http"}, None, keep))
    headers = dict(sent[0]["headers"])
    assert headers[b"a"] == b"b" and b"default-src 'self'" in headers[b"content-security-policy"]
    assert sent[1]["body"] == b"x"
