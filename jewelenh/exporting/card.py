"""The model card: what was exported, on what it was trained, how good it is, how to use it, under which licence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jewelenh.errors import ConfigError, JewelenhError
from jewelenh.exporting.onnx import OPSET, Agreement
from jewelenh.metrics import METRICS
from jewelenh.pairs.contract import SPLITS, read_pairs
from jewelenh.refinement.checkpoint import Checkpoint
from jewelenh.reporting.render import printable

FILE_NAME = "MODEL_CARD.md"
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
    network = checkpoint.network_class.rpartition(".")[2]
    parts = [
        f"# Refinement network for jewellery photos, level {checkpoint.level}",
        f"{network} with {exported.n_parameters:,} parameters. It turns `input`, Real-ESRGAN's picture of a degraded "
        "product photo, into `refined`, which comes closer to `target`, Real-ESRGAN's picture of the photo itself.",
        "## Files",
        _table(["file", "what it holds"], [[f"`{name}`", told] for name, told in exported.files.items()]),
        "## Trained on",
        _training(checkpoint),
        "## How good it is",
        _metrics(checkpoint, metrics),
        "## Use",
        _use(exported),
        *([f"## Checked\n\n{_checks(exported)}"] if exported.agreements else []),
        "## Limits",
        "Trained on product photos of jewellery on plain ground, at one degradation level and behind one enhancer. "
        "Other photos, stronger damage or another enhancer are outside of what it saw: look before you trust. It does "
        "not know what a piece looks like; details that the enhancer lost are not brought back, only guessed at.",
        "## Licence",
        _licence(checkpoint),
    ]
    return "\n\n".join(parts) + "\n"


def _training(checkpoint: Checkpoint) -> str:
    config = checkpoint.config
    source = config.get("source") or {}
    kind = str(source.get("kind", "unknown"))
    told = SOURCES.get(kind, kind).format(dataset=source.get("dataset", ""))
    rows = [
        ["photos", told],
        ["degradation", f"level `{checkpoint.level}`"],
        ["enhancer", _enhancer(checkpoint)],
        ["pairs", _pairs(checkpoint)],
        ["epoch, step", f"{checkpoint.epoch}, {checkpoint.step}"],
        ["network", f"`{checkpoint.network_class}` with {_settings(checkpoint.settings)}"],
        ["seed", str(config.get("seed", "unknown"))],
    ]
    return _table(["", ""], rows)


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


def _metrics(checkpoint: Checkpoint, metrics: Mapping[str, Any] | None) -> str:
    if metrics is None:
        return f"Not measured yet: `python -m jewelenh.evaluate checkpoint={checkpoint.file.name}`"
    rows = [
        [
            METRICS[name].heading,
            METRICS[name].text(row["input"]),
            METRICS[name].text(row["refined"]),
            METRICS[name].text(row["gain"], sign=True),
            METRICS[name].interval(row["gain_low"], row["gain_high"]),
            f"{row['share_improved']:.0%}",
        ]
        for name, row in metrics["summary"].items()
    ]
    table = _table(["metric", "input", "refined", "gain", "95 % interval", "improved"], rows)
    protocol = dict(metrics["protocol"])
    definitions = protocol.pop("metrics", {})
    lines = [f"- {key}: {printable(value)}" for key, value in {**protocol, **definitions}.items()]
    told = f"{len(metrics['photos'])} photos of the {metrics['split']} split, against `target`, by this protocol:"
    return "\n\n".join([table, told, "\n".join(lines)])


def _use(exported: Exported) -> str:
    blocks = [
        "Pictures are RGB, channels first: float32 `(batch, 3, height, width)`, any height and width. The refinement "
        "network takes and returns [-1, 1] (`pixels / 127.5 - 1`); the chain takes and gives [0, 1] (`pixels / 255`).",
    ]
    if exported.agreements:
        blocks.append(f"With onnxruntime (opset {OPSET}):")
        blocks.append(_ONNX.format(scale=exported.scale) if exported.scale else _ONNX_REFINEMENT)
    blocks += ["With PyTorch, neither pickle nor TorchScript:", _PYTORCH]
    return "\n\n".join(blocks)


_ONNX = """```python
import numpy as np, onnxruntime
from PIL import Image

photo = np.asarray(Image.open("photo.jpg").convert("RGB"), np.float32).transpose(2, 0, 1)[None] / 255
session = onnxruntime.InferenceSession("chain.onnx")
enhanced, refined = session.run(None, {{"photo": photo}})  # both {scale} times the sides
Image.fromarray((refined[0].transpose(1, 2, 0) * 255).round().astype(np.uint8)).save("refined.png")
```"""
_ONNX_REFINEMENT = """```python
import numpy as np, onnxruntime
from PIL import Image

enhanced = np.asarray(Image.open("enhanced.png").convert("RGB"), np.float32).transpose(2, 0, 1)[None] / 127.5 - 1
session = onnxruntime.InferenceSession("refinement.onnx")
(refined,) = session.run(None, {"input": enhanced})
Image.fromarray(((refined[0].transpose(1, 2, 0) + 1) * 127.5).round().astype(np.uint8)).save("refined.png")
```"""
_PYTORCH = """```python
from jewelenh.exporting.weights import load_network

network = load_network("refinement.safetensors")
refined = network(enhanced).clamp(-1, 1)  # float32 tensors in [-1, 1]
```"""


def _checks(exported: Exported) -> str:
    rows = []
    for name, agreement in exported.agreements.items():
        sizes = ", ".join(f"{batch} x {height} x {width}" for batch, height, width in agreement.sizes)
        rows.append([f"`{name}`", sizes, f"{agreement.largest:.1e}", f"{agreement.grey_levels:.1e}"])
    told = "Each graph against PyTorch in float32, with onnxruntime on a CPU; the largest difference of any value."
    return told + "\n\n" + _table(["graph", "batch x height x width", "in its range", "in 8-bit grey levels"], rows)


def _licence(checkpoint: Checkpoint) -> str:
    enhancer = checkpoint.enhancer
    known = ENHANCER_LICENCES.get(enhancer.name, RELEASED)
    whose = "whatever came with the weights that you chose" if enhancer.weights else known
    return (
        "The network's code is MIT, part of jewelenh. These weights are the work of whoever trained them, and theirs "
        "to license; the photos they were trained on keep their own terms. The enhancer's weights in the chain: "
        f"{whose}."
    )


def _settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items()) or "no settings"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *([printable(cell).replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
