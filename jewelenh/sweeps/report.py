"""One result of a sweep: summary.md, summary.csv, and report.html, which needs neither network nor server."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from jewelenh.files import write_atomically
from jewelenh.sweeps.curves import charts
from jewelenh.sweeps.gather import SweepResults, gather
from jewelenh.sweeps.strips import Shot, Strip, make_strips
from jewelenh.sweeps.tables import (
    FAILURE_COLUMNS,
    GROUP_COLUMNS,
    NOTE,
    RUN_COLUMNS,
    csv_text,
    failure_rows,
    group_rows,
    headline,
    markdown,
    run_rows,
)

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""The browser itself refuses every request."""


def write_report(sweep_dir: Path, n_photos: int = 3) -> dict[str, Path]:
    """Write the three files into the sweep's directory and return where they are.

    Raises:
        StageError: there are no jobs there, or nothing can be written.
    """
    sweep = gather(sweep_dir)
    strips = make_strips(sweep, n_photos) if n_photos else []
    contents = {
        "summary.md": markdown(sweep),
        "summary.csv": csv_text(sweep),
        "report.html": page(sweep, strips),
    }
    for name, text in contents.items():
        write_atomically(sweep_dir / name, text.encode("utf-8", "surrogateescape"))
    return {name: sweep_dir / name for name in contents}


def page(sweep: SweepResults, strips: Sequence[Strip]) -> str:
    """Return report.html."""
    title = f"{sweep.sweep_dir.parent.name} {sweep.sweep_dir.name}"
    style = files("jewelenh.reporting").joinpath("templates", "report.css").read_text(encoding="utf-8")
    head = [
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<link rel="icon" href="data:,">',
        f"<title>{escape(title)}</title>",
        f"<style>\n{style}</style>",
    ]
    body = [
        f'<header><p class="over">Sweep</p><h1>{escape(title)}</h1><p class="lead">{escape(headline(sweep))}</p>',
        f"<pre><code>{escape(sweep.command)}</code></pre></header>\n<main>",
        _failures(sweep),
        _results(sweep),
        _curves(sweep),
        _pictures(strips),
        "<h2>Jobs</h2>" + _table(RUN_COLUMNS, run_rows(sweep), "dense left"),
        "</main><footer></footer>",
    ]
    text = ['<!doctype html>\n<html lang="en">\n<head>', *head, "</head>\n<body>", *body, "</body>\n</html>\n"]
    return "\n".join(part for part in text if part)


def _style(room: str, name: str) -> str:
    return files(f"jewelenh.{room}").joinpath("assets", name).read_text(encoding="utf-8")


def _failures(sweep: SweepResults) -> str:
    rows = failure_rows(sweep)
    if not rows:
        return ""
    cells = "".join(
        f'<tr><th scope="row">{escape(job)}</th><td class="worse">{escape(state)}</td>'
        f'<td>{escape(what)}</td><td class="reason">{escape(reason)}</td>'
        f"<td>{_link(traceback)}</td></tr>"
        for job, state, what, reason, traceback in rows
    )
    head = "".join(f'<th scope="col">{name}</th>' for name in FAILURE_COLUMNS)
    table = f'<table class="dense left"><thead><tr>{head}</tr></thead><tbody>{cells}</tbody></table>'
    return f'<h2>Without a result</h2><div class="scroll">{table}</div>'


def _link(file: str) -> str:
    return f'<a href="{escape(file)}">{escape(file)}</a>' if file else ""


def _results(sweep: SweepResults) -> str:
    if not sweep.groups:
        return ""
    table = _table(GROUP_COLUMNS, group_rows(sweep), "dense results")
    return f'<h2>Results</h2><p class="soft">{escape(NOTE.replace("`", ""))}</p>{table}'


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], kind: str) -> str:
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in row[1:])}</tr>'
        for row in rows
    )
    return (
        f'<div class="scroll"><table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _curves(sweep: SweepResults) -> str:
    drawn = charts(sweep)
    return f'<h2>Curves</h2><div class="charts">{"".join(drawn)}</div>' if drawn else ""


def _pictures(strips: Sequence[Strip]) -> str:
    if not strips:
        return ""
    shown = "".join(_strip(strip) for strip in strips)
    text = "The photos that most runs were tested on; above what the enhancer made, below what the network made of it."
    return f'<h2>The same photos in every run</h2><p class="soft">{text}</p>{shown}'


def _strip(strip: Strip) -> str:
    target = f'<figure class="target"><img alt="target" src="{strip.target}"><figcaption>target</figcaption></figure>'
    tested = f"in the test of {len(strip.shots)} of {strip.n_runs} runs"
    head = f'<h3>{escape(strip.photo)} <span class="soft">{tested}</span></h3>'
    shots = "".join(_shot(shot) for shot in strip.shots)
    return f'{head}<div class="scroll"><div class="strip">{target}{shots}</div></div>'


def _shot(shot: Shot) -> str:
    kind = "better" if shot.gain_db > 0 else "worse"
    return (
        f'<figure><img alt="input" src="{shot.input}"><img alt="refined" src="{shot.refined}">'
        f'<figcaption><b class="{kind}">{shot.gain_db:+.2f} dB</b> {escape(shot.label)}</figcaption></figure>'
    )
