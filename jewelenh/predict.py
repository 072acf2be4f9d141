"""Job: restore photos of any size with a trained checkpoint."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from omegaconf import DictConfig

from jewelenh.composed import plain
from jewelenh.job import job


@job("predict")
def main(cfg: DictConfig) -> None:
    """Run `python -m jewelenh.predict`."""
    from jewelenh.config import Enhancer, Hardware, parse
    from jewelenh.enhancement.weights import identity_of
    from jewelenh.errors import ConfigError
    from jewelenh.manifest import sha256_of
    from jewelenh.prediction import predict
    from jewelenh.refinement.runs import find_checkpoint
    from jewelenh.restorer import Restorer
    from jewelenh.results import Output

    values = plain(cfg)
    for key in ("input", "output"):
        if values[key] is None:
            raise ConfigError(
                f"{key} is needed.", fix=f"{key}=<photo or folder>" if key == "input" else f"{key}=<folder>"
            )
    if values["on_error"] not in {"stop", "skip"}:
        raise ConfigError("on_error cannot be used.", expected="stop or skip", found=values["on_error"])
    settings = parse(Output, {field.name: values[field.name] for field in fields(Output)}, "predict")
    checkpoint = find_checkpoint(values["checkpoint"], Path(values["paths"]["output_dir"]))
    enhancer = None if values.get("enhancer") is None else parse(Enhancer, values["enhancer"], "enhancer")
    cache_dir = values["paths"]["cache_dir"]
    restorer = Restorer.from_checkpoint(
        checkpoint,
        enhancer=enhancer,
        hardware=parse(Hardware, values["hardware"], "hardware"),
        cache_dir=Path(cache_dir) if cache_dir else None,
        trust=values["trust"],
    )
    identity = f"{sha256_of(checkpoint.read_bytes())} {sorted(identity_of(restorer.enhancer).items())}"
    input, output = Path(values["input"]).expanduser(), Path(values["output"]).expanduser()
    predict(restorer, identity, input, output, settings, values["extensions"], values["on_error"])


if __name__ == "__main__":
    main()
