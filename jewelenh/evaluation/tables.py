"""Tables of the report: the summary, differences between checkpoints, the worst five, every photo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jewelenh.evaluation.findings import Findings
from jewelenh.evaluation.plots import N_SERIES
from jewelenh.evaluation.protocol import Evaluation, PhotoScore
from jewelenh.evaluation.strips import ranked_stems
from jewelenh.evaluation.words import SHORT, TITLES, improved, in_photos, interval, number, safe, tone, verdict

MOST_ROWS = 500
"""More photos than this are in metrics.csv only."""
COLUMNS = ("input", "refined", "gain", "95 % interval", "photos improved", "worst gain")


def summary(findings: Findings) -> str:
    """Return the table of all metrics, and of the differences where checkpoints are compared."""
    rows = []
    for metric in findings.metrics:
        if findings.is_comparison:
            span = f'<th scope="colgroup" colspan="{len(COLUMNS) + 1}">{TITLES[metric]}</th>'
            rows.append(f'<tr class="group">{span}</tr>')
        rows += [_summary_row(findings, run, metric, index) for index, run in enumerate(findings.evaluations)]
    n_photos = len({score.photo for score in findings.first.photos})
    caption = f"Means over {in_photos(n_photos)}, against target. The interval is of the mean gain."
    first = "checkpoint" if findings.is_comparison else "metric"
    return (
        f'<section id="summary"><h2>Results</h2>{_table(caption, [first, *COLUMNS], rows)}'
        f"{_differences(findings) if findings.is_comparison else ''}</section>"
    )


def _summary_row(findings: Findings, run: Evaluation, metric: str, index: int) -> str:
    row = run.summary()[metric]
    swatch = f'<i class="swatch s{index % N_SERIES}"></i>{safe(run.name)}' if findings.is_comparison else TITLES[metric]
    kind = verdict(metric, row)
    cells = [
        number(metric, row["input"]),
        number(metric, row["refined"]),
        f'<strong class="{kind}">{number(metric, row["gain"], sign=True)}</strong>',
        interval(metric, row["gain_low"], row["gain_high"]),
        improved(run, metric),
        number(metric, row["worst_gain"], sign=True),
    ]
    return _row(swatch, cells)


def _differences(findings: Findings) -> str:
    rows = []
    for found in findings.differences:
        name = f"{safe(found.second)} − {safe(found.first)}"
        cells = [
            SHORT[found.metric],
            number(found.metric, found.mean, sign=True),
            interval(found.metric, found.low, found.high),
            f"{found.share_better:.0%}",
            safe(found.verdict),
        ]
        rows.append(_row(name, cells))
    columns = ["difference of refined", "metric", "mean", "95 % interval", "second better on", "verdict"]
    caption = "Differences photo by photo: what makes a photo easy or hard cancels out."
    return _table(caption, columns, rows)


def worst(findings: Findings, thumbnails: Mapping[str, str]) -> str:
    """Return the five photos with the smallest gain in PSNR, of each checkpoint."""
    parts = []
    caption = "Smallest gains in PSNR first, from input to refined"
    for run in findings.evaluations:
        name = f"<h3>{safe(run.name)}</h3>" if findings.is_comparison else ""
        rows = [_photo_row(score, thumbnails, findings.metrics) for score in run.worst()]
        parts.append(name + _table(caption, _photo_columns(findings.metrics), rows, "dense"))
    told = "<p>Where refinement helps least, or harms: look at these first.</p>"
    return f'<section id="worst"><h2>Worst five</h2>{told}{"".join(parts)}</section>'


def photos(findings: Findings, thumbnails: Mapping[str, str]) -> str:
    """Return a row for every photo and checkpoint, sortable, from the largest gain to the smallest."""
    by_stem = [{score.stem: score for score in run.photos} for run in findings.evaluations]
    stems = ranked_stems(findings.evaluations)
    shown = stems[: max(1, MOST_ROWS // len(by_stem))]
    rows = []
    for stem in shown:
        for run, scores in zip(findings.evaluations, by_stem, strict=True):
            whose = run.name if findings.is_comparison else None
            rows.append(_photo_row(scores[stem], thumbnails, findings.metrics, whose))
    columns = _photo_columns(findings.metrics)
    if findings.is_comparison:
        columns.insert(1, "checkpoint")
    more = f" The first {len(shown)} of {len(stems)}; all are in metrics.csv." if len(shown) < len(stems) else ""
    caption = f"From input to refined. Select a column's title to sort by it.{more}"
    table = _table(caption, columns, rows, "sortable dense")
    return f'<section id="photos"><h2>Every photo</h2>{table}</section>'


def _photo_columns(metrics: Sequence[str]) -> list[str]:
    columns = ["photo"]
    for metric in metrics:
        columns += [SHORT[metric], "gain"]
    return columns


def _photo_row(
    score: PhotoScore,
    thumbnails: Mapping[str, str],
    metrics: Sequence[str],
    whose: str | None = None,
) -> str:
    picture = thumbnails.get(score.stem)
    thumb = f'<img class="thumb" alt="" src="{picture}">' if picture else ""
    cells = [f'<td class="text" data-value="{safe(whose)}">{safe(whose)}</td>'] if whose is not None else []
    for metric in metrics:
        gain = score.gain(metric)
        values = f"{number(metric, score.input[metric])} → {number(metric, score.refined[metric])}"
        cells.append(_cell(values, score.refined[metric]))
        coloured = f'<span class="{tone(metric, gain)}">{number(metric, gain, sign=True)}</span>'
        cells.append(_cell(coloured, gain))
    return f'<tr><th scope="row" data-value="{safe(score.stem)}">{thumb}{safe(score.stem)}</th>{"".join(cells)}</tr>'


def _cell(text: str, value: float) -> str:
    return f'<td data-value="{value:.8f}">{text}</td>'


def _row(name: str, cells: Sequence[str]) -> str:
    return f'<tr><th scope="row">{name}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def _table(caption: str, columns: Sequence[str], rows: Sequence[str], kind: str = "") -> str:
    title = '<button type="button">{}</button>' if "sortable" in kind else "{}"
    head = "".join(f'<th scope="col">{title.format(column)}</th>' for column in columns)
    return (
        f'<div class="scroll {kind}" tabindex="0" role="region" aria-label="{safe(caption)}"><table class="{kind}">'
        f"<caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )
