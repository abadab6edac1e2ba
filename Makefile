# make run and make test need nothing but Python 3.11 to 3.14 and make. Without such a Python, uv brings one.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null && { echo $$p; exit; }; done; \
	command -v uv >/dev/null && echo uv run --quiet --no-project --python 3.13 python)
NO_PYTHON = no Python from 3.11 to 3.14 is on PATH: install one, or uv, or give its path: make run PYTHON=/opt/python3.13
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL = $(or $(PYTHON),$(error $(NO_PYTHON))) .ci/install.py $(VENV)
ARGS ?= hidden_size=10

.DEFAULT_GOAL := help
.PHONY: help run test test-all pythons slow browser parity cluster bench lint format schema docs notebook ui clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/run: pyproject.toml constraints.txt
	@$(INSTALL) --editable .
	@touch $@

$(VENV)/cluster: pyproject.toml constraints.txt
	@$(INSTALL) --editable '.[test,dask,postgres]'
	@touch $@ $(VENV)/run

$(VENV)/browser $(VENV)/parity $(VENV)/lint: $(VENV)/test  # whose extras they need too

$(VENV)/%: pyproject.toml constraints.txt  # the extra of that name
	@$(INSTALL) --editable '.[$*]'
	@touch $@ $(VENV)/run

run: $(VENV)/run  ## set up and train: make run ARGS="hidden_size=50 task=echo"
	$(BIN)/python -m rnnexp $(ARGS)

test: $(VENV)/test  ## set up and run the tests that a change is tried with, in minutes
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not thorough and not slow and not browser and not parity and not cluster"

test-all: $(VENV)/test  ## these and the thorough ones: all combinations, every fuzz case, random kill points
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not slow and not browser and not parity and not cluster"

pythons:  ## the tests of make test on every Python from 3.11 to 3.14 that is found, and with Hydra 1.4's candidate
	.ci/pythons

slow: $(VENV)/test  ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

browser: $(VENV)/browser  ## the tests that drive the MLflow UI in headless Chromium
	$(BIN)/python -m pytest -m browser

parity: $(VENV)/parity  ## outputs, gradients and optimizers against PyTorch
	$(BIN)/python -m pytest -m parity tests/parity

cluster:  ## sweeps on Slurm, PostgreSQL and dask, installed and started here; needs root on Debian
	.ci/cluster

lint: $(VENV)/lint  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --strict .ci/public_names.py

format: $(VENV)/lint  ## put the source into its usual form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

schema: $(VENV)/run  ## conf/schema.json for editors, from the code and the YAML files
	$(BIN)/python .ci/schema.py

docs: $(VENV)/docs  ## the guide and the API reference, into build/docs; a warning is an error
	rm -rf build/docs
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -c guide . build/docs
	@echo the first page is build/docs/index.html

notebook: $(VENV)/test  ## run the notebook from top to bottom and keep its outputs
	$(BIN)/python experiments/vanilla_rnn/execute.py

bench: $(VENV)/bench  ## a training step beside PyTorch and JAX, and what a user waits for as the work grows
	$(BIN)/python experiments/speed/run.py --output experiments/speed
	$(BIN)/python experiments/speed/stacked.py
	$(BIN)/python experiments/growth/run.py --output experiments/growth

ui: $(VENV)/run  ## the MLflow UI on the runs recorded in this folder
	$(BIN)/python -m rnnexp.tracking ui

clean:  ## remove the environment and caches, not the results
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
