# One command list; CI calls the same targets.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
SOURCES = fastpath gateway adapters benchmarks tests examples docs setup.py

.PHONY: help install build demo test check check-slow sanitize fmt docs new-adapter wheel bench debug clean

help:  ## what there is
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

PIP = $(BIN)/pip --quiet --disable-pip-version-check
# In .venv rather than in an isolated build: a later build then sees the same Cython and does nothing again.
BUILD_NEEDS = 'setuptools>=77' 'cython>=3.1,<4'

EXTENSIONS = $(wildcard fastpath/*.pyx fastpath/*.pxd fastpath/*.h gateway/bench/*.pyx gateway/bench/*.pxd gateway/journal/*.pyx)

$(VENV)/.runtime: $(BIN)/python pyproject.toml setup.py
	$(PIP) install $(BUILD_NEEDS)
	$(PIP) install --no-build-isolation -e .
	@touch $@ $(VENV)/.built

# What is built and current is not built again: then only the tools come on top.
CURRENT = $(if $(wildcard $(VENV)/.built),$(if $(shell find $(EXTENSIONS) -newer $(VENV)/.built),,yes))

$(VENV)/.dev: $(BIN)/python pyproject.toml setup.py
	$(PIP) install $(BUILD_NEEDS)
	$(if $(CURRENT),FAREGATE_ONLY=none) $(PIP) install --no-build-isolation -e '.[dev]'
	@touch $@ $(VENV)/.runtime $(VENV)/.built

# Installing builds too; this is for sources that changed since.
$(VENV)/.built: $(VENV)/.runtime $(EXTENSIONS)
	$(BIN)/python setup.py -q build_ext --inplace
	@touch $@

install: $(VENV)/.runtime  ## make .venv with the gateway and what it needs

build: $(VENV)/.dev $(VENV)/.built  ## build the extensions in place

demo: install $(VENV)/.built  ## Beijing's riders against a gateway of its own, with a crash and a check (DEMO_SECONDS=20)
	PYTHONPATH=. $(BIN)/python -m gateway.simulate.demo

test: build  ## run the tests
	$(BIN)/python -m pytest

check: $(VENV)/.dev  ## lint, types, import rules, generated pages
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	PYTHONPATH=. $(BIN)/python docs/generate.py --check

CRASH = $(BIN)/python -m benchmarks.crash --json

check-slow: build  ## stubs against modules, Cython style, the long tests, a little of the crash harness, the sanitizers
	$(BIN)/stubtest fastpath gateway.bench gateway.journal._flight --ignore-missing-stub --mypy-config-file pyproject.toml \
		--allowlist tests/stubtest_allowlist.txt --ignore-unused-allowlist
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint --max-line-length 120 fastpath gateway/bench gateway/journal
	$(BIN)/python -m pytest -m slow
	$(CRASH) --rounds 10
	$(CRASH) --rounds 4 --journal valkey
	$(CRASH) --schedules 300
	$(CRASH) --power-cuts 100
	$(CRASH) --storm 1000
	$(CRASH) --mutations
	$(MAKE) sanitize

sanitize: $(VENV)/.dev  ## the suite on a build with ASAN and UBSAN, then the usual build again
	FAREGATE_SANITIZE=1 $(BIN)/python setup.py -q build_ext --inplace --force --build-temp build/sanitize
	ASAN_OPTIONS=detect_leaks=0 LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
		$(BIN)/python -m pytest -p no:randomly; status=$$?; \
		$(BIN)/python setup.py -q build_ext --inplace --force; exit $$status

fmt: $(VENV)/.dev  ## format
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

docs: build  ## make the pages and files that are made from code
	PYTHONPATH=. $(BIN)/python docs/generate.py

DOMAIN ?= hospital
DIR ?= $(NAME)

new-adapter: $(VENV)/.dev  ## a new adapter that passes the conformance kit: NAME=city-clinic DOMAIN=hospital DIR=../city-clinic
	@test -n "$(NAME)" || { echo "make new-adapter NAME=city-clinic [DOMAIN=hospital] [DIR=...]"; exit 2; }
	PYTHONPATH=. $(BIN)/python -m adapters.testing.new $(NAME) --domain $(DOMAIN) --dir $(DIR)

wheel: $(VENV)/.dev  ## build a wheel into dist/
	$(PIP) wheel --no-deps --wheel-dir dist .

bench: build  ## the large benchmarks, then the gateway beside its peers
	$(BIN)/python -m pytest benchmarks --benchmark-enable --benchmark-only
	$(BIN)/python -m benchmarks.peers

debug: $(VENV)/.dev  ## build with bounds checks and line tracing
	FAREGATE_DEBUG=1 $(BIN)/python setup.py -q build_ext --inplace --force --build-temp build/debug

clean:  ## remove what was built
	rm -rf build dist *.egg-info fastpath/_*.c fastpath/*.so fastpath/*.html
	rm -rf gateway/bench/_*.c gateway/bench/*.so gateway/bench/*.html
	rm -rf gateway/journal/_*.c gateway/journal/*.so gateway/journal/*.html
