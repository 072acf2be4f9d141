"""Job: index the raw photos by content, downloading them first where the source says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jewelenh.job import job

if TYPE_CHECKING:
    from jewelenh.schemas import Fetch


@job("fetch")
def main(config: Fetch) -> None:
    """Run `python -m jewelenh.fetch`."""
    from jewelenh.chain import Chain

    Chain(config).fetch()


if __name__ == "__main__":
    main()
