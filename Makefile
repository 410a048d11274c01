# Everything a checkout needs. `make` alone lists what there is.
#
# Each target makes .venv and installs what it needs; stamps in .venv remember what is installed, so
# a second call starts at once. PYTHON=python3.12 chooses the interpreter of a new .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORE := $(VENV)/.core-installed
DEV := $(VENV)/.dev-installed
RAY := $(VENV)/.ray-installed
SCRIPTS := $(wildcard examples/*.py)

.DEFAULT_GOAL := help
.PHONY: help demo test test-browser test-faults test-faults-long test-ray test-ray-long test-slow lint format bench mujoco notebooks clean

help:
	@echo "make demo       train CartPole-v1, evaluate it and draw its learning curve"
	@echo "make test       run the tests"
	@echo "make test-browser  run the tests of reports and of uphill watch in Chromium"
	@echo "make test-faults   kill trainings, fill disks and alter files (a minute)"
	@echo "make test-faults-long  the same at hundreds of moments, with thousands of files"
	@echo "make test-ray   train on a Ray cluster of two nodes, both of this machine (a minute)"
	@echo "make test-ray-long  the same, with a killed node and addresses where no cluster is"
	@echo "make test-slow  run the learning tests that take minutes"
	@echo "make lint       ruff, basedpyright and import-linter"
	@echo "make format     let ruff fix what it can"
	@echo "make bench      measure the quick figures of benchmarks/README.md"
	@echo "make mujoco     measure what is missing of docs/mujoco.md (hours; goes on where it stopped)"
	@echo "make notebooks  run the scripts of examples/ and keep them, with what they show, as .ipynb"
	@echo "make clean      remove .venv and what tools left behind (never runs/)"

demo: $(CORE)
	$(BIN)/uphill train CartPole-v1

test: $(DEV)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile
	@# The first call compiles quickly; what repeats bit for bit must do so as users compile it.
	XLA_FLAGS= $(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m bits tests

test-browser: $(DEV)
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || { \
	  echo "make test-browser needs Chromium: install it, on Debian with" \
	    "\`apt-get install chromium\`." >&2; exit 1; }
	$(BIN)/python -m pytest -m browser tests/browser

test-faults: $(DEV)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadgroup -m 'faults and not faults_long' tests/faults

test-faults-long: $(DEV)
	@# As users compile; the short form compiles quickly.
	XLA_FLAGS= $(BIN)/python -m pytest --numprocesses 2 --dist loadgroup -m faults tests/faults

test-ray: $(RAY)
	@# As users compile: what tasks come to is compared bit for bit.
	XLA_FLAGS= $(BIN)/python -m pytest -m 'ray and not ray_long' tests/clusters

test-ray-long: $(RAY)
	XLA_FLAGS= $(BIN)/python -m pytest -m ray tests/clusters

test-slow: $(DEV)
	$(BIN)/python -m pytest -m slow

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

format: $(DEV)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(DEV)
	$(BIN)/python -m benchmarks

mujoco: $(DEV)
	$(BIN)/python -m benchmarks.mujoco

notebooks: $(DEV)
	$(BIN)/jupytext --to ipynb --set-kernel python3 $(SCRIPTS)
	$(BIN)/jupyter-nbconvert --to notebook --inplace --execute \
	  --ExecutePreprocessor.record_timing=False $(SCRIPTS:.py=.ipynb)

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .import_linter_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Uphill needs Python 3.11 or newer, but $(PYTHON) is" \
	    "$$($(PYTHON) --version 2>/dev/null || echo missing): install one, or say which:" \
	    "make demo PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "$(PYTHON) could not make a virtual environment: install its venv module" \
	    "(python3-venv on Debian and Ubuntu)." >&2; exit 1; }

$(CORE): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(DEV): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]' --constraint constraints.txt
	@touch $@ $(CORE)

$(RAY): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[dev,ray]' --constraint constraints.txt
	@touch $@ $(CORE) $(DEV)
