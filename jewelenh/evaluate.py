"""Job: score one or several checkpoints on pairs, through the same path that restores a user's photo."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from jewelenh.composed import plain, run_dir
from jewelenh.job import job


@job("evaluate")
def main(cfg: DictConfig) -> float:
    """Run `python -m jewelenh.evaluate`; return the mean gain in PSNR in dB, of the first checkpoint."""
    from jewelenh.config import Hardware, parse
    from jewelenh.evaluation.run import check_names, settings_from
    from jewelenh.refinement.runs import find_checkpoint
    from jewelenh.reporting.evaluation import report

    values = plain(cfg)
    settings = settings_from(values)
    wanted = values["checkpoint"] if isinstance(values["checkpoint"], list) else [values["checkpoint"]]
    files = [find_checkpoint(str(one), Path(values["paths"]["output_dir"])) for one in wanted]
    check_names(files, values["names"])
    pairs_dir = None if values["pairs_dir"] is None else Path(values["pairs_dir"]).expanduser()
    folder = run_dir() if values["report_dir"] is None else Path(values["report_dir"]).expanduser()
    findings, _ = report(
        files,
        folder,
        settings,
        pairs_dir=pairs_dir,
        names=values["names"],
        hardware=parse(Hardware, values["hardware"], "hardware"),
        trust=values["trust"],
    )
    return float(findings.first.against_target.summary["psnr_db"]["gain"])


if __name__ == "__main__":
    main()
