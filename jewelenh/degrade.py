"""Job: degrade the raw photos at one level, make recorded draws again, or preview the levels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jewelenh.job import job, run_dir

if TYPE_CHECKING:
    from jewelenh.schemas import Degrade


@job("degrade")
def main(config: Degrade) -> None:
    """Run `python -m jewelenh.degrade`."""
    from jewelenh.chain import Chain
    from jewelenh.degradation.draws import read_draws
    from jewelenh.degradation.preview import preview
    from jewelenh.degradation.run import replay

    chain = Chain(config)
    draws = read_draws(config.replay.expanduser()) if config.replay else []
    photos = chain.photos()
    if config.preview.levels:
        preview(photos, config.preview, config.degradation, config.seed, run_dir() / "preview.png")
    elif draws:
        replay(draws, photos, chain.data_dir, workers=config.hardware.n_threads, on_error=config.on_error)
    else:
        chain.degrade(photos, shard=config.shard)


if __name__ == "__main__":
    main()
