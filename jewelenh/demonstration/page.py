"""The page: where a photo is dropped, what can be set, and what is shown. Everything it does is in `work`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from jewelenh.demonstration import words
from jewelenh.demonstration.actions import AS_IT_IS, BEFORE, BEFORE_AND_AFTER, FORMATS, SIZES, Actions
from jewelenh.demonstration.pictures import MOST_ZOOM, View
from jewelenh.demonstration.trained import Trained, choices
from jewelenh.demonstration.upload import Limits
from jewelenh.demonstration.work import Workshop

TITLE = "jewelenh"
DELETE_EVERY_S, DELETE_AFTER_S = 300, 3600
"""Gradio's copies of uploads and pictures."""


@dataclass(frozen=True)
class Parts:
    """The components that the actions read and write."""

    photo: Any
    samples: Any
    reference: Any
    checkpoint: Any
    level: Any
    strength: Any
    format: Any
    quality: Any
    scale: Any
    status: Any
    scores: Any
    slider: Any
    before: Any
    panels: tuple[Any, Any, Any]
    zoom: Any
    download: Any
    degraded: Any
    token: Any
    view: Any
    result: Any
    """Holds what is shown of a result."""

    @property
    def shown(self) -> list[Any]:
        """Return what a new result changes."""
        return [
            self.status,
            self.scores,
            self.slider,
            *self.panels,
            self.zoom,
            self.download,
            self.degraded,
            self.token,
            self.view,
            self.result,
        ]


def build(workshop: Workshop, trained: Callable[[], Sequence[Trained]], samples: Sequence[Path], limits: Limits) -> Any:
    """Return the page; `trained` lists the checkpoints again whenever somebody opens it."""
    page = gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(DELETE_EVERY_S, DELETE_AFTER_S))
    with page:
        gr.HTML(
            f"<h1>{TITLE}</h1><p>Product photos of jewellery, through Real-ESRGAN and a network that was trained to "
            "repair what it makes of a poor photo.</p>",
            elem_id="head",
        )
        parts = _layout(choices(trained()), list(workshop.levels), samples, limits)
        _wire(page, parts, Actions(workshop, trained, samples, limits))
    page.queue(max_size=limits.queue, default_concurrency_limit=1)
    return page


def _layout(checkpoints: list[tuple[str, str]], levels: list[str], samples: Sequence[Path], limits: Limits) -> Parts:
    with gr.Row(elem_id="bench"):
        with gr.Column(scale=1, min_width=300, elem_id="side"):
            left = _settings(checkpoints, levels, samples, limits)
        with gr.Column(scale=3, min_width=300, elem_id="main"):
            status = gr.HTML(words.welcome(), elem_id="status")
            with gr.Column(visible=False, elem_id="result") as result:
                right = _pictures()
    return Parts(**left, **right, status=status, result=result, token=gr.State(None), view=gr.State(View()))


def _pictures() -> dict[str, Any]:
    made: dict[str, Any] = {
        "slider": gr.ImageSlider(
            type="numpy", format="png", interactive=False, max_height=620, buttons=["fullscreen"], elem_id="slider",
            show_label=False,
        )
    }  # fmt: skip
    with gr.Row(equal_height=True):
        made["before"] = gr.Radio(
            list(BEFORE), value="ESRGAN", label="Left of the slider (right of it: refined)", elem_id="before"
        )
        with gr.Column(elem_id="files"):
            made["download"] = gr.DownloadButton("Download the refined photo", variant="primary", elem_id="download")
            made["degraded"] = gr.DownloadButton(
                "Download the degraded photo", size="sm", visible=False, elem_id="download-degraded"
            )
    made["scores"] = gr.HTML("", elem_id="scores")
    with gr.Row(elem_id="panels"):
        made["panels"] = tuple(
            gr.Image(
                label=name, type="numpy", format="png", interactive=False, buttons=[], min_width=200,
                elem_id=f"panel-{name.lower()}",
            )
            for name in BEFORE_AND_AFTER
        )  # fmt: skip
    made["zoom"] = gr.Slider(1, MOST_ZOOM, 1, step=0.5, label="Zoom: click a picture to look closer", elem_id="zoom")
    return made


def _settings(
    checkpoints: list[tuple[str, str]], levels: list[str], samples: Sequence[Path], limits: Limits
) -> dict[str, Any]:
    hint = f"up to {limits.megapixels:g} megapixels and {limits.file_mb:g} MB"
    made: dict[str, Any] = {
        "photo": gr.File(label=f"Photo, {hint}", type="filepath", height=170, elem_id="photo"),
        "samples": gr.Gallery(
            [str(path) for path in samples], label="Sample photos", columns=3, object_fit="cover", height=None,
            allow_preview=False, interactive=False, buttons=[], elem_id="samples",
        ),
        "checkpoint": gr.Dropdown(
            checkpoints, value=checkpoints[0][1], label="Checkpoint, newest first", elem_id="checkpoint",
        ),
        "level": gr.Dropdown(
            [AS_IT_IS, *levels], value=AS_IT_IS, label="Degrade the photo first", elem_id="level",
            info="To see what the network undoes. Leave a photo that is poor already as it is.",
        ),
        "strength": gr.Slider(
            0, 1, 1, step=0.05, label="Strength", info="0 is ESRGAN alone", elem_id="strength",
        ),
    }  # fmt: skip
    with gr.Accordion("File to download", open=False):
        made["format"] = gr.Dropdown(list(FORMATS), value=next(iter(FORMATS)), label="Format", elem_id="format")
        made["quality"] = gr.Slider(1, 100, 95, step=1, label="Quality of JPEG and WebP", elem_id="quality")
        made["scale"] = gr.Dropdown(list(SIZES), value=next(iter(SIZES)), label="Size", elem_id="scale")
    with gr.Accordion("Reference, for scores", open=False):
        made["reference"] = gr.File(label=f"The photo as it should be, {hint}", height=150, elem_id="reference")
    return made


def _wire(page: Any, parts: Parts, act: Actions) -> None:
    inputs = [
        parts.photo, parts.reference, parts.checkpoint, parts.level, parts.strength, parts.format, parts.quality,
        parts.scale, parts.before,
    ]  # fmt: skip
    changed = [
        *(part.change for part in (parts.photo, parts.reference)),
        *(part.select for part in (parts.checkpoint, parts.level, parts.format, parts.scale)),  # `input` comes twice
        *(part.change for part in (parts.strength, parts.quality)),  # `release` misses the keyboard
    ]
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    gr.on(
        changed, act.run, inputs, parts.shown, trigger_mode="always_last", concurrency_limit=1,
        api_visibility="private", show_progress="full", show_progress_on=[parts.status],
    ).then(act.tidy, parts.token, None, **quiet)  # fmt: skip
    parts.samples.select(act.sample, None, parts.photo, **quiet)
    parts.before.input(act.compare, [parts.token, parts.before], parts.slider, **quiet)
    parts.zoom.input(
        act.look,
        [parts.token, parts.view, parts.zoom],
        [parts.view, *parts.panels],
        trigger_mode="always_last",
        **quiet,
    )
    for shown in parts.panels:
        shown.select(act.step_closer, [parts.token, parts.view], [parts.view, parts.zoom, *parts.panels], **quiet)
    page.load(act.refresh, None, parts.checkpoint, **quiet)
