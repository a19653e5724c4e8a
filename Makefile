# Everything sets itself up: .venv is made when it is missing, and filled again when pyproject.toml or constraints.txt
# change. PYTHON=/path/to/python chooses the interpreter for a new .venv.

VENV ?= .venv
BIN := $(VENV)/bin
CONSTRAINTS := $(wildcard constraints.txt)
AZURITE := .azurite/node_modules/.bin/azurite-table
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(addprefix --constraint ,$(CONSTRAINTS))
PYTHONS := $(PYTHON) python3.13 python3 python python3.14 python3.12 python3.11

# Looks at millions of worlds: to measure coverage there would take most of the time.
EXPLORED := tests/simulation/graphs

.PHONY: help demo test model bench lint docs azurite requirements clean

help: ## say what there is
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' Makefile | expand -t 12

demo: $(VENV)/.demo ## run a shop with 300 orders on the embedded engine
	@$(BIN)/boilermaker-fn demo

test: $(VENV)/.dev azurite ## run all tests
	$(BIN)/pytest -n 2 $(if $(CI),--cov --cov-report=term --ignore=$(EXPLORED))
	$(if $(CI),$(BIN)/pytest -q -n 2 $(EXPLORED))

model: $(VENV)/.dev ## explore small graphs for which the tests have no time, half a minute each at most
	$(BIN)/python -m tests.simulation.graphs.plans 30

bench: $(VENV)/.dev ## measure speed and import time against peers
	$(BIN)/python -m bench

lint: $(VENV)/.dev ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy examples/orders
	$(BIN)/pyright --pythonpath $(BIN)/python

docs: $(VENV)/.dev ## run the code in the documentation and follow its links
	$(BIN)/pytest -q tests/unit/test_docs.py

requirements: $(VENV)/.dev ## write requirements.txt, what is installed in Azure
	$(BIN)/python infra/requirements.py

azurite: ## install the table emulator that tests use, if npm is there
	@test -x $(AZURITE) || { \
	    command -v npm >/dev/null || { echo "npm is not there: tests against Azurite will be skipped"; exit 0; }; \
	    mkdir -p .azurite && cd .azurite && \
	    npm install --silent --no-save --no-package-lock --no-audit --no-fund azurite@3.37.0; }

clean: ## remove .venv, .bench-venv, .azurite and what tools left behind
	rm -rf $(VENV) .bench-venv .azurite .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage* build dist

$(VENV)/.demo: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	$(INSTALL) --editable '.[cli,cpu]'
	@touch $@

# All that the demo needs is among what development needs.
$(VENV)/.dev: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	$(INSTALL) --editable '.[dev]'
	@touch $@ $(VENV)/.demo

# A name on the path is not enough: it can be a shim for a version that is not there.
$(BIN)/python:
	@for python in $(PYTHONS); do \
	    if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        echo "$$python -m venv $(VENV)"; \
	        exec "$$python" -m venv $(VENV); \
	    fi; \
	done; \
	echo "boilermaker_fn needs Python 3.11 or newer, and none of these is: $(PYTHONS)." >&2; \
	echo "Install one, or name it: make PYTHON=/path/to/python ..." >&2; \
	exit 1
