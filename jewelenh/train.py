"""Job: prepare what is missing, train, test the best checkpoint, and say how good it is.

What is trained is `model.recipe`: `refinement` (the chain's network), `adversarial` (that against a discriminator) or
`esrgan` (a super-resolution network). The run's directory is Hydra's own, named by what decides the result.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from jewelenh.job import job, overrides, run_dir

if TYPE_CHECKING:
    from jewelenh.schemas import Train

log = logging.getLogger(__name__)


@job("train", show=True)
def main(config: Train) -> float:
    """Run `python -m jewelenh.train`, or find its result; return what `objective` names."""
    from jewelenh.runs import held

    about = {"level": config.degradation.name, "seed": config.seed, "tags": config.tags, "overrides": overrides()}
    with held(run_dir(), about, rerun=config.rerun, busy=config.busy) as run:
        if run.is_finished:
            log.info("this run is finished (rerun=true makes it again): %s", run.directory)
        else:
            if config.model.recipe == "esrgan":
                from jewelenh.enhancer_training.recipe import enhancer as recipe
            else:
                from jewelenh.training.run import refinement as recipe
            from jewelenh.training.run import train

            run.finish(train(config, run, recipe))
    return run.value(config.objective)


if __name__ == "__main__":
    main()
