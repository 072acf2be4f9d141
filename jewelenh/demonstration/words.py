"""What the page says, as HTML; everything that came from a file or a user is escaped."""

from __future__ import annotations

from html import escape

from jewelenh.demonstration.scores import Scores
from jewelenh.demonstration.work import Result
from jewelenh.errors import JewelenhError
from jewelenh.refinement.input_statistics import Oddity

WELCOME = (
    "Drop a photo, or pick one of the sample photos.",
    "You will see it beside what Real-ESRGAN makes of it and what the refinement network makes of that.",
)


def card(kind: str, *lines: str) -> str:
    """Return a box of HTML lines; `kind` is note, good, doubt or wrong."""
    role = "alert" if kind in {"doubt", "wrong"} else "status"
    return f'<div class="card {kind}" role="{role}">{"".join(f"<p>{line}</p>" for line in lines)}</div>'


def welcome() -> str:
    """Return what is there before the first photo."""
    return card("note", *map(escape, WELCOME))


def refusal(error: JewelenhError) -> str:
    """Return what went wrong, in the words of the error."""
    parts = {"": error.where, "expected": error.expected, "found": error.found, "fix": error.fix}
    details = [f"{label}: {text}" if label else str(text) for label, text in parts.items() if text is not None]
    return card("wrong", f"<strong>{escape(error.what)}</strong>", *map(escape, details))


def fault() -> str:
    """Return what to say of an error that nobody foresaw; its traceback is on the terminal."""
    text = "Something went wrong that should not have. The terminal that the demo was started in shows what."
    return card("wrong", f"<strong>{escape(text)}</strong>")


def summary(result: Result) -> str:
    """Return sizes, time, and whether the photo looks like the training pictures."""
    sizes = [f"{width} × {height}" for height, width in (result.original.size, result.refined.size)]
    level = "" if result.level is None else f", degraded at level <em>{escape(result.level)}</em> first"
    done = f"<strong>{sizes[0]} → {sizes[1]} pixels</strong>{level}, in {result.seconds:.1f} s"
    return card("good", done) + _likeness(result)


def _likeness(result: Result) -> str:
    if result.unlike is None:
        return card("note", "This checkpoint does not say what it was trained on, so nobody knows if your photo fits.")
    if not result.unlike:
        return card("note", "The photo looks like those that this network was trained on.")
    lines = [
        "<strong>This photo looks unlike those that the network was trained on.</strong> "
        "Colours and details may come out wrong: compare before you use the result.",
        "Than nearly all training pictures it is " + "; ".join(map(_oddity, result.unlike)) + ".",
    ]
    if result.level is None and any(
        oddity.trait == "sharpness" and oddity.value > oddity.high for oddity in result.unlike
    ):
        lines.append("It may simply be clean already: this network learned to repair degraded photos.")
    return card("doubt", *lines)


def _oddity(oddity: Oddity) -> str:
    digits = 2 if abs(oddity.high) < 1 else 1
    low, value, high = (f"{number:.{digits}f}" for number in (oddity.low, oddity.value, oddity.high))
    name = oddity.trait.replace("_", "/")
    return f"<strong>{escape(oddity.words)}</strong> ({name} {value}, in training {low} to {high})"


def table(scores: Scores | None) -> str:
    """Return the scores as a table, or why there are none."""
    if scores is None:
        return ""
    if scores.size is None:
        return card("doubt", *map(escape, scores.against.splitlines()))
    height, width = scores.size
    heads = ("", "PSNR (dB)", "SSIM", "CIEDE2000")
    rows = [[name, *_numbers(values)] for name, values in scores.rows.items()]
    first, *_, last = scores.rows.values()
    rows.append(["gain", *_numbers({key: last[key] - first[key] for key in first}, signed=True)])
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    note = (
        f"Against {escape(scores.against)}, at {width} × {height}. PSNR and SSIM: higher is nearer; CIEDE2000: lower."
    )
    return f'<div class="scores"><table><tr>{head}</tr>{body}</table><p>{note}</p></div>'


def _numbers(values: dict[str, float] | object, signed: bool = False) -> list[str]:
    sign = "+" if signed else ""
    digits = {"psnr_db": 2, "ssim": 4, "ciede2000": 2}
    return [f"{values[key]:{sign}.{n}f}" for key, n in digits.items()]  # type: ignore[index]
