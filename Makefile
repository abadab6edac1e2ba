# make run and make test need nothing but Python 3.11 to 3.14, make and git.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null && { echo $$p; exit; }; done; \
	echo no-python-3.11-to-3.14-found)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check install --quiet --constraint constraints.txt
ARGS ?= hidden_size=10

.DEFAULT_GOAL := help
.PHONY: help run test test-all pythons slow browser parity cluster bench lint format docs notebook ui clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/made:
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/run: $(VENV)/made pyproject.toml constraints.txt
	$(PIP) --editable .
	@touch $@

$(VENV)/test: $(VENV)/made pyproject.toml constraints.txt
	$(PIP) --editable '.[test]'
	@touch $@ $(VENV)/run

$(VENV)/browser: $(VENV)/test
	$(PIP) --editable '.[test,browser]'
	@touch $@

$(VENV)/parity: $(VENV)/test
	$(PIP) --editable '.[test,parity]'
	@touch $@

$(VENV)/cluster: $(VENV)/test
	$(PIP) --editable '.[test,dask,postgres]'
	@touch $@

$(VENV)/bench: $(VENV)/run
	$(PIP) --editable '.[bench]'
	@touch $@

$(VENV)/lint: $(VENV)/test
	$(PIP) --editable '.[lint]'
	@touch $@

$(VENV)/docs: $(VENV)/run
	$(PIP) --editable '.[docs]'
	@touch $@

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
