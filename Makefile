# Everything sets itself up from the package index: a virtual environment, the package, what it needs.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
ARGS ?=
KILLS ?= 20
PROCESSES ?= 2

# Bytecode is kept: a test run starts a hundred interpreters, and each would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

# The processes share the cores: one thread each for linear algebra.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(PROCESSES) --dist loadgroup --no-loadscope-reorder

.PHONY: playground test check types tests quick kills clean

playground: $(VENV)/.playground  ## the whole loop on this machine; make playground ARGS="--once --json"
	@$(BIN)/sagestream playground $(ARGS)

test: check  ## linters, types, floors, tests

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@$(MAKE) --no-print-directory --jobs 2 types tests

types: $(VENV)/.test
	$(BIN)/lint-imports
	$(BIN)/mypy

tests: $(VENV)/.test
	$(PYTEST) $(ARGS)

quick: $(VENV)/.test  ## tests without services, kills and what is slow; make quick ARGS=tests/training
	$(PYTEST) -m "not service and not kill and not slow" $(ARGS)

kills: $(VENV)/.test  ## kill real processes under load and compare everything; make kills KILLS=200
	@KAFKA_HOME="$${KAFKA_HOME:-$(abspath $(wildcard ../shared/kafka))}" $(BIN)/python -W ignore -m tests.kills --kills $(KILLS)

$(VENV)/.playground: pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit('Sagestream needs Python 3.11 or newer, this is ' + sys.version.split()[0] if sys.version_info < (3, 11) else 0)"
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
	@echo "installing Sagestream into $(VENV) (a minute or two the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[playground]"
	@touch $@

$(VENV)/.test: $(VENV)/.playground
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[test]"
	@touch $@

clean:  ## remove the virtual environment; the state directory stays
	rm -rf $(VENV)

.PHONY: docs
docs: $(VENV)/.playground  ## write the generated pages anew: docs/cli.md
	$(BIN)/python -m sagestream.cli_reference
