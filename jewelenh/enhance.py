"""Job: run the super-resolution network over the raw photos and over one level of degraded ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jewelenh.job import job

if TYPE_CHECKING:
    from jewelenh.schemas import Enhance


@job("enhance")
def main(config: Enhance) -> None:
    """Run `python -m jewelenh.enhance`."""
    from jewelenh.chain import Chain

    Chain(config).enhance()


if __name__ == "__main__":
    main()
