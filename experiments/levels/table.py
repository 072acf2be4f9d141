"""Print a sweep's results as the table of a study: a row for each level, or for each value of what was swept.

python -m experiments.levels.table sweep=<directory of the sweep> [column=level]
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

from jewelenh.evaluation.scores import bootstrap_interval
from jewelenh.sweeps.results import Group, SweepResults, read_results


def table(sweep: SweepResults, column: str = "level") -> str:
    """Return a Markdown table; `column` is `level`, or the key that was swept, of which the value is shown."""
    head = [column, "seeds", "input, dB", "refined, dB", "gain, dB", "95 % interval", "photos improved", "SSIM gain"]
    lines = [head, ["---"] * len(head), *(_row(group, column) for group in sweep.groups)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _row(group: Group, column: str) -> list[str]:
    gains = group.gains_db()
    low, high = bootstrap_interval(gains)
    spread = group.spread("psnr_db", "gain")
    return [
        group.level if column == "level" else group.settings.partition("=")[2],
        str(len(group.runs)),
        f"{group.mean('psnr_db', 'input'):.2f}",
        f"{group.mean('psnr_db', 'refined'):.2f}",
        f"{group.mean('psnr_db', 'gain'):+.2f}" + ("" if math.isnan(spread) else f" ± {spread:.2f}"),
        f"{low:+.2f} to {high:+.2f}",
        f"{sum(gain > 0 for gain in gains)} of {len(gains)}",
        f"{group.mean('ssim', 'gain'):+.4f}",
    ]


def main() -> None:
    """Print the table, and what is missing from it."""
    given = dict(word.split("=", 1) for word in sys.argv[1:])
    sweep = read_results(Path(given["sweep"]))
    print(table(sweep, given.get("column", "level")))
    for run in sweep.unfinished:
        print(f"without a result: job {run.job.number} ({run.label}): {run.job.reason}", file=sys.stderr)


if __name__ == "__main__":
    main()
