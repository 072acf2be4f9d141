"""The job before anything is served: what it needs, what it refuses, and to whom it shows itself."""

import socket

import pytest
from demo_parts import write_checkpoint

from jewelenh.demonstration.server import copy_samples, is_local, temporary_folder, with_policy


def test_without_a_checkpoint_it_says_how_to_get_one(run_job):
    outcome = run_job("demo")
    assert outcome.code == 1, outcome.err
    assert "python -m jewelenh.train experiment=moderate" in outcome.err and "Traceback" not in outcome.err


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
        f"  name: {name}" for name in ("mild", "moderate", "severe", "steamy", "study")
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


def test_every_answer_carries_the_policy():
    import asyncio

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
