"""W&B goes offline by itself, asks nothing, and waits for nothing."""

import socket

import pytest

from jewelenh.training import loggers


@pytest.fixture
def clean(monkeypatch, tmp_path):
    for name in ("WANDB_MODE", "WANDB_API_KEY", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_MODE", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    return monkeypatch


def test_without_a_key_it_is_offline(clean):
    assert loggers.wandb_mode() == "offline"


def test_without_a_network_it_is_offline(clean):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    clean.setenv("WANDB_API_KEY", "0" * 40)
    clean.setattr(
        loggers.socket, "create_connection", lambda *a, **k: (_ for _ in ()).throw(OSError(f"{port} refused"))
    )
    assert loggers.wandb_mode() == "offline"


def test_with_key_and_network_it_is_online(clean, tmp_path):
    (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password key\n")
    with socket.create_server(("127.0.0.1", 0)) as server:
        real = socket.create_connection
        clean.setattr(loggers.socket, "create_connection", lambda *a, **k: real(server.getsockname()))
        assert loggers.wandb_mode() == "online"


def test_a_chosen_mode_stays(clean):
    clean.setenv("WANDB_MODE", "disabled")
    assert loggers.wandb_mode() == "disabled"
