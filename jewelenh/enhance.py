"""Job: run the super-resolution network over the raw photos and over one level of degraded ones."""

from __future__ import annotations

from omegaconf import DictConfig

from jewelenh.composed import plain
from jewelenh.job import job


@job("enhance")
def main(cfg: DictConfig) -> None:
    """Run `python -m jewelenh.enhance`."""
    from jewelenh.chain import Chain

    Chain.from_config(plain(cfg)).enhance()


if __name__ == "__main__":
    main()
