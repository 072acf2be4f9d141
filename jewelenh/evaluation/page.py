"""The report: one HTML page that needs nothing but itself, neither network nor server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files

from jewelenh.evaluation import pictures, sections, tables
from jewelenh.evaluation.findings import Findings
from jewelenh.evaluation.strips import Strip

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""Content security policy: the browser itself refuses every request."""


def render(findings: Findings, strips: Sequence[Strip], thumbnails: Mapping[str, str]) -> str:
    """Return the page."""
    body = [
        '<a class="skip" href="#summary">Skip to the results</a>',
        sections.header(findings),
        "<main>",
        tables.summary(findings),
        sections.distributions(findings),
        pictures.slider(findings, strips),
        pictures.comparison(findings, strips),
        tables.worst(findings, thumbnails),
        tables.photos(findings, thumbnails),
        sections.protocol(findings),
        sections.configuration(findings),
        f"</main>\n{sections.footer()}\n<script>\n{_asset('report.js')}</script>",
    ]
    head = [
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<link rel="icon" href="data:,">',
        f"<title>{sections.title(findings)}</title>",
        f"<style>\n{_asset('report.css')}</style>",
    ]
    return "\n".join(
        ['<!doctype html>\n<html lang="en">\n<head>', *head, "</head>\n<body>", *body, "</body>\n</html>\n"]
    )


def _asset(name: str) -> str:
    return files("jewelenh.evaluation").joinpath("assets", name).read_text(encoding="utf-8")
