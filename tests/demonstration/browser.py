"""The demo as its users meet it: a process of its own, and a page of it in headless Chromium."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

STARTED_WITHIN_S, DONE_WITHIN_MS = 120, 90_000


@dataclass
class Demo:
    """A demo that is being served."""

    url: str
    process: subprocess.Popen[str]
    temporary: Path
    """What it takes for the system's temporary folder."""
    log: Path

    def end(self) -> int:
        """Ask it to end, as Ctrl-C does, and return its exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


@contextmanager
def demo(folder: Path, *overrides: str) -> Iterator[Demo]:
    """Run `python -m jewelenh.demo` until the block ends."""
    temporary, log = folder / "tmp", folder / "demo.log"
    temporary.mkdir(parents=True)
    command = [sys.executable, "-m", "jewelenh.demo", f"paths.output_dir={folder / 'outputs'}", *overrides]
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, "TMPDIR": str(temporary)}, stderr=output, stdout=output, text=True
        )
    try:
        yield Demo(_address(process, log), process, temporary, log)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _address(process: subprocess.Popen[str], log: Path) -> str:
    until = time.monotonic() + STARTED_WITHIN_S
    while time.monotonic() < until and process.poll() is None:
        for line in log.read_text().splitlines():
            if " demo: http" in line:
                return line.split(" demo: ")[1].split()[0]
        time.sleep(0.2)
    raise AssertionError(f"the demo did not start:\n{log.read_text()}")


def chromium() -> str:
    """Return the browser to test with, or skip and say so."""
    found = os.environ.get("JEWELENH_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        pytest.skip("no Chromium: install one, or name it with JEWELENH_CHROMIUM=<path>")
    return found


@dataclass
class Visit:
    """One page, and what it asked for and complained of."""

    page: Any
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def hear(self, said: Any) -> None:
        """Keep an error, but for one of Gradio's own: it asks for the progress of an upload that was quicker."""
        if said.type == "error" and "upload_progress" not in said.location.get("url", "") and said.text != "Response":
            self.complaints.append(f"{said.text} {said.location}")

    def drop(self, file: Path, box: str = "#photo") -> None:
        """Drop a file and wait for what comes of it."""
        self.page.set_input_files(f"{box} input[type=file]", str(file))

    def choose(self, box: str, option: str) -> None:
        """Choose an option of a dropdown."""
        self.page.locator(f"{box} input").click()
        self.page.get_by_role("option", name=option, exact=True).click()
        self.page.wait_for_selector("[role=option]", state="detached")  # the list fades away

    def wait_for(self, selector: str, **options: Any) -> Any:
        """Wait until something is there, and return it."""
        self.page.wait_for_selector(selector, timeout=DONE_WITHIN_MS, **options)
        return self.page.locator(selector)

    def download(self, button: str = "#download") -> tuple[str, bytes]:
        """Click a download button; return the file's name and content."""
        with self.page.expect_download(timeout=DONE_WITHIN_MS) as caught:
            self.page.locator(button).click()
        return caught.value.suggested_filename, Path(caught.value.path()).read_bytes()


@contextmanager
def visit(browser: Any, url: str, width: int = 1360, height: int = 900) -> Iterator[Visit]:
    """Open the page; every request and every error on the console is kept."""
    context = browser.new_context(viewport={"width": width, "height": height}, accept_downloads=True)
    page = context.new_page()
    visit = Visit(page)
    page.on("request", lambda request: visit.requests.append(request.url))
    page.on("console", visit.hear)
    page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    try:
        page.goto(url)
        visit.wait_for("#samples img")
        yield visit
    finally:
        context.close()
