# Everything sets itself up from the package index: a virtual environment, the package, what it needs.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
ARGS ?=
KILLS ?= 20
PROCESSES ?= 2

PIP = $(BIN)/python -m pip install -qq --no-compile --disable-pip-version-check --constraint constraints.txt
UV = $(BIN)/uv pip

# Bytecode is made and kept when a module is first imported, not at the install, for every file. A test run starts a
# hundred interpreters, and each would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

# The processes share the cores: one thread each for linear algebra.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(PROCESSES) --dist loadgroup --no-loadscope-reorder

.PHONY: playground test check types tests quick kills compose-check constraints clean

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

compose-check:  ## docker-compose.yml on a real Docker engine, whose client DOCKER names: make compose-check DOCKER=docker
	@DOCKER="$${DOCKER:-docker}" $(PYTHON) -m tests.compose.check $(ARGS)

$(BIN)/pip:
	@$(PYTHON) -c "import sys; sys.exit('Sagestream needs Python 3.11 or newer, this is ' + sys.version.split()[0] if sys.version_info < (3, 11) else 0)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# The stamp of each extra that is installed. pip brings torch alone: it reads the machine's own indexes, so a CPU build is
# taken where one is offered. uv brings the rest, in seconds.
$(VENV)/.playground $(VENV)/.test: $(VENV)/.%: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "installing Sagestream into $(VENV), with what the extra '$*' needs"
	@$(PIP) --no-deps torch
	@{ test -x $(BIN)/uv || $(PIP) uv; } \
	&& $(UV) install --quiet --python $(BIN)/python --constraint constraints.txt --editable ".[$*]" \
	|| { echo "uv cannot be had, or cannot install here: pip does it, with the machine's own indexes, which takes longer" \
	&& $(PIP) --editable ".[$*]"; }
	@touch $@

$(VENV)/.test: | $(VENV)/.playground  # one after the other, whatever `make --jobs` says

constraints: | $(BIN)/pip  ## exact versions of what pyproject.toml asks for; ARGS=--upgrade takes the newest of everything
	@test -x $(BIN)/uv || $(PIP) uv
	@cp constraints.txt $(VENV)/resolved.txt
	@$(UV) compile --quiet --universal --python-version 3.11 --fork-strategy fewest --all-extras --no-header --no-annotate \
	$(ARGS) --output-file $(VENV)/resolved.txt pyproject.toml
	@{ sed '/^#/!d' constraints.txt && sed -E '/^(cuda|nvidia|triton)\b/d' $(VENV)/resolved.txt; } > $(VENV)/constraints.txt
	@mv $(VENV)/constraints.txt constraints.txt

clean:  ## remove the virtual environment; the state directory stays
	rm -rf $(VENV)

.PHONY: docs
docs: $(VENV)/.playground  ## write the generated pages: docs/cli.md, docs/settings.md, .env.example
	$(BIN)/python -m sagestream.cli_reference
	$(BIN)/python -m sagestream.settings_reference
