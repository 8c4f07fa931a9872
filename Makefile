# One command list; CI calls the same targets.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
SOURCES = fastpath gateway adapters benchmarks tests examples setup.py

.PHONY: help install build demo test check check-slow fmt bench debug clean

help:  ## what there is
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: $(BIN)/python pyproject.toml setup.py
	$(BIN)/pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml setup.py
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/.runtime

install: $(VENV)/.runtime  ## make .venv with the gateway and what it needs

build: $(VENV)/.dev  ## build the extensions in place
	$(BIN)/python setup.py -q build_ext --inplace

test: build  ## run the tests
	$(BIN)/python -m pytest

check: $(VENV)/.dev  ## lint, types, import rules
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: $(VENV)/.dev  ## format
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

clean:  ## remove what was built
	rm -rf build *.egg-info fastpath/_*.c fastpath/*.so fastpath/*.html
