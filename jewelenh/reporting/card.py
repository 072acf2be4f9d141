"""The model card: what was exported, on what it was trained, how good it is, how to use it, under which licence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jewelenh.errors import ConfigError, JewelenhError
from jewelenh.evaluation.photos import in_photos
from jewelenh.exporting.onnx import OPSET, Agreement
from jewelenh.metrics import METRICS
from jewelenh.pairs.contract import SPLITS, read_pairs
from jewelenh.refinement.checkpoint import Checkpoint
from jewelenh.reporting.render import as_markdown, markdown, render
from jewelenh.reporting.scores import level_table, summary_columns, summary_row

FILE_NAME = "README.md"
SOURCES = {
    "sample": "the path-traced product shots embedded in jewelenh, nobody's photos (MIT)",
    "folder": "photos of your own",
    "kaggle": "the Kaggle data set {dataset}; its own terms hold for it",
}
ENHANCER_LICENCES = {"compact": "MIT, part of jewelenh"}
RELEASED = "BSD-3-Clause, Real-ESRGAN's own release"


@dataclass(frozen=True)
class Exported:
    """What lies beside the card."""

    n_parameters: int
    files: Mapping[str, str]
    """Name to one line on what it holds."""
    agreements: Mapping[str, Agreement] = field(default_factory=dict)
    """Of each graph with PyTorch."""
    scale: int | None = None
    """Of the enhancer in the chain's graph."""


def read_metrics(checkpoint: Checkpoint, file: Path | None) -> dict[str, Any] | None:
    """Return the metrics.json of `file`, else of the checkpoint's run; None where it has none of this checkpoint.

    Raises:
        ConfigError: `file` is given and holds no evaluation of this checkpoint alone.
    """
    found = file or checkpoint.file.resolve().parent.parent / "metrics.json"
    if file is None and not found.is_file():
        return None
    try:
        metrics = json.loads(found.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError("The metrics cannot be read.", where=found, found=error) from error
    needed = {"summary", "protocol", "photos", "split", "about"}
    about = metrics["about"] if isinstance(metrics, dict) and needed <= set(metrics) else {}
    if (about.get("epoch"), about.get("step")) == (checkpoint.epoch, checkpoint.step):
        return dict(metrics)
    if file is None:
        return None
    raise ConfigError(
        "These are not the metrics of this checkpoint.",
        where=found,
        expected=f"an evaluation of it alone, epoch {checkpoint.epoch}, step {checkpoint.step}",
        found=f"epoch {about.get('epoch')}, step {about.get('step')}",
        fix=f"python -m jewelenh.evaluate checkpoint={checkpoint.file}",
    )


def model_card(checkpoint: Checkpoint, exported: Exported, metrics: Mapping[str, Any] | None) -> str:
    """Return the card as Markdown."""
    enhancer = checkpoint.enhancer
    known = ENHANCER_LICENCES.get(enhancer.name, RELEASED)
    protocol = {} if metrics is None else dict(metrics["protocol"])
    return render(
        "model_card.md",
        level=checkpoint.level,
        enhancer=enhancer.name,
        placement=checkpoint.geometry.placement,
        work_scale=checkpoint.geometry.work_scale,
        outputs="(refined,)" if checkpoint.geometry.placement == "before" else "enhanced, refined",
        network=checkpoint.network_class.rpartition(".")[2],
        checkpoint=checkpoint.file.name,
        n_parameters=exported.n_parameters,
        files=markdown(["file", "what it holds"], [[f"`{name}`", told] for name, told in exported.files.items()]),
        training=_training(checkpoint),
        scores=[] if metrics is None else _scores(metrics, checkpoint.level),
        protocol={**protocol, **protocol.pop("metrics", {})},
        checks=_checks(exported),
        opset=OPSET,
        scale=exported.scale,
        licence="whatever came with the weights that you chose" if enhancer.weights else known,
    )


def _scores(metrics: Mapping[str, Any], level: str) -> list[tuple[str, str]]:
    """Return a caption and a table for each reference, and one for the levels."""
    found = []
    for name, table in {"target": metrics, **metrics.get("against", {})}.items():
        rows = []
        for metric, row in table["summary"].items():
            entries = summary_row(METRICS[metric], row, f"{row['share_improved']:.0%}")
            rows.append([METRICS[metric].heading, *(entry.text for entry in entries)])
        columns = summary_columns(next(iter(table["summary"].values())))
        against, size = "raw" if name == "raw" else "target", table.get("protocol", {}).get("size", "")
        caption = f"Against `{against}` {size}, {in_photos(len(table['photos']))} of the {metrics['split']} split:"
        found.append((caption, markdown(["metric", *columns], rows)))
    if metrics.get("levels"):
        levels = level_table([(level, metrics["levels"])])
        found.append((levels.caption, as_markdown(levels)))
    return found


def _training(checkpoint: Checkpoint) -> str:
    config = checkpoint.config
    source = config.get("source") or {}
    kind = str(source.get("kind", "unknown"))
    told = SOURCES.get(kind, kind).format(dataset=source.get("dataset", ""))
    settings = ", ".join(f"{name}={value}" for name, value in checkpoint.settings.items()) or "no settings"
    rows = [
        ["photos", told],
        ["degradation", f"level `{checkpoint.level}`"],
        ["enhancer", _enhancer(checkpoint)],
        ["pairs", _pairs(checkpoint)],
        ["epoch, step", f"{checkpoint.epoch}, {checkpoint.step}"],
        ["network", f"`{checkpoint.network_class}` with {settings}"],
        ["seed", str(config.get("seed", "unknown"))],
    ]
    return markdown(["", ""], rows)


def _enhancer(checkpoint: Checkpoint) -> str:
    enhancer = checkpoint.enhancer
    own = f" with weights of your own, `{enhancer.weights.name}`" if enhancer.weights else ""
    return f"`{enhancer.name}`{own}, strength {enhancer.strength:g}"


def _pairs(checkpoint: Checkpoint) -> str:
    name = f"`{checkpoint.pairs_dir.name}`"
    try:
        pairs = read_pairs(checkpoint.pairs_dir)
    except JewelenhError:
        return f"{name}, no longer on this machine"
    counts = ", ".join(f"{len(pairs.split(split))} {split}" for split in SPLITS)
    return f"{name}: {counts}, size {pairs.format.size or 'native'}"


def _checks(exported: Exported) -> str:
    """Return how far each graph is from PyTorch; nothing where there are no graphs."""
    rows = []
    for name, agreement in exported.agreements.items():
        sizes = ", ".join(f"{batch} x {height} x {width}" for batch, height, width in agreement.sizes)
        rows.append([f"`{name}`", sizes, f"{agreement.largest:.1e}", f"{agreement.grey_levels:.1e}"])
    columns = ["graph", "batch x height x width", "in its range", "in 8-bit grey levels"]
    return markdown(columns, rows) if rows else ""
