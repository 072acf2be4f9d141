"""Job: restore photos of any size with a trained checkpoint."""

from __future__ import annotations

import logging
from dataclasses import fields
from typing import TYPE_CHECKING

from jewelenh.job import job

if TYPE_CHECKING:
    from jewelenh.schemas import Predict

log = logging.getLogger(__name__)


@job("predict")
def main(config: Predict) -> None:
    """Run `python -m jewelenh.predict`."""
    from jewelenh.config import Output
    from jewelenh.enhancement.weights import identity_of
    from jewelenh.manifest import sha256_of
    from jewelenh.refinement.weights import find_checkpoint
    from jewelenh.restoration.prediction import predict
    from jewelenh.restoration.restorer import Restorer
    from jewelenh.runs import READY

    checkpoint = find_checkpoint(config.checkpoint, config.paths.output_dir)
    restorer = Restorer.from_checkpoint(
        checkpoint,
        enhancer=config.enhancer,
        hardware=config.hardware,
        cache_dir=config.paths.cache_dir,
        trust=config.trust,
    )
    made_with = "the ready weights" if checkpoint == READY else str(checkpoint)
    log.info("restoring with %s and the enhancer %s", made_with, restorer.enhancer.name)
    identity = f"{sha256_of(checkpoint.read_bytes())} {sorted(identity_of(restorer.enhancer).items())}"
    output = Output(**{field.name: getattr(config, field.name) for field in fields(Output)})
    photos, folder = config.input.expanduser(), config.output.expanduser()
    predict(restorer, identity, photos, folder, output, config.extensions, config.on_error)


if __name__ == "__main__":
    main()
