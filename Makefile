# Commands for people and for .ci/run. Works with GNU make 3.81 (macOS) and later.

VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

# The first Python from 3.11 to 3.13 that can make a virtual environment; `make PYTHON=… demo` to choose another.
CAN_VENV = import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c '$(CAN_VENV)' 2>/dev/null && { echo $$p; break; }; done)

PIP = $(BIN)/python -m pip --disable-pip-version-check --no-input install --quiet
COMPILE = env UV_NO_CONFIG=1 $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make requirements' $(ARGS) pyproject.toml

.PHONY: help demo test quick test-apache lint types bench schemas example requirements clean
.DEFAULT_GOAL := help

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile

demo: $(VENV)/.run ## broker, workers, made-up traffic and the live page; Ctrl-C ends all of it
	@exec $(BIN)/campaignwatch up --demo $(ARGS)

test: $(VENV)/.dev ## every test, with the embedded broker (ARGS='-k name' for some)
	@exec $(BIN)/python -m pytest $(ARGS)

quick: $(VENV)/.dev ## the tests that take no longer than seconds
	@exec $(BIN)/python -m pytest -m 'not slow' $(ARGS)

test-apache: $(VENV)/.dev ## the tests that use a broker, against Apache Kafka (needs Java 17 and Maven)
	@CAMPAIGNWATCH_TEST_BROKER=apache exec $(BIN)/python -m pytest -m integration $(ARGS)

lint: $(VENV)/.dev ## ruff
	@exec $(BIN)/ruff check . $(ARGS)

types: $(VENV)/.dev ## mypy, strict
	@exec $(BIN)/mypy $(ARGS)

bench: $(VENV)/.dev ## events per second, beside plain Faust on the same events
	@exec $(BIN)/python -m benchmarks $(ARGS)

schemas: $(VENV)/.dev ## write schemas/json from the definitions
	@exec $(BIN)/python -m schemas.generate

example: $(VENV)/.dev ## write campaignwatch.example.yaml from the settings
	@$(BIN)/python -m streams.settings > campaignwatch.example.yaml

requirements: $(VENV)/.dev ## pin every dependency again (ARGS=--upgrade for newer ones)
	@$(COMPILE) --group build -o requirements.txt
	@$(COMPILE) --group build --group dev -c requirements.txt -o requirements-dev.txt

clean: ## remove the environment and every cache, not the state
	rm -rf $(VENV) .cache .ci-logs .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist tests/browser/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps say what .venv holds; a changed requirements file or pyproject.toml brings it up to date.
$(VENV)/.run: requirements.txt pyproject.toml
	$(call install,requirements.txt)
	@touch $@

$(VENV)/.dev: requirements-dev.txt requirements.txt pyproject.toml
	$(call install,requirements-dev.txt)
	@touch $(VENV)/.run $@

define install
@if [ -z "$(PYTHON)" ]; then \
	echo "No Python 3.11, 3.12 or 3.13 with venv found. Install one (Debian: apt install python3-venv)" \
		"or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 2; fi
@if ! $(BIN)/python -c 'import pip' 2>/dev/null; then \
	echo "Making $(VENV) with $$($(PYTHON) --version)"; $(PYTHON) -m venv --clear $(VENV); fi
@echo "Installing $(1) (only when it changed; about a minute)"
@$(PIP) --require-hashes -r $(1)
@$(PIP) --no-deps --no-build-isolation --editable .
endef
