# Everything there is to know: make help
VENV ?= .venv
PYTHON ?= python3
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --quiet --disable-pip-version-check
SUM := $(shell cat pyproject.toml constraints.txt 2>/dev/null | cksum | cut -d' ' -f1)
LIGHT := $(VENV)/.stamp-light-$(SUM)
FULL := $(VENV)/.stamp-full-$(SUM)
EXTRAS := tracking,kaggle,realesrgan,sweep,ray,demo,export,fid,dev
# The official engine. Both ask for opencv-python, which writes over opencv-python-headless and needs libGL: --no-deps.
OFFICIAL := 'basicsr; python_version < "3.13"' 'realesrgan; python_version < "3.13"'
JOBS := fetch degrade enhance pair train evaluate predict demo export report
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup format check test test-fast bench docs clean $(JOBS)

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo '  make JOB ARGS="key=value ..."   JOB is one of: $(JOBS)'

setup: $(FULL) ## set up the virtual environment with every extra

# An opencv-python that is there already takes the files it shares with the headless build along: both go, one returns.
$(LIGHT): pyproject.toml constraints.txt
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@rm -f $(VENV)/.stamp-*
	@if $(PIP) show opencv-python 2>/dev/null; then $(PIP) uninstall -y opencv-python opencv-python-headless; fi
	$(PIP) install -c constraints.txt -e '.[tracking]'
	@touch $@

$(FULL): $(LIGHT)
	$(PIP) install -c constraints.txt -e '.[$(EXTRAS)]'
	$(PIP) install -c constraints.txt --no-deps $(OFFICIAL)
	@touch $@

format: $(FULL) ## format the code and sort imports
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

check: $(FULL) ## lint, formatting, types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

test: $(FULL) ## all tests: the quick ones side by side, then the slow ones, which start processes of their own
	$(PY) -m pytest -n auto --maxprocesses=4 -m "not slow"
	$(PY) -m pytest -m slow

test-fast: $(FULL) ## tests without the slow ones
	$(PY) -m pytest -n auto --maxprocesses=4 -m "not slow"

bench: $(FULL) ## speed, each against its reference in one run
	@for part in experiments/bench/*.py; do echo "== $$part"; $(PY) $$part || exit 1; done

docs: $(FULL) ## write docs/configuration.md and docs/schema anew from the dataclasses
	$(PY) docs/generate.py

train: $(LIGHT) ## the whole chain on the embedded photos (or ARGS="...")
	$(PY) -m jewelenh.train $(if $(ARGS),$(ARGS),experiment=moderate)

demo export: $(FULL)
	$(PY) -m jewelenh.$@ $(ARGS)

$(filter-out train demo export,$(JOBS)): $(LIGHT)
	$(PY) -m jewelenh.$@ $(ARGS)

clean: ## remove the environment and caches; data and outputs stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info build dist
