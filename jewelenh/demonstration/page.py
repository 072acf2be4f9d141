"""The page: where a photo is dropped, what can be set, and what is shown. What it does is in `actions`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from jewelenh.config import Limits
from jewelenh.demonstration.actions import AS_IT_IS, BEFORE, FORMATS, PANELS, SIZES, Actions, messages
from jewelenh.demonstration.checkpoints import Trained, choices
from jewelenh.demonstration.comparison import MOST_ZOOM, View
from jewelenh.demonstration.session import Session

TITLE = "jewelenh"
DELETE_EVERY_S, DELETE_AFTER_S = 300, 3600
"""Gradio's copies of uploads and pictures."""


SHOWN = (
    *("status", "scores", "slider", "original", "ESRGAN", "refined", "zoom", "download", "degraded", "token", "view"),
    "result",
)
"""What a new result changes, in the order in which the actions return it."""

Parts = dict[str, Any]
"""The components, by name."""


def build(session: Session, trained: Callable[[], Sequence[Trained]], samples: Sequence[Path], limits: Limits) -> Any:
    """Return the page; `trained` lists the checkpoints again whenever somebody opens it."""
    page = gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(DELETE_EVERY_S, DELETE_AFTER_S))
    with page:
        gr.HTML(
            f"<h1>{TITLE}</h1><p>Product photos of jewellery: a small network takes out what a poor photo added, "
            "Real-ESRGAN enlarges it.</p>",
            elem_id="head",
        )
        parts: Parts = {"token": gr.State(None), "view": gr.State(View())}
        with gr.Row(elem_id="bench"):
            with gr.Column(scale=1, min_width=300, elem_id="side"):
                parts |= _settings(choices(trained()), list(session.levels), samples, limits)
            with gr.Column(scale=3, min_width=300, elem_id="main"):
                parts["status"] = gr.HTML(messages.welcome(), elem_id="status")
                with gr.Column(visible=False, elem_id="result") as parts["result"]:
                    parts |= _pictures()
        _wire(page, parts, Actions(session, trained, samples, limits))
    page.queue(max_size=limits.queue, default_concurrency_limit=1)
    return page


def _pictures() -> Parts:
    made: Parts = {
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
        for name in PANELS:
            made[name] = gr.Image(
                label=name, type="numpy", format="png", interactive=False, buttons=[], min_width=200,
                elem_id=f"panel-{name.lower()}",
            )  # fmt: skip
    made["zoom"] = gr.Slider(1, MOST_ZOOM, 1, step=0.5, label="Zoom: click a picture to look closer", elem_id="zoom")
    return made


def _settings(checkpoints: list[tuple[str, str]], levels: list[str], samples: Sequence[Path], limits: Limits) -> Parts:
    hint = f"up to {limits.megapixels:g} megapixels and {limits.file_mb:g} MB"
    made: Parts = {
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
    """Say what is called when a component changes."""
    inputs = ("photo", "reference", "checkpoint", "level", "strength", "format", "quality", "scale", "before")
    changed = [
        *(
            parts[name].change for name in ("photo", "reference", "strength", "quality")
        ),  # `release` misses the keyboard
        *(parts[name].select for name in ("checkpoint", "level", "format", "scale")),  # `input` comes twice
    ]
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    token, view, zoom, panels = parts["token"], parts["view"], parts["zoom"], [parts[name] for name in PANELS]
    gr.on(
        changed, act.run, [parts[name] for name in inputs], [parts[name] for name in SHOWN], trigger_mode="always_last",
        concurrency_limit=1, api_visibility="private", show_progress="full", show_progress_on=[parts["status"]],
    ).then(act.tidy, token, None, **quiet)  # fmt: skip
    parts["samples"].select(act.sample, None, parts["photo"], **quiet)
    parts["before"].input(act.compare, [token, parts["before"]], parts["slider"], **quiet)
    zoom.input(act.look, [token, view, zoom], [view, *panels], trigger_mode="always_last", **quiet)
    for shown in panels:
        shown.select(act.step_closer, [token, view], [view, zoom, *panels], **quiet)
    page.load(act.refresh, None, parts["checkpoint"], **quiet)
