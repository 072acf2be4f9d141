"""Tries every fault of the table for real, and prints of each whether what must hold held.

    python experiments/faults/run.py [--only WORD ...] [--folder DIR] [--write]

`--only` takes the rows whose `area: fault` has one of the words; `--write` puts what was tried into results.csv and the
README's table.
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


def write(results: list[Result]) -> None:
    """Write what was tried into results.csv, beside what earlier runs tried, and all of it into the README's table."""
    file = HERE / "results.csv"
    known = {}
    if file.is_file():
        with file.open(encoding="utf-8") as before:
            known = {(row["area"], row["fault"]): row for row in csv.DictReader(before)}
    for one in results:
        cells = {"area": one.fault.area, "fault": one.fault.what, "must hold": one.fault.holds, "verdict": one.verdict}
        known[one.fault.area, one.fault.what] = {**cells, "why": one.why[:200], "seconds": f"{one.seconds:.1f}"}
    rows = [known[key] for fault in FAULTS if (key := (fault.area, fault.what)) in known]
    with file.open("w", newline="", encoding="utf-8") as after:
        writer = csv.DictWriter(after, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    counts = {verdict: sum(row["verdict"] == verdict for row in rows) for verdict in ("held", "broken", "skipped")}
    minutes = sum(float(row["seconds"]) for row in rows) / 60
    lines = [
        f"{len(rows)} faults: {counts['held']} held, {counts['broken']} broken, {counts['skipped']} skipped; "
        f"{minutes:.0f} min on {os.cpu_count()} cores (Python {platform.python_version()}).",
        *("", "| area | fault | must hold | |", "|---|---|---|---|"),
    ]
    for row in rows:
        verdict = row["verdict"] + (f": {row['why']}" if row["verdict"] == "skipped" else "")
        cells = [row["area"], f"`{row['fault']}`" if "<" in row["fault"] else row["fault"], row["must hold"], verdict]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    text = (HERE / "README.md").read_text(encoding="utf-8")
    before, rest = text.split(MARKS[0])
    table = "\n".join(lines)
    (HERE / "README.md").write_text(
        f"{before}{MARKS[0]}\n{table}\n{MARKS[1]}{rest.split(MARKS[1])[1]}", encoding="utf-8"
    )


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
        if chosen.write:
            write(results)
    attacks.end_shared_demos()
    minutes = (time.monotonic() - started_s) / 60
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu_minutes = sum(one.ru_utime + one.ru_stime for one in used) / 60  # of children that were waited for
    n_broken = sum(one.verdict == "broken" for one in results)
    n_skipped = sum(one.verdict == "skipped" for one in results)
    print(f"{len(results) - n_broken - n_skipped} held, {n_broken} broken, {n_skipped} skipped")
    print(f"{minutes:.1f} min, {cpu_minutes:.1f} min of processor time")
    if not n_broken:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"what is broken is in {folder}")
    return int(n_broken > 0)


if __name__ == "__main__":
    sys.exit(main())
