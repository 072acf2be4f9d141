"""Job: a page in the browser that restores dropped photos."""

from __future__ import annotations

import logging
import signal
import threading
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from jewelenh.composed import plain
from jewelenh.job import job

log = logging.getLogger(__name__)

SAMPLES = (
    *("large/necklace_029.jpg", "large/ring_021.jpg", "large/ring_048.jpg"),
    *("photos/rings/ring_041.jpg", "photos/necklaces/necklace_028.jpg", "photos/rings/ring_047.jpg"),
)
"""Embedded photos that the page offers."""


@job("demo")
def main(cfg: DictConfig) -> None:
    """Run `python -m jewelenh.demo`."""
    import functools
    import importlib.util

    from jewelenh.config import Degradation, Hardware, parse
    from jewelenh.demonstration.server import Server, copy_samples, serve, temporary_folder
    from jewelenh.demonstration.trained import find_trained
    from jewelenh.demonstration.upload import Limits
    from jewelenh.demonstration.work import Workshop
    from jewelenh.errors import JewelenhError
    from jewelenh.refinement.runs import find_checkpoint

    values = plain(cfg)
    server, limits = parse(Server, values["server"], "server"), parse(Limits, values["limits"], "limits")
    hardware = parse(Hardware, values["hardware"], "hardware")
    levels = {name: parse(Degradation, level, f"levels.{name}") for name, level in values["levels"].items()}
    if importlib.util.find_spec("gradio") is None:
        raise JewelenhError("The demo needs Gradio.", fix="pip install 'jewelenh[demo]'")
    output_dir = Path(values["paths"]["output_dir"])
    latest = values["checkpoint"] == "latest"
    given = None if latest else find_checkpoint(values["checkpoint"], output_dir)
    trained = functools.partial(find_trained, output_dir, given)
    chosen = trained()[0]
    cache_dir = values["paths"]["cache_dir"]
    logging.getLogger("httpx").setLevel(logging.WARNING)  # Gradio asks itself whether it is there
    stopped = _until_signal()
    with temporary_folder() as folder:
        from jewelenh.demonstration.page import build

        workshop = Workshop(
            levels, values["seed"], folder / "results", Path(cache_dir) if cache_dir else None, hardware
        )
        here = Path(__file__).parent / "sample"
        page = build(workshop, trained, copy_samples([here / name for name in SAMPLES], folder / "samples"), limits)
        try:
            local, public = serve(page, server, limits)
            log.info("checkpoint: %s", chosen.file)
            log.info("demo: %s%s (Ctrl-C ends it)", local, f" and {public}" if public else "")
            stopped.wait()
        finally:
            page.close(verbose=False)
            workshop.close()
    log.info("demo: ended, its files are deleted")


def _until_signal() -> threading.Event:
    """Return what is set by Ctrl-C or SIGTERM, so that the files are deleted however the demo ends."""
    stopped = threading.Event()

    def stop(*_: Any) -> None:
        stopped.set()

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
    return stopped


if __name__ == "__main__":
    main()
