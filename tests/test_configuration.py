"""docs/configuration.md and the editor schemas are those of the dataclasses, and the YAML files fit them."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from jewelenh.__main__ import JOBS

REPO = Path(__file__).resolve().parent.parent
PAGES = runpy.run_path(str(REPO / "docs" / "generate.py"))["pages"]()


def schema_of(job: str) -> Draft202012Validator:
    schema = json.loads((REPO / "docs" / "schema" / f"{job}.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.name)
def test_what_is_generated_is_not_stale(file):
    assert file.read_text(encoding="utf-8") == PAGES[file], "run make docs"


def test_every_class_that_a_key_leads_to_has_its_heading():
    page = PAGES[REPO / "docs" / "configuration.md"]
    headings = {line.removeprefix("### ") for line in page.splitlines() if line.startswith("### ")}
    named = {name for job in JOBS for name in json.loads(PAGES[REPO / "docs" / "schema" / f"{job}.json"])["$defs"]}
    assert named <= headings
    assert "Side in pixels; null keeps the enhancer's own size." in page


@pytest.mark.parametrize("job", JOBS)
def test_the_yaml_of_a_job_fits_its_schema(job):
    written = yaml.safe_load((REPO / "conf" / f"{job}.yaml").read_text(encoding="utf-8"))
    assert [error.message for error in schema_of(job).iter_errors(written)] == []


@pytest.mark.parametrize("file", sorted((REPO / "conf" / "experiment").glob("*.yaml")), ids=lambda file: file.stem)
def test_an_experiment_fits_the_schema_of_train(file):
    written = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert [error.message for error in schema_of("train").iter_errors(written)] == []


@pytest.mark.parametrize(
    ("wrong", "where"),
    [({"sed": 7}, []), ({"seed": -1}, ["seed"]), ({"pairs": {"size": 4}}, ["pairs"]), ({"source": 3}, ["source"])],
)
def test_an_editor_sees_what_is_wrong(wrong, where):
    (error,) = schema_of("train").iter_errors(wrong)
    assert list(error.absolute_path) == where
    assert not list(schema_of("train").iter_errors({"seed": "${oc.env:SEED}", "pairs": {"size": "${source.limit}"}}))
