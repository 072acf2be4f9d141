"""How numbers and names are written: on the screen, in pictures and in the report."""

from __future__ import annotations

import html
from collections.abc import Mapping

from jewelenh.evaluation.protocol import LOWER_IS_BETTER, Evaluation
from jewelenh.metrics import METRICS

TITLES = {metric.name: metric.heading for metric in METRICS.values()}
SHORT = {metric.name: metric.title for metric in METRICS.values()}
DIGITS = {metric.name: metric.digits for metric in METRICS.values()}
UNITS = {metric.name: f" {metric.unit}" for metric in METRICS.values() if metric.unit}


def number(metric: str, value: float, sign: bool = False) -> str:
    """Return a value with the digits its metric deserves; `sign` for differences."""
    digits = DIGITS.get(metric, 4)
    if round(value, digits) == 0:
        return f"{0:.{digits}f}"
    text = f"{value:{'+' if sign else ''}.{digits}f}"
    return text.replace("-", "−")


def interval(metric: str, low: float, high: float) -> str:
    """Return both ends of an interval of differences."""
    return f"{number(metric, low, sign=True)} to {number(metric, high, sign=True)}"


def is_better(metric: str, gain: float) -> bool:
    """Say whether a difference is in the good direction."""
    return gain < 0 if metric in LOWER_IS_BETTER else gain > 0


def in_photos(n: int) -> str:
    """Return `1 photo`, `2 photos`."""
    return f"{n} photo{'' if n == 1 else 's'}"


def improved(evaluation: Evaluation, metric: str) -> str:
    """Return how many of the photos improved; versions of one photo count once."""
    n_photos = len({score.photo for score in evaluation.photos})
    return f"{round(evaluation.summary()[metric]['share_improved'] * n_photos)} of {n_photos}"


def tone(metric: str, gain: float) -> str:
    """Return the class of a single photo's gain: `better`, `worse`, or `soft` where it shows as zero."""
    if round(gain, DIGITS.get(metric, 4)) == 0:
        return "soft"
    return "better" if is_better(metric, gain) else "worse"


def verdict(metric: str, row: Mapping[str, float]) -> str:
    """Return `better`, `worse`, or `unclear` where the interval of the gain holds 0."""
    if row["gain_low"] <= 0 <= row["gain_high"]:
        return "unclear"
    return "better" if is_better(metric, row["gain"]) else "worse"


def printable(text: object) -> str:
    """Return text without control characters, line breaks and undecodable bytes of file names."""
    return "".join(c if c.isprintable() else "?" for c in str(text))


def safe(text: object) -> str:
    """Return text for HTML, in elements and in quoted attributes."""
    return html.escape(printable(text), quote=True)
