"""Job: score one or several checkpoints on pairs, through the same path that restores a user's photo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jewelenh.job import job, run_dir

if TYPE_CHECKING:
    from jewelenh.schemas import Evaluate


@job("evaluate")
def main(config: Evaluate) -> float:
    """Run `python -m jewelenh.evaluate`; return the mean gain in PSNR in dB, of the first checkpoint."""
    from jewelenh.evaluation.run import open_checkpoints
    from jewelenh.refinement.weights import find_checkpoint
    from jewelenh.reporting.evaluation import report

    wanted = [config.checkpoint] if isinstance(config.checkpoint, str) else config.checkpoint
    files = [find_checkpoint(one, config.paths.output_dir) for one in wanted]
    pairs_dir = None if config.pairs_dir is None else config.pairs_dir.expanduser()
    folder = run_dir() if config.report_dir is None else config.report_dir.expanduser()
    subjects = open_checkpoints(files, pairs_dir, config.names, config.hardware, config.trust, config.paths.data_dir)
    findings, _ = report(subjects, folder, config)
    return float(findings.first.against_target.summary["psnr_db"]["gain"])


if __name__ == "__main__":
    main()
