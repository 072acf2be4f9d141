"""Job: degrade the raw photos at one level, make recorded draws again, or preview the levels."""

from __future__ import annotations

import sys
from pathlib import Path

from omegaconf import DictConfig

from jewelenh.composed import plain, run_dir
from jewelenh.job import job

SHORT_FORMS = {"preview=true": "preview=sheet", "preview=false": "preview=none"}
"""Hydra takes no yes or no for the choice of a group."""


@job("degrade")
def degrade(cfg: DictConfig) -> None:
    """Run the composed job."""
    from jewelenh.chain import Chain
    from jewelenh.degradation.draws import read_draws
    from jewelenh.degradation.preview import preview, wanted_preview
    from jewelenh.degradation.run import replay

    values = plain(cfg)
    chain, sheet = Chain.from_config(values), wanted_preview(values["preview"])
    lines = read_draws(Path(values["replay"]).expanduser()) if values["replay"] else []
    photos = chain.photos()
    if sheet:
        preview(photos, sheet, chain.degradation, chain.seed, run_dir() / "preview.png")
    elif lines:
        replay(lines, photos, chain.data_dir, workers=chain.workers, on_error=chain.on_error)
    else:
        chain.degrade(photos, shard=chain.shard)


def main() -> None:
    """Run `python -m jewelenh.degrade`."""
    sys.argv[1:] = [SHORT_FORMS.get(argument.lower(), argument) for argument in sys.argv[1:]]
    degrade()


if __name__ == "__main__":
    main()
