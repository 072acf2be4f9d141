"""Job: index the raw photos by content, downloading them first where the source says so."""

from __future__ import annotations

from omegaconf import DictConfig

from jewelenh.composed import plain
from jewelenh.job import job


@job("fetch")
def main(cfg: DictConfig) -> None:
    """Run `python -m jewelenh.fetch`."""
    from jewelenh.chain import Chain

    Chain.from_config(plain(cfg)).fetch()


if __name__ == "__main__":
    main()
