"""Serves the page: on this machine only unless told otherwise, nothing fetched from elsewhere, nothing left behind."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import shutil
import tempfile
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from jewelenh.demonstration.upload import Limits
from jewelenh.errors import ConfigError

STYLE = Path(__file__).with_name("page.css")
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'"
)
"""Whatever the page may contain, the browser asks nobody else for anything."""
SLACK_BYTES = 65536
"""Around an upload, what the form that carries it takes."""


@dataclass(frozen=True)
class Server:
    """Where the page is to be had."""

    host: str = "127.0.0.1"
    """0.0.0.0 shows it to the whole network."""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """null: the first free one from 7860."""
    share: bool = False
    """true asks Gradio's servers for a public link to it."""
    open: bool = False
    """true opens it in a browser."""


class Headers:
    """Adds the policy to every answer; plain ASGI, so that streams stay streams."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Pass a request on."""

        async def with_policy(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                added = {"content-security-policy": POLICY, "referrer-policy": "no-referrer"}
                message["headers"] = [*message["headers"], *((k.encode(), v.encode()) for k, v in added.items())]
            await send(message)

        await self.app(scope, receive, with_policy)


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a folder for uploads and results, Gradio's included, that is deleted in the end."""
    folder = Path(tempfile.mkdtemp(prefix="jewelenh-demo-"))
    os.environ["GRADIO_TEMP_DIR"] = str(folder / "gradio")
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when Gradio is imported, so before that
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def copy_samples(samples: Sequence[Path], folder: Path) -> list[Path]:
    """Copy the sample photos to where the page may serve from, so that no other folder needs to be opened to it."""
    folder.mkdir(parents=True, exist_ok=True)
    return [Path(shutil.copy(path, folder / path.name)) for path in samples]


def is_local(host: str) -> bool:
    """Say whether only this machine reaches the host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def serve(page: Any, server: Server, limits: Limits) -> tuple[str, str | None]:
    """Start serving in the background; return the address, and the public one if that was asked for.

    Raises:
        ConfigError: the port is taken, or the host is none of this machine's.
    """
    import gradio as gr
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    middleware = [Middleware(Headers)]
    if is_local(server.host) and not server.share:  # a foreign name for this address is an attack
        middleware.append(Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", server.host]))
    fonts: dict[str, Any] = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
    try:
        _, local, public = page.launch(
            server_name=server.host, server_port=server.port, share=server.share, inbrowser=server.open,
            prevent_thread_lock=True, quiet=True, show_error=False,
            max_file_size=int(limits.file_mb * 1e6) + SLACK_BYTES,
            theme=gr.themes.Base(primary_hue="amber", neutral_hue="stone", radius_size="md", **fonts),
            css_paths=STYLE, footer_links=[], run_history=False, enable_monitoring=False, ssr_mode=False,
            mcp_server=False, pwa=False, allowed_paths=[], app_kwargs={"middleware": middleware},
            state_session_capacity=100,
        )  # fmt: skip
    except OSError as error:
        raise ConfigError(
            "The page cannot be served there.",
            where=f"server.host={server.host} server.port={server.port}",
            found=error,
            fix="another server.port=, or server.port=null for the first free one; server.host=127.0.0.1",
        ) from error
    return str(local), public
