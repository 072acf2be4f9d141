"""Write docs/configuration.md and docs/schema/<job>.json from the dataclasses that check the configuration.

    make docs

What a field is for is the docstring below it; what it takes is pydantic's JSON Schema of its class.
"""

from __future__ import annotations

import ast
import inspect
import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from jewelenh import config, schemas
from jewelenh.__main__ import JOBS
from jewelenh.degradation import levels

DOCS = Path(__file__).resolve().parent
HEAD = (DOCS / "configuration.in.md").read_text(encoding="utf-8")
JOB_CLASSES = {job: job.capitalize() for job in JOBS}
STANDS_FOR_ANY = {"type": ["string", "null"], "pattern": r"^(\$\{.*|\?\?\?)$"}
"""`${...}`, and `???` or null for a value that is still to be given."""
LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
NODES = {
    node.name: (vars(module)[node.name], node)
    for module in (schemas, config, levels)
    for node in ast.parse(inspect.getsource(module)).body
    if isinstance(node, ast.ClassDef) and hasattr(vars(module)[node.name], "__pydantic_fields__")
}
"""Every class of the configuration by name, with its source."""


def docstrings(name: str) -> dict[str, str]:
    """Return the keys that a class itself has, with the docstring below each, or an empty one."""
    known, body = NODES[name][0].__pydantic_fields__, NODES[name][1].body
    return {
        known[node.target.id].alias or node.target.id: " ".join(below.value.value.split())
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        else ""
        for node, below in zip(body, [*body[1:], None], strict=True)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


def bounded(name: str, properties: dict[str, Any]) -> dict[str, Any]:
    """Return a class's properties with the ends of its `[low, high]` ranges, which are no part of a JSON Schema."""
    for key, field in NODES[name][0].__pydantic_fields__.items():
        for within in (mark.func for mark in field.metadata if isinstance(getattr(mark, "func", None), levels.Within)):
            ends = {"minimum": within.lowest, "maximum": within.highest}
            properties[key]["prefixItems"] = [item | ends for item in properties[key]["prefixItems"]]
    return properties


def takes(schema: dict[str, Any]) -> str:
    """Say in a few words what a JSON Schema allows."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if options := schema.get("anyOf", schema.get("oneOf")):
        return " or ".join(dict.fromkeys(map(takes, options)))
    if values := schema.get("enum", [schema["const"]] if "const" in schema else None):
        return ", ".join(f"`{value}`" for value in values)
    if schema.get("type") == "array":
        ends = schema.get("prefixItems")
        return f"[{', '.join(map(takes, ends))}]" if ends else f"list of {takes(schema.get('items', {}))}"
    words = {"string": "text", "boolean": "true or false", "object": "mapping"}
    kind = schema.get("format") or words.get(schema.get("type", "any"), schema.get("type", "any"))
    if {"minimum", "maximum"} <= set(schema):
        return f"{kind} from {_text(schema['minimum'])} to {_text(schema['maximum'])}"
    return kind + "".join(f" {sign} {_text(schema[key])}" for key, sign in LIMITS.items() if key in schema)


def _text(number: float) -> str:
    return str(number).removesuffix(".0")


def section(name: str) -> str:
    """Return the Markdown of one class: what it is, whose keys it has too, and its own."""
    cls, node = NODES[name]
    parents = [f" Takes every key of [{base.id}](#{base.id.lower()}) as well." for base in node.bases]
    lines = [f"### {name}", "", " ".join(inspect.getdoc(cls).split()) + "".join(parents), ""]
    whole = TypeAdapter(cls).json_schema()
    properties = bounded(name, whole.get("properties") or whole["$defs"][name]["properties"])
    if texts := docstrings(name):
        lines += ["| key | takes | default | |", "|---|---|---|---|"]
    for key, text in texts.items():
        default = f"`{json.dumps(properties[key]['default'])}`" if "default" in properties[key] else ""
        lines.append(f"| `{key}` | {takes(properties[key])} | {default} | {text.replace('<', '&lt;')} |")
    return "\n".join([*lines, ""])


def editable(schema: Any, name: str) -> Any:
    """Return a class's schema for YAML: with explanations, nothing required, `${...}` in place of any value."""
    texts: dict[str, str] = {}
    for base in reversed(inspect.getmro(NODES[name][0])[:-1]):
        texts |= docstrings(base.__name__)
    old = bounded(name, schema["properties"])
    properties = {key: {"description": texts[key], "anyOf": [old[key], STANDS_FOR_ANY]} for key in old}
    return {key: value for key, value in schema.items() if key != "required"} | {"properties": properties}


def editor_schema(job: str) -> str:
    """Return docs/schema/<job>.json, for `conf/<job>.yaml` and the files that change it."""
    schema = TypeAdapter(NODES[JOB_CLASSES[job]][0]).json_schema()
    schema = editable(schema, JOB_CLASSES[job])
    schema["$defs"] = {name: editable(inner, name) for name, inner in schema["$defs"].items()}
    schema["properties"] |= {"defaults": {"type": "array"}, "hydra": {"type": "object"}}
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=1) + "\n"


def pages() -> dict[Path, str]:
    """Return what is to be written, by file."""
    jobs, rest = JOB_CLASSES.values(), [name for name in NODES if name not in JOB_CLASSES.values()]
    parts = [HEAD, "## Jobs\n", *map(section, jobs), "## Groups and their parts\n", *map(section, rest)]
    made = {DOCS / "schema" / f"{job}.json": editor_schema(job) for job in JOBS}
    return {DOCS / "configuration.md": "\n".join(parts).rstrip() + "\n", **made}


if __name__ == "__main__":
    (DOCS / "schema").mkdir(exist_ok=True)
    for file, text in pages().items():
        file.write_text(text, encoding="utf-8")
