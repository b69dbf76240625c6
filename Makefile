# Every target does its own set-up: Python 3.11 or newer and make are all it takes. uv is used where it is installed.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=
LAB_ARGS ?=
DAGSTER_HOME ?= $(CURDIR)/data/dagster
UV := $(shell command -v uv 2>/dev/null)

ifdef UV
INSTALL := $(UV) pip install --quiet --python $(BIN)/python --constraint constraints.txt
INSTALL_PEER := $(UV) pip install --quiet --python $(VENV)-openaivec/bin/python --constraint constraints.txt
else
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
INSTALL_PEER := $(VENV)-openaivec/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
endif

.DEFAULT_GOAL := help
.PHONY: help demo notebooks dagster docs docs-serve test test-ui pictures torture lint types contract format check clean bench bench-quick bench-ledger

help: ## what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## enrich and score the example leads against a local sandbox
	@$(BIN)/buena-pipeline demo

test: $(VENV)/.dev ## every test, with branch coverage
	$(BIN)/python -m pytest -n 2 --cov --cov-report=term:skip-covered \
		--cov-fail-under=$(if $(PYTEST_ARGS),0,95) $(PYTEST_ARGS)

torture: $(VENV)/.dev ## kill runs, break the vendor, fill the disk, for long; TORTURE_ROUNDS=300
	$(BIN)/python -m tests.torture

lint: $(VENV)/.dev ## ruff: rules and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev ## mypy, strict
	$(BIN)/mypy

contract: $(VENV)/.dev ## imports point down the layers only
	$(BIN)/lint-imports

check: test lint types contract ## all that CI runs

bench: $(VENV)/.bench ## every speed and memory target, measured; about 20 minutes
	$(BIN)/python -m bench

bench-quick: $(VENV)/.bench ## the same with little of everything; about 2 minutes
	$(BIN)/python -m bench --quick

bench-ledger: $(VENV)/.dev ## what the durable ledger costs; PEOPLE=20000
	$(BIN)/python bench/durability.py $(or $(PEOPLE),20000)

format: $(VENV)/.dev ## mend what ruff can mend, and empty the notebooks
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python -m tests.notebook_files

notebooks: $(VENV)/.notebooks ## the notebooks in JupyterLab; no key, no network
	$(BIN)/jupyter lab $(LAB_ARGS) notebooks/01_quickstart.ipynb

dagster: $(VENV)/.dagster ## the pipeline in Dagster's UI at http://localhost:3000; no key, no network
	@mkdir -p $(DAGSTER_HOME) && { [ -e $(DAGSTER_HOME)/dagster.yaml ] || cp dagster.yaml $(DAGSTER_HOME); }
	DAGSTER_HOME=$(DAGSTER_HOME) DAGSTER_DISABLE_TELEMETRY=1 $(BIN)/dg dev --port $(or $(PORT),3000)

test-ui: $(VENV)/.ui ## the same pipeline, driven through the UI by a headless Chromium
	$(BIN)/python -m pytest tests/ui --no-cov -p no:randomly

pictures: ## the pictures of the documentation, taken anew
	PICTURES=docs/pictures $(MAKE) test-ui
	PICTURES=docs/pictures $(BIN)/python -m pytest tests/test_notebooks.py --no-cov

docs: $(VENV)/.docs ## the documentation, built into site/; warnings are errors
	@$(BIN)/python -m docs_build

docs-serve: $(VENV)/.docs ## the same at http://localhost:8000, anew with every change of a page
	$(BIN)/python -m zensical serve

clean: ## remove the environment and all caches
	rm -rf $(VENV) $(VENV)-openaivec site .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.*

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
ifdef UV
	$(UV) venv --quiet --python $(PYTHON) $(VENV)
else
	$(PYTHON) -m venv $(VENV)
endif

$(VENV)/.demo: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing into $(VENV) ..."
	$(INSTALL) --editable ".[sandbox,cli]"
	@touch $@

$(VENV)/.notebooks: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing into $(VENV) ..."
	$(INSTALL) --editable ".[notebooks]"
	@touch $@

$(VENV)/.dagster: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing into $(VENV) ..."
	$(INSTALL) --editable ".[sandbox,cli,dagster]"
	@touch $@ $(VENV)/.demo

$(VENV)/.docs: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing into $(VENV) ..."
	$(INSTALL) --editable ".[docs,sandbox,cli,dagster]"
	@touch $@

$(VENV)/.ui: $(VENV)/.dev
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq chromium; } \
		|| { echo "A browser is needed: as root, apt-get install chromium"; exit 1; }
	$(INSTALL) --editable ".[ui]"
	@touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing into $(VENV) ..."
	$(INSTALL) --editable ".[dev]"
	@touch $@ $(VENV)/.demo $(VENV)/.dagster $(VENV)/.docs

# openaivec, which is measured beside the library, has an environment of its own; without it the rest is measured.
$(VENV)/.bench: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing into $(VENV) ..."
	$(INSTALL) --editable ".[bench]"
ifdef UV
	-$(UV) venv --quiet --allow-existing --python $(BIN)/python $(VENV)-openaivec
else
	-$(BIN)/python -m venv $(VENV)-openaivec
endif
	-$(INSTALL_PEER) "openaivec>=2.9,<3"
	@touch $@
