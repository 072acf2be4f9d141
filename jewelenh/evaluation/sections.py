"""Parts of the report that are words and plots: the headline, distributions, protocol, configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jewelenh.evaluation.findings import Findings
from jewelenh.evaluation.plots import N_SERIES, gains_plot, interval_plot, scatter_plot
from jewelenh.evaluation.words import SHORT, TITLES, UNITS, improved, in_photos, interval, number, safe, verdict

LINKS = {
    "summary": "Results",
    "distributions": "Distributions",
    "slider": "Before and after",
    "comparison": "Photos",
    "worst": "Worst five",
    "photos": "Every photo",
    "protocol": "Protocol",
    "configuration": "Configuration",
}


def title(findings: Findings) -> str:
    """Return the page's title."""
    run = findings.first
    level = str(run.protocol.get("level") or run.protocol["pairs"])
    many = f": {len(findings.evaluations)} checkpoints on" if findings.is_comparison else ":"
    return safe(f"{level[:1].upper()}{level[1:]}{many} {in_photos(len(run.photos))} of {run.split}")


def header(findings: Findings) -> str:
    """Return the headline: what was measured, and the answer in one sentence and a few figures."""
    cautions = "".join(f'<p class="caution"><strong>Mind:</strong> {safe(text)}</p>\n' for text in findings.cautions)
    links = "".join(f'<a href="#{name}">{text}</a>' for name, text in LINKS.items())
    return (
        f'<header>\n<p class="over">jewelenh · evaluation</p>\n<h1>{title(findings)}</h1>\n'
        f'<p class="lead">{answer(findings)}</p>\n{cautions}'
        f'<ul class="tiles">{"".join(_tile(findings, metric) for metric in findings.metrics)}</ul>\n'
        f'<nav aria-label="Sections">{links}</nav>\n</header>'
    )


def answer(findings: Findings) -> str:
    """Say what the PSNR says, in HTML; never more than its interval allows."""
    if findings.is_comparison:
        return _winner(findings)
    row = findings.first.summary()["psnr_db"]
    words = {
        "better": "Refinement brings these photos closer to their targets",
        "worse": "Refinement takes these photos further from their targets",
        "unclear": "No clear gain: the interval holds zero",
    }
    share = f"{improved(findings.first, 'psnr_db')} photos improved"
    mean = f"{number('psnr_db', row['gain'], sign=True)} dB in PSNR"
    ends = interval("psnr_db", row["gain_low"], row["gain_high"])
    return f"{words[verdict('psnr_db', row)]}: <strong>{mean}</strong> on average (95 % interval {ends}); {share}."


def _winner(findings: Findings) -> str:
    ranked = sorted(findings.evaluations, key=lambda run: -run.summary()["psnr_db"]["refined"])
    best, second = ranked[0], ranked[1]
    found = next(
        d for d in findings.differences if d.metric == "psnr_db" and {d.first, d.second} == {best.name, second.name}
    )
    ahead = abs(found.mean)
    low, high = (found.low, found.high) if found.second == best.name else (-found.high, -found.low)
    ends = interval("psnr_db", low, high)
    clear = "" if low > 0 else " That is no clear difference: the interval holds zero."
    return (
        f"<strong>{safe(best.name)}</strong> comes closest to the targets by PSNR, {number('psnr_db', ahead)} dB ahead "
        f"of {safe(second.name)} on the same photos (95 % interval {ends}).{clear}"
    )


def _tile(findings: Findings, metric: str) -> str:
    best = max(findings.evaluations, key=lambda run: run.summary()["psnr_db"]["refined"])
    row = best.summary()[metric]
    kind = verdict(metric, row)
    colour = f' class="{kind}"' if kind != "unclear" else ""
    whose = f"<span>{safe(best.name)}</span>" if findings.is_comparison else ""
    return (
        f'<li class="tile"><span class="name">{TITLES[metric].split(" (dB")[0]}</span>{whose}'
        f"<b{colour}>{number(metric, row['gain'], sign=True)}{UNITS.get(metric, '')}</b>"
        f"<span>{number(metric, row['input'])} → {number(metric, row['refined'])}</span>"
        f"<span>95 %: {interval(metric, row['gain_low'], row['gain_high'])}</span></li>"
    )


def distributions(findings: Findings) -> str:
    """Return the plots of every metric."""
    cards = []
    for metric in findings.metrics:
        plots = gains_plot(metric, findings.evaluations) + scatter_plot(metric, findings.evaluations)
        cards.append(f'<figure class="card"><h3>{TITLES[metric]}</h3><div class="pair">{plots}</div></figure>')
    between = _between(findings) if findings.is_comparison else ""
    return (
        '<section id="distributions"><h2>Distributions</h2>\n'
        "<p>First the gain of every photo: a dot each, hollow where the photo got worse; the diamond and its bar are "
        "the mean and its 95 % interval, the dashed line is no change. Then refined over input: the shaded side is "
        f'the better one.</p>{legend(findings)}\n<div class="plots">{"".join(cards)}</div>{between}</section>'
    )


