# Everything there is to know: make help
VENV ?= .venv
PYTHON ?= python3
PY := $(VENV)/bin/python
EXTRAS := tracking,kaggle,realesrgan,sweep,ray,demo,export,fid,dev
STAMP := $(VENV)/.stamp-$(shell cat pyproject.toml constraints.txt 2>/dev/null | cksum | cut -d' ' -f1)
JOBS := fetch degrade enhance pair train evaluate predict demo export report
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup format check test test-fast bench clean $(JOBS)

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo '  make JOB ARGS="key=value ..."   JOB is one of: $(JOBS)'

setup: $(STAMP) ## set up the virtual environment with every extra

$(STAMP): pyproject.toml constraints.txt
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@rm -f $(VENV)/.stamp-*
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

format: $(STAMP) ## format the code and sort imports
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

check: $(STAMP) ## lint, formatting, types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

test: $(STAMP) ## all tests
	$(PY) -m pytest

test-fast: $(STAMP) ## tests without the slow ones: under a minute
	$(PY) -m pytest -m "not slow"

bench: $(STAMP) ## speed, each against its reference in one run
	@for part in experiments/bench/*.py; do echo "== $$part"; $(PY) $$part || exit 1; done

train: $(STAMP) ## the whole chain on the embedded photos (or ARGS="...")
	$(PY) -m jewelenh.train $(if $(ARGS),$(ARGS),+experiment=moderate)

$(filter-out train,$(JOBS)): $(STAMP)
	$(PY) -m jewelenh.$@ $(ARGS)

clean: ## remove the environment and caches; data and outputs stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info build dist
