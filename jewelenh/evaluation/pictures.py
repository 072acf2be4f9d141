"""Pictures of the report: the before/after slider, and the strips with their crops."""

from __future__ import annotations

from collections.abc import Sequence

from jewelenh.evaluation.findings import Findings
from jewelenh.evaluation.strips import Shot, Strip
from jewelenh.evaluation.words import number, safe, tone

ZOOMS = (1, 2, 4)


def slider(findings: Findings, strips: Sequence[Strip]) -> str:
    """Return the before/after viewer; it shows the pictures that the strips below hold."""
    n_photos = len(findings.first.photos)
    photos = "".join(
        f'<option value="{index}">{safe(strip.stem)} ({_place(strip.rank, n_photos)})</option>'
        for index, strip in enumerate(strips)
    )
    roles = _roles(strips)
    shown = findings.first.name
    zooms = "".join(
        f'<button type="button" data-zoom="{zoom}" aria-pressed="{str(zoom == 1).lower()}">{zoom}×</button>'
        for zoom in ZOOMS
    )
    controls = (
        f"<label>Photo<select>{photos}</select></label>"
        f"<label>Left<select>{_options(roles, 'input')}</select></label>"
        f"<label>Right<select>{_options(roles, shown)}</select></label>"
        f'<fieldset class="zooms"><legend>Zoom to where it changed most</legend><div>{zooms}</div></fieldset>'
    )
    stage = (
        '<div class="stage"><div class="layer under-layer"><img alt=""></div>'
        '<div class="layer over-layer"><img alt=""></div><div class="bar"></div>'
        '<span class="tag a"></span><span class="tag b"></span>'
        '<input type="range" min="0" max="100" step="1" value="50" aria-label="Where the left picture ends"></div>'
    )
    return (
        '<section id="slider"><h2>Before and after</h2>'
        f'<div class="viewer"><div class="controls">{controls}</div>{stage}'
        '<p class="hint">Drag, or press the arrow keys; Home and End show one picture alone.</p></div>'
        "<noscript><p>The slider needs JavaScript; the same pictures are below.</p></noscript></section>"
    )


def comparison(findings: Findings, strips: Sequence[Strip]) -> str:
    """Return the strips: every version of a photo, and below each the same crop, magnified."""
    return (
        '<section id="comparison"><h2>Photos</h2><p>From the largest gain in PSNR to the smallest. The frame marks '
        "where refinement moved the picture most, towards its target or away from it; below, that place in every "
        "version, pixel by pixel.</p>"
        f"{''.join(_strip(findings, strip, index) for index, strip in enumerate(strips))}</section>"
    )


def _strip(findings: Findings, strip: Strip, index: int) -> str:
    shots = "".join(_shot(findings, strip, shot, index) for shot in strip.shots)
    place = _place(strip.rank, len(findings.first.photos))
    size = f"{strip.size[1]} × {strip.size[0]} pixels, crop {strip.crop_px} × {strip.crop_px}"
    return (
        f'<article class="strip"><h3>{safe(strip.stem)} <small>{place} · {size}</small></h3>'
        f'<div class="shots" style="--n:{len(strip.shots)}" tabindex="0" role="group" aria-label="Versions of '
        f'{safe(strip.stem)}">{shots}</div></article>'
    )


def _shot(findings: Findings, strip: Strip, shot: Shot, index: int) -> str:
    left, top, width, height = strip.box
    focus = [100 * start / (1 - extent) if extent < 1 else 50 for start, extent in ((left, width), (top, height))]
    alt = f"{safe(shot.role)} of {safe(strip.stem)}"
    mark = f"left:{left:.2%};top:{top:.2%};width:{width:.2%};height:{height:.2%}"
    ratio = f"{strip.size[1]} / {strip.size[0]}"
    return (
        f'<figure class="shot"><div class="pic"><img src="{shot.uri}" alt="{alt}" data-photo="{index}" '
        f'data-role="{safe(shot.role)}" data-ratio="{ratio}" data-x="{focus[0]:.2f}%" data-y="{focus[1]:.2f}%">'
        f'<i style="{mark}"></i></div><img class="crop" src="{shot.crop_uri}" alt="Crop of {alt}">'
        f"<figcaption><b>{safe(shot.role)}</b>{_numbers(findings, strip.stem, shot.role)}</figcaption></figure>"
    )


def _numbers(findings: Findings, stem: str, role: str) -> str:
    """Return PSNR, SSIM and the gain under a scored picture."""
    for run in findings.evaluations:
        if role not in {"input", run.name}:
            continue
        score = next(score for score in run.photos if score.stem == stem)
        values = score.input if role == "input" else score.refined
        told = f"{number('psnr_db', values['psnr_db'])} dB · SSIM {number('ssim', values['ssim'])}"
        if role == "input":
            return told
        gain = score.gain("psnr_db")
        return f'{told}<br><span class="{tone("psnr_db", gain)}">{number("psnr_db", gain, sign=True)} dB</span>'
    return ""


def _place(rank: int, n_photos: int) -> str:
    if n_photos == 1:
        return "the only photo"
    named = {0: "largest gain", n_photos - 1: "smallest gain", round((n_photos - 1) / 2): "median gain"}
    return named.get(rank, f"gain {rank + 1} of {n_photos}")


def _roles(strips: Sequence[Strip]) -> list[str]:
    """Return the roles of all strips in their order; originals may be missing from some."""
    longest = max(strips, key=lambda strip: len(strip.shots))
    return [shot.role for shot in longest.shots]


def _options(roles: Sequence[str], chosen: str) -> str:
    return "".join(
        f'<option value="{safe(role)}"{" selected" if role == chosen else ""}>{safe(role)}</option>' for role in roles
    )
