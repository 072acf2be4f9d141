"""Job: write and split the pairs, or check a pairs directory, or describe somebody else's."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from jewelenh.composed import plain
from jewelenh.job import job


@job("pair")
def main(cfg: DictConfig) -> None:
    """Run `python -m jewelenh.pair`."""
    from jewelenh.chain import Chain
    from jewelenh.errors import ConfigError
    from jewelenh.pairs.adopt import Override, adopt
    from jewelenh.pairs.doctor import check

    values = plain(cfg)
    chain, override = Chain.from_config(values), Override.from_values(values["believe"])
    if values["directory"] is not None and not values["check"]:
        raise ConfigError("directory=... is what check=true looks at.", fix="add check=true, or leave it out")
    if values["adopt"] is not None:
        directory = adopt(Path(values["adopt"]), chain.pairs.split, chain.seed, override).directory
    elif values["directory"] is not None:
        directory = Path(values["directory"]).expanduser()
    else:
        directory = chain.pair()
    if values["check"]:
        check(directory)


if __name__ == "__main__":
    main()
