"""What a run leaves behind: metrics.json, metrics.csv, comparison.png, and the short table on the screen."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from jewelenh.atomic import write_atomically
from jewelenh.evaluation.figures import comparison
from jewelenh.evaluation.protocol import Evaluation
from jewelenh.images import Pixels
from jewelenh.pairs.contract import PairsManifest

TITLES = {"psnr_db": "PSNR (dB)", "ssim": "SSIM", "ms_ssim": "MS-SSIM", "ciede2000": "CIEDE2000 (lower is better)"}


def write_report(
    folder: Path,
    evaluation: Evaluation,
    pairs: PairsManifest,
    refine: Callable[[Pixels], Pixels],
    about: Mapping[str, Any],
    n_photos: int = 3,
) -> dict[str, Path]:
    """Write `metrics.json` (numbers, protocol), `metrics.csv` (a line per photo) and `comparison.png` into `folder`."""
    files = {name: folder / name for name in ("metrics.json", "metrics.csv", "comparison.png")}
    content = {**evaluation.as_json(), "about": dict(about)}
    write_atomically(files["metrics.json"], (json.dumps(content, indent=1) + "\n").encode())
    write_atomically(files["metrics.csv"], _csv(evaluation).encode("utf-8", "surrogateescape"))
    buffer = io.BytesIO()
    comparison(refine, pairs, evaluation, n_photos).save(buffer, format="PNG", optimize=True)
    write_atomically(files["comparison.png"], buffer.getvalue())
    return files


def _csv(evaluation: Evaluation) -> str:
    buffer = io.StringIO()
    names = list(evaluation.photos[0].input)
    columns = [f"{name}_{role}" for name in names for role in ("input", "refined", "gain")]
    writer = csv.writer(buffer)
    writer.writerow(["stem", *columns])
    for score in sorted(evaluation.photos, key=lambda score: score.stem):
        values = [value for name in names for value in (score.input[name], score.refined[name], score.gain(name))]
        writer.writerow([score.stem, *(f"{value:.6f}" for value in values)])
    return buffer.getvalue()


def summary_table(evaluation: Evaluation, title: str) -> Table:
    """Return the table that ends a run."""
    table = Table(title=title, title_justify="left")
    for column in ("", "input", "refined", "gain", "95 % interval", "photos improved"):
        table.add_column(column, justify="left" if not column else "right", no_wrap=True)
    for name, row in evaluation.summary().items():
        digits = 2 if name in {"psnr_db", "ciede2000"} else 4
        table.add_row(
            TITLES[name],
            f"{row['input']:.{digits}f}",
            f"{row['refined']:.{digits}f}",
            f"{row['gain']:+.{digits}f}",
            f"{row['gain_low']:+.{digits}f} to {row['gain_high']:+.{digits}f}",
            f"{row['share_improved']:.0%} of {len(evaluation.photos)}",
        )
    return table


def print_report(evaluation: Evaluation, title: str, files: Mapping[str, Path]) -> None:
    """Print the table and where everything is."""
    console = Console(width=max(100, Console().width), soft_wrap=True)
    console.print(summary_table(evaluation, title))
    for name, path in files.items():
        console.print(f"  {name:<15} {path}", highlight=False, markup=False)
