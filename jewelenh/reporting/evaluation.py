"""What an evaluation leaves: metrics.json, metrics.csv, comparison.png, report.html, and short tables on the screen."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from jewelenh.degradation.levels import Scoring
from jewelenh.evaluation.photos import in_photos
from jewelenh.evaluation.run import Findings, evaluate, same_everywhere
from jewelenh.evaluation.scoring import Subjects
from jewelenh.files import require_writable, write_atomically
from jewelenh.metrics import METRICS
from jewelenh.reporting import plots
from jewelenh.reporting.pictures import (
    CROP_QUALITY,
    PAGE_SIDE_PX,
    QUALITY,
    Thumbnails,
    Versions,
    comparison,
    data_uri,
    ranked_stems,
    versions_of,
)
from jewelenh.reporting.render import Table, csv_text, printable, render
from jewelenh.reporting.scores import (
    difference_table,
    improved,
    level_table,
    photo_records,
    photo_table,
    summary_table,
    worst_table,
)

MOST_ROWS = 500
"""More photos than this are in metrics.csv only."""
PSNR = METRICS["psnr_db"]


def report(subjects: Subjects, folder: Path, settings: Scoring = Scoring()) -> tuple[Findings, dict[str, Path]]:
    """Score checkpoints on the same pairs, leave everything in `folder` and print the tables.

    Raises:
        ConfigError: the folder cannot be written.
        PairsError, WeightsError: see `evaluation.run`.
    """
    require_writable(folder, "report_dir")
    shown_names = list(subjects.checkpoints)
    thumbnails = Thumbnails(shown_names[0])
    with same_everywhere():
        findings = evaluate(subjects, settings, [thumbnails])
        photos = versions_of(subjects, subjects.photos(settings.split), findings.evaluations, settings.photos)
    buffer = io.BytesIO()
    comparison(photos, shown_names).save(buffer, format="PNG", optimize=True)
    contents = {
        "metrics.json": (json.dumps(findings.as_json(), indent=1) + "\n").encode(),
        "metrics.csv": csv_text(_records(findings)).encode("utf-8", "surrogateescape"),
        "comparison.png": buffer.getvalue(),
        "report.html": page(findings, photos, thumbnails.uris).encode(),
    }
    for name, content in contents.items():
        write_atomically(folder / name, content)
    files = {name: folder / name for name in contents}
    files_of = {"checkpoint" if len(shown_names) == 1 else n: c.file for n, c in subjects.checkpoints.items()}
    print_tables(findings, {**files_of, **files})
    return findings, files


def _records(findings: Findings) -> list[dict[str, object]]:
    """Return the lines of metrics.csv: one for each photo, and for each checkpoint where there are several."""
    return [
        {**({"checkpoint": run.name} if findings.is_comparison else {}), **record}
        for run in findings.evaluations
        for record in photo_records(run)
    ]


def title(findings: Findings) -> str:
    """Return what was measured, in a few words."""
    run = findings.first
    level = str(run.protocol["level"])
    many = f": {len(findings.evaluations)} checkpoints on" if findings.is_comparison else ":"
    return f"{level[:1].upper()}{level[1:]}{many} {in_photos(len(run.against_target.photos))} of {run.split}"


def _summaries(findings: Findings) -> list[Table]:
    """Return a summary for every reference, and what the networks do at every level where there are several."""
    n_tables, runs = len(findings.first.tables), findings.evaluations
    tables = [summary_table({run.name: run.tables[n] for run in runs}) for n in range(n_tables)]
    rows = [(run.name if findings.is_comparison else findings.about[run.name]["level"], run.by_level) for run in runs]
    return [*tables, level_table(rows)]


def _every_photo(findings: Findings, thumbnails: Mapping[str, str]) -> Table:
    stems = ranked_stems(findings.evaluations)
    shown = stems[: max(1, MOST_ROWS // len(findings.evaluations))]
    chosen = [(run, run.against_target.by_stem[stem]) for stem in shown for run in findings.evaluations]
    more = f" The first {len(shown)} of {len(stems)}; all are in metrics.csv." if len(shown) < len(stems) else ""
    caption = f"From input to refined. Select a column's title to sort by it.{more}"
    return photo_table(findings, chosen, caption, findings.first.against_target.metrics, thumbnails)


def page(findings: Findings, photos: Sequence[Versions], thumbnails: Mapping[str, str]) -> str:
    """Return report.html."""
    first = findings.first.against_target
    protocol = dict(findings.first.protocol)
    protocol |= {table.title: ", ".join(table.protocol.values()) for table in findings.first.tables}
    definitions = {METRICS[name].title: text for name, text in protocol.pop("metrics").items()}
    for metric, sets in findings.sets.items():
        shown = "; ".join(f"{name} {METRICS[metric].text(value)}" for name, value in sets.items())
        definitions[METRICS[metric].title] += f": {shown}"
    return render(
        "evaluation.html",
        title=title(findings),
        findings=findings,
        winner=_winner(findings) if findings.is_comparison else None,
        best=max(findings.evaluations, key=lambda run: run.against_target.summary["psnr_db"]["refined"]),
        psnr=PSNR,
        improved=improved(first, "psnr_db"),
        summaries=_summaries(findings),
        differences=difference_table(findings),
        plots=_plots(findings),
        photos=[_shown(photo, len(first.photos)) for photo in photos],
        image_names=max((list(photo.images) for photo in photos), key=len),
        worst=worst_table(findings, first.metrics, thumbnails),
        every_photo=_every_photo(findings, thumbnails),
        protocol=protocol,
        definitions=definitions,
    )


def _winner(findings: Findings) -> dict[str, Any]:
    ranked = sorted(findings.evaluations, key=lambda run: -run.against_target.summary["psnr_db"]["refined"])
    best, second, *_ = (run.name for run in ranked)
    found = next(d for d in findings.differences if d.metric == "psnr_db" and {d.first, d.second} == {best, second})
    low, high = (found.low, found.high) if found.second == best else (-found.high, -found.low)
    ahead, interval = PSNR.text(abs(found.mean)), PSNR.interval(low, high)
    return {"best": best, "second": second, "is_clear": low > 0, "ahead": ahead, "interval": interval}


def _plots(findings: Findings) -> list[dict[str, Any]]:
    tables = {run.name: run.against_target for run in findings.evaluations}
    shown = []
    for metric in findings.first.against_target.metrics:
        shown.append({
            "heading": metric.heading,
            "gains": plots.gains_plot(metric, tables, f"gains-{metric.name}"),
            "scatter": plots.scatter_plot(metric, tables, f"scatter-{metric.name}"),
        })  # fmt: skip
    return shown


def _shown(photo: Versions, n_photos: int) -> dict[str, Any]:
    """Return what the page shows of a photo: its versions and crops as data URIs, with their scores."""
    top, left, side = photo.crop
    height, width = photo.images["input"].shape[:2]
    focus = [100 * start / (whole - side) if side < whole else 50 for start, whole in ((left, width), (top, height))]
    mark = f"left:{left / width:.2%};top:{top / height:.2%};width:{side / width:.2%};height:{side / height:.2%}"
    shots = []
    for name, pixels in photo.images.items():
        scores, gain = photo.caption(name)
        shots.append({
            "name": name,
            "uri": data_uri(pixels, QUALITY, PAGE_SIDE_PX),
            "crop_uri": data_uri(pixels[top : top + side, left : left + side], CROP_QUALITY),
            "scores": scores.replace("   ", " · "),
            "gain": gain,
        })  # fmt: skip
    named = {0: "largest gain", n_photos - 1: "smallest gain", round((n_photos - 1) / 2): "median gain"}
    place = "the only photo" if n_photos == 1 else named.get(photo.rank, f"gain {photo.rank + 1} of {n_photos}")
    return {
        "stem": photo.stem,
        "place": place,
        "size": f"{width} × {height} pixels, crop {side} × {side}",
        "ratio": f"{width} / {height}",
        "focus": [f"{value:.2f}%" for value in focus],
        "mark": mark,
        "shots": shots,
    }


def print_tables(findings: Findings, files: Mapping[str, Path]) -> None:
    """Print the tables, what was left out and why, and where everything is."""
    console = Console(width=max(150 if findings.is_comparison else 140, Console().width), soft_wrap=True)

    def say(line: str) -> None:
        console.print(f"  {line}", highlight=False, markup=False)

    say(title(findings))
    for summary in _summaries(findings):
        console.print(summary.on_terminal())
    for caution in findings.cautions:
        say(f"mind: {caution}")
    if findings.is_comparison:
        console.print(difference_table(findings).on_terminal())
    console.print(worst_table(findings, [PSNR]).on_terminal())
    for metric, sets in findings.sets.items():
        for name, value in sets.items():
            say(f"{METRICS[metric].title} of {printable(name)}: {METRICS[metric].text(value)} (lower is better)")
    for note in findings.left_out:
        say(note)
    for name, path in files.items():
        say(f"{name:<15} {path}")
