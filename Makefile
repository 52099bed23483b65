# Needs Python 3.11+, make and the system's package manager; everything else is set up here, in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PORT ?= 8000
# Fast enough to run at every save: no browser, no server that takes seconds to start.
FAST := tests/unit tests/property tests/contract tests/architecture

.DEFAULT_GOAL := help
.PHONY: help setup demo test check fix bench soak migration lock clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## Set up .venv with everything gamekit needs

$(READY): pyproject.toml requirements.lock .ci/python
	@PYTHON="$(PYTHON)" .ci/python $(VENV)
	@touch $@

demo: $(READY) ## Start gamekit with a demo brand, on embedded servers; PORT=8000
	@$(BIN)/gamekit demo --port $(PORT)

test: $(READY) ## All tests (under 10 minutes on 2 cores)
	@.ci/system test
	@$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile --session-timeout=840

check: $(READY) ## Lint, formatting, types, import contracts and the fast tests
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest -q $(FAST)

fix: $(READY) ## Format, and repair what the linter can
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

bench: $(READY) ## Measure; prints a table and writes var/bench.json
	@.ci/system bench
	@$(BIN)/python -m tests.bench

soak: $(READY) ## The long fault and fuzz runs
	@$(BIN)/python -m tests.faults.soak

migration: $(READY) ## Write the migration that the models need; NAME="what changes"
	@$(BIN)/python -m gamekit.testing.revision "$(NAME)"

lock: $(READY) ## Choose the newest allowed versions anew and write requirements.lock
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --upgrade --quiet \
		--no-annotate --no-header --no-emit-index-url --output-file requirements.lock

clean: ## Remove what the other commands made
	rm -rf $(VENV) var .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
