"""Tries every fault of the table for real, and prints of each whether what must hold held.

    python experiments/faults/run.py [--only WORD ...] [--folder DIR] [--write]

`--only` takes the rows whose area or fault has one of the words; `--write` writes results.csv and the README's table.
Exit code 1 where something is broken.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import os
import platform
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

import attacks  # noqa: E402
from place import IMPORTED, Place, Skipped, make_shared  # noqa: E402
from table import FAULTS, Fault  # noqa: E402

MARKS = ("<!-- table -->", "<!-- end of the table -->")


@dataclass(frozen=True)
class Result:
    """What came of a fault: held, broken or skipped, and why where it is not held."""

    fault: Fault
    verdict: str
    why: str
    seconds: float

    @property
    def row(self) -> tuple[str, ...]:
        """Return the cells of a table."""
        fault = self.fault
        return (
            fault.area,
            fault.what,
            fault.holds,
            self.verdict + (f": {self.why}" if self.verdict == "skipped" else ""),
        )


def attempt(fault: Fault, number: int, folder: Path, shared: Path) -> Result:
    """Try one fault in a folder of its own."""
    root, started_s = folder / f"{number:03d}", time.monotonic()
    root.mkdir()
    verdict, why = "held", ""
    try:
        fault.check(Place(root, shared, random.Random(number)), *fault.arguments)
    except Skipped as skipped:
        verdict, why = "skipped", str(skipped)
    except AssertionError as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        verdict, why = (
            "broken",
            " ".join(str(error).split()) or f"{where.line} ({Path(where.filename).name}:{where.lineno})",
        )
    except Exception as error:
        verdict, why = "broken", "".join(traceback.format_exception(error))
    if verdict != "broken":
        shutil.rmtree(root, ignore_errors=True)
    return Result(fault, verdict, why, time.monotonic() - started_s)


def write(results: list[Result], n_minutes: float, n_cpu_minutes: float) -> None:
    """Write results.csv, and the table and its head into the README."""
    with (HERE / "results.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("area", "fault", "must hold", "verdict"), *(result.row for result in results)])
    counts = {v: sum(result.verdict == v for result in results) for v in ("held", "broken", "skipped")}
    head = (
        f"{len(results)} faults: {counts['held']} held, {counts['broken']} broken, {counts['skipped']} skipped; "
        f"{n_minutes:.0f} min, {n_cpu_minutes:.0f} min of processor time, on {os.cpu_count()} cores "
        f"({platform.system()}, Python {platform.python_version()})."
    )
    lines = [head, "", "| area | fault | must hold | |", "|---|---|---|---|"]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in result.row) + " |" for result in results]
    text = (HERE / "README.md").read_text(encoding="utf-8")
    before, rest = text.split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    table = "\n".join(lines)
    (HERE / "README.md").write_text(f"{before}{MARKS[0]}\n{table}\n{MARKS[1]}{after}", encoding="utf-8")


def main() -> int:
    """Run the campaign."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    words = [word.lower() for word in chosen.only]
    faults = [f for f in FAULTS if not words or any(word in f"{f.area}: {f.what}".lower() for word in words)]
    folder = Path(tempfile.mkdtemp(prefix="jewelenh-faults-", dir=chosen.folder))
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    started_s = time.monotonic()
    for name in IMPORTED:
        importlib.import_module(name)
    shared = make_shared(folder / "shared")
    print(f"the shared chain is made ({time.monotonic() - started_s:.0f} s); {len(faults)} faults", flush=True)
    results = []
    for number, fault in enumerate(faults):
        results.append(attempt(fault, number, folder, shared))
        one = results[-1]
        print(f"{one.verdict:8}{one.seconds:5.1f} s  {fault.area}: {fault.what}", flush=True)
        if one.verdict != "held":
            print(f"          {one.why[:1500]}", flush=True)
    attacks.end_shared_demos()
    minutes = (time.monotonic() - started_s) / 60
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu_minutes = sum(one.ru_utime + one.ru_stime for one in used) / 60
    n_broken = sum(one.verdict == "broken" for one in results)
    n_skipped = sum(one.verdict == "skipped" for one in results)
    print(f"{len(results) - n_broken - n_skipped} held, {n_broken} broken, {n_skipped} skipped; {minutes:.1f} min")
    if chosen.write:
        write(results, minutes, cpu_minutes)
    if not n_broken:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"what is broken is in {folder}")
    return int(n_broken > 0)


if __name__ == "__main__":
    sys.exit(main())
