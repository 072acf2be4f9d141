"""How anything is written: tables computed once, for pages, Markdown and terminals, and the templates of both.

Pages need nothing but themselves, neither network nor server, and all text in them is escaped.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from rich import table as terminal
from rich.console import Console
from rich.text import Text

POLICY = Markup("default-src 'none'; img-src data:; style-src 'unsafe-inline'")
"""Content security policy of every page: the browser itself refuses every request; a page may add its own script."""


Tone = Literal["", "better", "worse", "soft", "strong"]


def printable(text: object, kept: str = "") -> str:
    """Return text without control characters, line breaks and undecodable bytes of file names, but for those `kept`."""
    return "".join(c if c.isprintable() or c in kept else "?" for c in str(text))


@dataclass(frozen=True)
class Entry:
    """What stands in one place of a table."""

    text: str
    value: float | str | None = None
    """To sort by."""
    tone: Tone = ""
    image: str | None = None
    """A thumbnail before the text, as a data URI."""
    series: int | None = None
    """A swatch before the text, in the colour of this series of the plots."""
    href: str | None = None


def row(*values: object) -> list[Entry]:
    """Return a row of entries; what is none yet becomes its text."""
    return [value if isinstance(value, Entry) else Entry(str(value)) for value in values]


@dataclass(frozen=True)
class Table:
    """Columns and rows of entries; the first column names the row."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Entry]]
    words: frozenset[str] = frozenset()
    """Columns of words, which begin on the left; numbers end on the right."""

    def is_left(self, index: int) -> bool:
        """Say whether a column begins on the left."""
        return index == 0 or self.columns[index] in self.words

    def on_terminal(self, title: str | None = None) -> terminal.Table:
        """Return the table for a terminal."""
        shown = terminal.Table(title=self.caption if title is None else title, title_justify="left")
        for index, column in enumerate(self.columns):
            if self.is_left(index):
                shown.add_column(column, overflow="fold")
            else:
                shown.add_column(column, justify="right", no_wrap=True)
        for row in self.rows:
            shown.add_row(*(Text(printable(entry.text), "red" if entry.tone == "worse" else "") for entry in row))
        return shown


def print_table(table: Table, title: str | None = None) -> None:
    """Print a table that stands alone."""
    Console(width=max(110, Console().width)).print(table.on_terminal(title))


def markdown(columns: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a table in Markdown."""
    lines = [columns, ["---"] * len(columns), *([_escaped(text) for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _escaped(text: object) -> str:
    return printable(f"{text:.4f}" if isinstance(text, float) else str(text).replace("\n", " ")).replace("|", "\\|")


def csv_text(records: Sequence[Mapping[str, object]]) -> str:
    """Return records of the same columns as CSV: numbers with six digits, NaN as nothing."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(records[0]))
    writer.writeheader()
    for record in records:
        writer.writerow({key: _digits(value) if isinstance(value, float) else value for key, value in record.items()})
    return buffer.getvalue()


def _digits(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6f}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("jewelenh.reporting"),
        autoescape=select_autoescape(("html",)),
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(tree=tree, markdown=as_markdown)
    environment.globals["policy"] = POLICY
    return environment


def render(template: str, **values: Any) -> str:
    """Return a template with its values; in HTML all text is escaped."""
    return _environment().get_template(template).render(**values)


def _printable(value: Any) -> Any:
    return printable(value, "\n") if isinstance(value, str) and not isinstance(value, Markup) else value


def tree(values: Mapping[str, Any], depth: int = 0) -> str:
    """Return nested plain values the way YAML writes them."""
    lines = []
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            lines.append(f"{'  ' * depth}{key}:\n{tree(value, depth + 1)}")
        else:
            shown = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
            lines.append(f"{'  ' * depth}{key}: {shown}")
    return "\n".join(lines)


def as_markdown(table: Table) -> str:
    """Return a table of entries in Markdown."""

    def text(entry: Entry) -> str:
        return f"**{entry.text}**" if entry.tone == "strong" else entry.text

    return markdown(table.columns, [[text(entry) for entry in row] for row in table.rows])
