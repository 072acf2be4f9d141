"""`python -m jewelenh`: which jobs there are and which version this is; a job runs as `python -m jewelenh.<job>`."""

from __future__ import annotations

import argparse
import ast
from collections.abc import Sequence
from pathlib import Path

from jewelenh import __version__
from jewelenh.config import nearest

JOBS = ("fetch", "degrade", "enhance", "pair", "train", "evaluate", "predict", "demo", "export", "report")
"""In the order of the chain."""


def purpose(job: str) -> str:
    """Return the first line of a job's docstring, without importing the job."""
    source = Path(__file__).with_name(f"{job}.py").read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(source)) or ""
    return docstring.partition("\n")[0].removeprefix("Job: ")


def main(argv: Sequence[str] | None = None) -> None:
    """Print the list or the version; a job's name is answered with its command and exit code 2."""
    parser = argparse.ArgumentParser(
        prog="python -m jewelenh",
        usage="python -m jewelenh.<job> [key=value ...] [--help | --cfg job | -m key=a,b,c]",
        description="jobs:\n" + "\n".join(f"  {job:10}{purpose(job)}" for job in JOBS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"jewelenh {__version__}")
    job, *overrides = parser.parse_known_args(argv)[1] or ("",)
    if job in JOBS:
        parser.error(f"a job is a module: {' '.join([f'python -m jewelenh.{job}', *overrides])}")
    if job:
        parser.error(f"there is no job {job}.{nearest(job, list(JOBS))}")
    parser.print_help()


if __name__ == "__main__":
    main()
