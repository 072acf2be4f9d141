"""Serves the page: on this machine only unless told otherwise, nothing fetched from elsewhere, nothing left behind."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import shutil
import signal
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jewelenh.config import Limits, Server
from jewelenh.demonstration.checkpoints import Trained
from jewelenh.demonstration.session import Session
from jewelenh.errors import ConfigError, JewelenhError
from jewelenh.files import lock

log = logging.getLogger(__name__)

SAMPLE_DIR = Path(__file__).resolve().parent.parent / "sample"
SAMPLES = (
    *("large/necklace_029.jpg", "large/ring_021.jpg", "large/ring_048.jpg"),
    *("photos/rings/ring_041.jpg", "photos/necklaces/necklace_028.jpg", "photos/rings/ring_047.jpg"),
)
"""Embedded photos that the page offers."""
STYLE = Path(__file__).with_name("page.css")
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'"
)
"""Whatever the page may contain, the browser asks nobody else for anything."""
PREFIX, LOCK = "jewelenh-demo-", ".lock"
"""Of the temporary folder, and in it."""
SLACK_BYTES = 65536
"""Around an upload, what the form that carries it takes."""


def with_policy(app: Any) -> Any:
    """Add the policy to every answer of an ASGI app, so that streams stay streams."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        async def send_with_policy(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    (b"content-security-policy", POLICY.encode()),
                    (b"referrer-policy", b"no-referrer"),
                ]
            await send(message)

        await app(scope, receive, send_with_policy)

    return answer


def guarded(app: Any, limit_bytes: float, kept_s: float) -> Any:
    """Refuse what a page of another origin sends, and uploads beyond `limit_bytes` within the `kept_s` they are kept.

    A browser sends forms of foreign pages with this machine's rights, and says in `Origin` whose they are.
    """
    taken: deque[tuple[float, int]] = deque()

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["method"] not in {"GET", "HEAD", "OPTIONS"}:
            refusal = _refusal(scope, taken, limit_bytes, time.monotonic() - kept_s)
            if refusal is not None:
                await refusal(scope, receive, send)
                return
        await app(scope, receive, send)

    return answer


def _refusal(scope: Any, taken: deque[tuple[float, int]], limit_bytes: float, since_s: float) -> Any:
    """Return the answer to a request that is refused, else None; an upload that is let in is added to `taken`."""
    from starlette.responses import PlainTextResponse

    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    own = {headers.get("host"), headers.get("x-forwarded-host")}
    if "origin" in headers and urlsplit(headers["origin"]).netloc not in own:
        return PlainTextResponse("This page takes nothing from pages of other origins.", 403)
    if not scope["path"].endswith("/upload"):
        return None
    if not headers.get("content-length", "").isdigit():
        return PlainTextResponse("An upload says how long it is.", 411)
    while taken and taken[0][0] < since_s:
        taken.popleft()
    n_bytes = int(headers["content-length"])
    if n_bytes + sum(size for _, size in taken) > limit_bytes:
        return PlainTextResponse("There is no room for more uploads now (limits.hourly_mb).", 413)
    taken.append((time.monotonic(), n_bytes))
    return None


def run(
    server: Server, limits: Limits, session: Session, trained: Callable[[], Sequence[Trained]], folder: Path
) -> None:
    """Serve the page until Ctrl-C or SIGTERM; `folder` is the `temporary_folder` around it."""
    from jewelenh.demonstration.page import build

    logging.getLogger("httpx").setLevel(logging.WARNING)  # Gradio asks itself whether it is there
    chosen, stopped = trained()[0], until_signal()
    page = build(session, trained, copy_samples([SAMPLE_DIR / name for name in SAMPLES], folder / "samples"), limits)
    try:
        local, public = serve(page, server, limits)
        log.info("checkpoint: %s", chosen.file)
        log.info("demo: %s%s (Ctrl-C ends it)", local, f" and {public}" if public else "")
        stopped.wait()
    finally:
        page.close(verbose=False)


def until_signal() -> threading.Event:
    """Return what Ctrl-C, SIGTERM or a closed terminal sets, so that the files are deleted however the demo ends."""
    stopped = threading.Event()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                signal.signal(number, lambda *_: stopped.set())
    return stopped


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a folder for uploads and results, Gradio's included, that is deleted in the end.

    What demos left that could not do so, because they were killed, is deleted first: their locks are free.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{LOCK}"):
        if not left.parent.is_symlink():
            with contextlib.suppress(JewelenhError), lock(left, blocking=False):
                shutil.rmtree(left.parent, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    os.environ["GRADIO_TEMP_DIR"] = str(folder / "gradio")
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when Gradio is imported, so before that
    with lock(folder / LOCK):
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

    from jewelenh.demonstration.page import DELETE_AFTER_S, DELETE_EVERY_S

    kept = {"limit_bytes": limits.hourly_mb * 1e6, "kept_s": DELETE_AFTER_S + DELETE_EVERY_S}
    middleware = [Middleware(with_policy), Middleware(guarded, **kept)]
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
