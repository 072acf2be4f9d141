"""What the page does when something on it is used: from plain values to what the components show."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from jinja2 import Environment, PackageLoader

from jewelenh.config import Limits, Output
from jewelenh.demonstration.checkpoints import Trained, choices
from jewelenh.demonstration.comparison import SCORED, View, panel, whole
from jewelenh.demonstration.session import Request, Result, Session, read_upload
from jewelenh.errors import JewelenhError
from jewelenh.sources import say_frames

log = logging.getLogger(__name__)

AS_IT_IS = "as it is"
FORMATS = {"as the original": "same", "PNG": "png", "JPEG": "jpg", "WebP": "webp"}
SIZES: dict[str, float | None] = {"the enhancer's": None, "as the original": 1.0, "half of the original": 0.5}
BEFORE = {"ESRGAN": "enhanced", "what went in": "original"}
PANELS = ("original", "ESRGAN", "refined")
FIRST_CLICK_ZOOM = 4.0

_templates = Environment(
    loader=PackageLoader("jewelenh", "demonstration"), autoescape=True, trim_blocks=True, lstrip_blocks=True
)
messages: Any = _templates.get_template("messages.html").module
"""What the page says, a function each: welcome, refusal, fault, summary, table."""


@dataclass(frozen=True)
class Actions:
    """What the components call."""

    session: Session
    trained: Callable[[], Sequence[Trained]]
    samples: Sequence[Path]
    limits: Limits

    def run(
        self, photo: str | None, reference: str | None, checkpoint: str, level: str, strength: float,
        format: str, quality: float, scale: str, before: str, progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> list[Any]:  # fmt: skip
        """Restore the photo and show it; whatever is wrong becomes a message."""
        if photo is None:
            return _nothing(messages.welcome())
        try:
            output = Output(FORMATS[format], int(quality), SIZES[scale], float(strength))  # type: ignore[arg-type]
            upload = read_upload(Path(photo), self.limits, self.session.metadata)
            say_frames([upload.name] if upload.photo.n_frames > 1 else [])
            request = Request(
                upload, self._find(checkpoint), None if level == AS_IT_IS else level,
                output, None if reference is None else read_upload(Path(reference), self.limits),
            )  # fmt: skip
            result = self.session.restore(request, lambda share, text: progress(share, desc=text))
        except JewelenhError as error:
            return _nothing(messages.refusal(error))
        except Exception:
            log.exception("the demo could not restore a photo")
            return _nothing(messages.fault())
        return _everything(result, before)

    def tidy(self, token: str | None) -> None:
        """Delete the files of a result: by now Gradio has its own copies, which it deletes after a while."""
        if result := self.session.recall(token):
            result.delete_files()

    def _find(self, key: str) -> Trained:
        found = {one.key: one for one in self.trained()}
        if key not in found:
            raise JewelenhError("This checkpoint is no longer there.", fix="reload the page and choose another")
        return found[key]

    def sample(self, event: gr.SelectData) -> str:
        """Take a sample photo as the upload."""
        return str(self.samples[event.index])

    def compare(self, token: str | None, before: str) -> Any:
        """Put another picture on the left of the slider."""
        result = self.session.recall(token)
        return gr.skip() if result is None else _pair(result, before)

    def look(self, token: str | None, view: View, zoom: float) -> list[Any]:
        """Show another part of the pictures."""
        result = self.session.recall(token)
        if result is None:
            return [gr.skip()] * 4
        moved = View(float(zoom), view.x, view.y)
        return [moved, *_panels(result, moved)]

    def step_closer(self, token: str | None, view: View, event: gr.SelectData) -> list[Any]:
        """Put the point that was clicked into the middle; from the whole picture, also look closer."""
        result = self.session.recall(token)
        if result is None:
            return [gr.skip()] * 5
        height, width = panel(result.refined, view, result.refined.size).shape[:2]
        moved = view.moved_to((event.index[0] + 0.5) / width, (event.index[1] + 0.5) / height)
        closer = View(FIRST_CLICK_ZOOM if view.zoom <= 1 else view.zoom, moved.x, moved.y)
        return [closer, closer.zoom, *_panels(result, closer)]

    def refresh(self) -> Any:
        """List the checkpoints again, for who opens the page after a training."""
        try:
            found = choices(self.trained())
        except JewelenhError:
            return gr.skip()  # all gone: the next photo says so
        return gr.Dropdown(choices=found, value=found[0][1])


def _everything(result: Result, before: str) -> list[Any]:
    view, has_degraded = View(), result.degraded_file is not None
    original, *rest = _panels(result, view)
    return [
        messages.summary(result), messages.tables(result.scores, SCORED), _pair(result, before),
        gr.Image(original, label="degraded" if has_degraded else "original"), *rest, 1.0,
        gr.DownloadButton(value=str(result.file)),
        gr.DownloadButton(value=str(result.degraded_file) if has_degraded else None, visible=has_degraded),
        result.token, view, gr.Column(visible=True),
    ]  # fmt: skip


def _nothing(message: str) -> list[Any]:
    hidden = gr.DownloadButton(value=None, visible=False)
    no_file = gr.DownloadButton(value=None)
    return [message, "", None, None, None, None, 1.0, no_file, hidden, None, View(), gr.Column(visible=False)]


def _pair(result: Result, before: str) -> tuple[Any, Any]:
    size = result.refined.size
    return whole(getattr(result, BEFORE[before]), size), whole(result.refined, size)


def _panels(result: Result, view: View) -> list[Any]:
    return [panel(photo, view, result.refined.size) for photo in (result.original, result.enhanced, result.refined)]
