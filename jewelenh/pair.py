"""Job: write and split the pairs, or check a pairs directory, or describe somebody else's."""

from __future__ import annotations

from jewelenh.job import job
from jewelenh.schemas import Pair


@job("pair", Pair)
def main(config: Pair) -> None:
    """Run `python -m jewelenh.pair`."""
    from jewelenh.chain import Chain
    from jewelenh.pairs.adopt import Override, adopt
    from jewelenh.pairs.doctor import check

    if config.adopt is not None:
        override = Override.from_values(config.believe)
        directory = adopt(config.adopt, config.pairs.split, config.seed, override).directory
    elif config.directory is not None:
        directory = config.directory.expanduser()
    else:
        directory = Chain(config).pair()
    if config.check:
        check(directory)


if __name__ == "__main__":
    main()
