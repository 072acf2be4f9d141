"""Job: write and split the pairs, or check a pairs directory, or convert somebody else's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jewelenh.job import job

if TYPE_CHECKING:
    from jewelenh.schemas import Pair


@job("pair")
def main(config: Pair) -> None:
    """Run `python -m jewelenh.pair`."""
    from jewelenh.chain import Chain
    from jewelenh.config import Foreign
    from jewelenh.pairs.check import check
    from jewelenh.pairs.foreign import import_pairs

    chain = Chain(config)
    if config.import_ is not None:
        said = Foreign(range=config.range, layout=config.layout, colours=config.colours)
        directory = import_pairs(config.import_, said, config.pairs, config.seed, chain.data_dir).directory
    elif config.directory is not None:
        directory = config.directory.expanduser()
    else:
        directory = chain.pair()
    if config.check:
        check(directory)


if __name__ == "__main__":
    main()
