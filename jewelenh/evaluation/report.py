"""What an evaluation leaves: metrics.json, metrics.csv, comparison.png, report.html, and short tables on the screen."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from jewelenh.evaluation.figures import comparison
from jewelenh.evaluation.findings import Findings
from jewelenh.evaluation.page import render
from jewelenh.evaluation.protocol import Refine
from jewelenh.evaluation.strips import make_strips
from jewelenh.evaluation.words import SHORT, TITLES, UNITS, improved, interval, number, printable
from jewelenh.files import write_atomically
from jewelenh.pairs.contract import PairsManifest

FILES = ("metrics.json", "metrics.csv", "comparison.png", "report.html")


def write_report(
    folder: Path,
    findings: Findings,
    pairs: PairsManifest,
    refines: Mapping[str, Refine],
    thumbnails: Mapping[str, str],
    n_photos: int = 3,
) -> dict[str, Path]:
    """Write numbers and protocol, a line per photo, the comparison picture and the page into `folder`."""
    files = {name: folder / name for name in FILES}
    write_atomically(files["metrics.json"], (json.dumps(findings.as_json(), indent=1) + "\n").encode())
    write_atomically(files["metrics.csv"], _csv(findings).encode("utf-8", "surrogateescape"))
    buffer = io.BytesIO()
    comparison(refines, pairs, findings.evaluations, n_photos).save(buffer, format="PNG", optimize=True)
    write_atomically(files["comparison.png"], buffer.getvalue())
    strips = make_strips(refines, pairs, findings.evaluations, n_photos)
    write_atomically(files["report.html"], render(findings, strips, thumbnails).encode("utf-8", "replace"))
    return files


def _csv(findings: Findings) -> str:
    buffer = io.StringIO()
    names = findings.metrics
    columns = [f"{name}_{role}" for name in names for role in ("input", "refined", "gain")]
    writer = csv.writer(buffer)
    writer.writerow(["stem", *(["checkpoint"] if findings.is_comparison else []), *columns])
    for run in findings.evaluations:
        for score in sorted(run.photos, key=lambda score: score.stem):
            values = [value for name in names for value in (score.input[name], score.refined[name], score.gain(name))]
            whose = [run.name] if findings.is_comparison else []
            writer.writerow([score.stem, *whose, *(f"{value:.6f}" for value in values)])
    return buffer.getvalue()


def summary_table(findings: Findings, title: str) -> Table:
    """Return the table that ends a run: a line for every metric, and for every checkpoint where there are several."""
    table = Table(title=title, title_justify="left")
    many = findings.is_comparison
    for column in ("", *(["checkpoint"] if many else []), "input", "refined", "gain", "95 % interval", "improved"):
        table.add_column(column, justify="left" if column in {"", "checkpoint"} else "right", no_wrap=True)
    for metric in findings.metrics:
        for index, run in enumerate(findings.evaluations):
            row = run.summary()[metric]
            table.add_row(
                TITLES[metric] if index == 0 else "",
                *([printable(run.name)] if many else []),
                number(metric, row["input"]),
                number(metric, row["refined"]),
                number(metric, row["gain"], sign=True),
                interval(metric, row["gain_low"], row["gain_high"]),
                improved(run, metric),
            )
    return table


def worst_table(findings: Findings) -> Table:
    """Return the five photos with the smallest gain in PSNR, of every checkpoint."""
    table = Table(title="Worst five by gain in PSNR", title_justify="left")
    for column in ("photo", *(["checkpoint"] if findings.is_comparison else []), "input", "refined", "gain"):
        left = column in {"photo", "checkpoint"}
        table.add_column(column, justify="left" if left else "right", overflow="fold" if left else "ellipsis")
    for run in findings.evaluations:
        for score in run.worst():
            table.add_row(
                printable(score.stem),
                *([printable(run.name)] if findings.is_comparison else []),
                *(number("psnr_db", values["psnr_db"]) for values in (score.input, score.refined)),
                number("psnr_db", score.gain("psnr_db"), sign=True) + UNITS["psnr_db"],
            )
    return table


def differences_table(findings: Findings) -> Table:
    """Return the differences between checkpoints, photo by photo."""
    table = Table(title="Differences between checkpoints on the same photos", title_justify="left")
    for column in ("", "metric", "mean", "95 % interval", "verdict"):
        table.add_column(column, justify="right" if column in {"mean", "95 % interval"} else "left", overflow="fold")
    for found in findings.differences:
        table.add_row(
            f"{printable(found.second)} − {printable(found.first)}",
            SHORT[found.metric],
            number(found.metric, found.mean, sign=True),
            interval(found.metric, found.low, found.high),
            printable(found.verdict),
        )
    return table


def crosscheck_table(findings: Findings) -> Table:
    """Return PSNR and SSIM here and by scikit-image."""
    assert findings.crosscheck is not None
    table = Table(title=f"Recomputed by {findings.crosscheck['version']}", title_justify="left")
    for column in ("picture", "metric", "here", "scikit-image", "largest difference"):
        table.add_column(column, justify="left" if column in {"picture", "metric"} else "right")
    for row in findings.crosscheck["rows"]:
        values = [f"{row['here']:.6f}", f"{row['skimage']:.6f}", f"{row['largest_difference']:.1e}"]
        table.add_row(printable(row["picture"]), row["metric"], *values)
    table.caption = "\n".join(f"{name}: {words}" for name, words in findings.crosscheck["settings"].items())
    table.caption_justify = "left"
    return table


def print_report(findings: Findings, title: str, files: Mapping[str, Path]) -> None:
    """Print the tables, what was left out and why, and where everything is."""
    console = Console(width=max(130 if findings.is_comparison else 100, Console().width), soft_wrap=True)
    console.print(summary_table(findings, title))
    for caution in findings.cautions:
        console.print(f"  mind: {caution}", highlight=False, markup=False)
    if findings.is_comparison:
        console.print(differences_table(findings))
    console.print(worst_table(findings))
    if findings.crosscheck is not None:
        console.print(crosscheck_table(findings))
    for name, value in (findings.fid or {}).items():
        console.print(f"  FID of {printable(name)}: {value:.2f} (lower is better)", highlight=False, markup=False)
    for note in findings.left_out:
        console.print(f"  {note}", highlight=False, markup=False)
    for name, path in files.items():
        console.print(f"  {name:<15} {path}", highlight=False, markup=False)