def _between(findings: Findings) -> str:
    cards = []
    for metric in findings.metrics:
        rows = [(f"{d.second} − {d.first}", d.mean, d.low, d.high) for d in findings.differences if d.metric == metric]
        cards.append(f'<figure class="card"><h3>{TITLES[metric]}</h3>{interval_plot(metric, rows)}</figure>')
    return f'<h3>Between checkpoints, photo by photo</h3><div class="plots small">{"".join(cards)}</div>'


def legend(findings: Findings) -> str:
    """Return the checkpoints' colours, where there is more than one."""
    if not findings.is_comparison:
        return ""
    names = [
        f'<span><i class="swatch s{index % N_SERIES}"></i>{safe(run.name)}</span>'
        for index, run in enumerate(findings.evaluations)
    ]
    return f'<p class="soft">{" &emsp; ".join(names)}</p>'


def protocol(findings: Findings) -> str:
    """Return how every number was made, what was left out and why, and the second opinion."""
    values = {key: value for key, value in findings.first.protocol.items() if key != "metrics"}
    definitions = findings.first.protocol.get("metrics", {})
    metrics = {SHORT.get(key, key): text for key, text in definitions.items() if key in findings.metrics}
    if findings.fid is not None:
        metrics["FID"] = "; ".join(f"{name} {value:.2f}" for name, value in findings.fid.items()) + "; lower is better"
    notes = "".join(f"<li>{safe(note)}</li>" for note in findings.left_out)
    left_out = f'<h3>Left out</h3><ul class="notes">{notes}</ul>' if notes else ""
    return (
        '<section id="protocol"><h2>Protocol</h2>\n<p>Scored by the code that restores photos, on 8-bit pictures at '
        "the pairs' full size. Pictures in this page are WebP of at most 640 pixels; no number is made from them.</p>"
        f"{_list(values)}<h3>Metrics</h3>{_list(metrics)}{left_out}{_second_opinion(findings)}</section>"
    )


def _second_opinion(findings: Findings) -> str:
    check = findings.crosscheck
    if check is None:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{safe(row["picture"])}</th><td class="text">{safe(row["metric"])}</td>'
        f"<td>{row['here']:.6f}</td><td>{row['skimage']:.6f}</td><td>{row['largest_difference']:.2e}</td></tr>"
        for row in check["rows"]
    )
    head = "".join(f'<th scope="col">{text}</th>' for text in ("here", "scikit-image", "largest difference"))
    return (
        f"<h3>Recomputed by {safe(check['version'])}</h3>{_list(check['settings'])}"
        '<div class="scroll"><table><caption>Means over photos, and the largest difference of one photo</caption>'
        f'<thead><tr><th scope="col">picture</th><th scope="col" class="text">metric</th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def configuration(findings: Findings) -> str:
    """Return what was evaluated and how it was asked for and trained."""
    parts = []
    for run in findings.evaluations:
        config = findings.configs.get(run.name)
        name = f"<h3>{safe(run.name)}</h3>" if findings.is_comparison else ""
        trained = f"<details><summary>Trained with</summary><pre>{_tree(config)}</pre></details>" if config else ""
        parts.append(f"{name}{_list(findings.about[run.name])}{trained}")
    asked = f"<details><summary>Evaluated with</summary><pre>{_tree(findings.settings)}</pre></details>"
    parts.append(asked if findings.settings else "")
    return f'<section id="configuration"><h2>Configuration</h2>{"".join(parts)}</section>'


def footer() -> str:
    """Return the words of the five images, which the page uses throughout."""
    words = {
        "raw": "the photo as it came",
        "degraded": "raw after one degradation level",
        "input": "ESRGAN(degraded), what the network sees",
        "target": "ESRGAN(raw), what it should produce",
        "refined": "the network's picture",
    }
    told = " · ".join(f"<b>{word}</b> {meaning}" for word, meaning in words.items())
    return f"<footer><p>{told}</p></footer>"


def _list(values: Mapping[str, Any]) -> str:
    return "<dl>" + "".join(f"<dt>{safe(key)}</dt><dd>{safe(value)}</dd>" for key, value in values.items()) + "</dl>"


def _tree(value: Any, depth: int = 0) -> str:
    """Write nested plain values the way YAML does."""
    space = "  " * depth
    lines = []
    for key, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            lines.append(f"{space}{safe(key)}:\n{_tree(inner, depth + 1)}")
        else:
            lines.append(f"{space}{safe(key)}: {safe('null' if inner is None else inner)}")
    return "\n".join(lines)
