"""Job: prepare what is missing, train, test the best checkpoint, and say how good it is.

What is trained is `model.recipe`: `refinement` (the chain's network), `adversarial` (that against a discriminator) or
`esrgan` (a super-resolution network).
"""

from __future__ import annotations

import os

from omegaconf import DictConfig

from jewelenh.composed import given_keys, run_dir
from jewelenh.job import job


@job("train")
def main(cfg: DictConfig) -> float:
    """Run `python -m jewelenh.train`, or find its result; return what `objective` names."""
    from jewelenh.multirun.claim import claimed_run, objective_of

    with claimed_run(cfg) as run:
        if not run.is_finished:
            # Before torch: threads that wait in sleep cost other programs nothing (0.16 against 0.69 s of processor
            # time a step of experiment=compact on two cores that others used too).
            os.environ.setdefault("OMP_WAIT_POLICY", "passive")
            from jewelenh.training.run import train

            run.finish(train(cfg, run_dir(), given_keys(), run.checkpoint))
    return objective_of(run, cfg.objective)


if __name__ == "__main__":
    main()
