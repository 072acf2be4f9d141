"""Job: bring a sweep together in one result: summary.md, summary.csv, report.html."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jewelenh.job import job

if TYPE_CHECKING:
    from jewelenh.schemas import Report


@job("report")
def main(config: Report) -> None:
    """Run `python -m jewelenh.report`; exit code 0 also where jobs of the sweep failed."""
    from jewelenh.reporting.sweep import write_report

    files = write_report(_find(config.sweep, config.paths.output_dir))
    print(files["summary.md"].read_text(encoding="utf-8"))  # noqa: T201
    for file in files.values():
        print(f"  {file}")  # noqa: T201


def _find(wanted: str, output_dir: Path) -> Path:
    """Return the newest sweep, or the one that is named."""
    from jewelenh.errors import StageError

    if wanted != "latest":
        return Path(wanted).expanduser().absolute()
    found = [file for place in ("sweeps", "searches") for file in output_dir.absolute().glob(f"{place}/*/sweep.json")]
    if not found:
        fix = "run one: python -m jewelenh.train -m experiment=mild,moderate,severe"
        raise StageError("There is no sweep yet.", where=output_dir, expected="sweeps/<time>/sweep.json", fix=fix)
    return max(found, key=lambda file: file.stat().st_mtime_ns).parent


if __name__ == "__main__":
    main()
