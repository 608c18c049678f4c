# make demo · make test · make lint · make types · make install · make clean
# make runtime: only what sessions need
# Options: PYTHON=python3.12  ARGS="--clip me.mp4"  PIP_ARGS="..." (passed to every pip install)
#          VENV_ARGS=--system-site-packages (a Jetson's own TensorRT becomes visible)

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
CANDIDATES := $(PYTHON) python3 python3.12 python3.11 python3.10
IN_RANGE := import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))
# Installed first and by exact version: a range would take the newest build, gigabytes of CUDA.
TORCH := torch==2.13.0
# Types of full TensorRT, which it requires and which no package index has: hence without.
STUBS := tensorrt-stubs==10.13.0.35.1

.PHONY: demo test test-slow lint types format install runtime clean
.DELETE_ON_ERROR:

demo: $(VENV)/.runtime
	$(BIN)/unvisor demo $(ARGS)

test: lint types
	$(BIN)/python -m pytest -m "not slow" $(ARGS)

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

install: $(VENV)/.dev

# Without torch and the tools: what a machine needs that only runs sessions.
runtime: $(VENV)/.runtime

clean:
	rm -rf $(VENV) out .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/.created:
	@bash .ci/system-packages
	@for candidate in $(CANDIDATES); do \
	  if $$candidate -c '$(IN_RANGE)' 2>/dev/null; then chosen=$$candidate; break; fi; \
	done; \
	if [ -z "$$chosen" ]; then \
	  echo "unvisor needs Python 3.10, 3.11 or 3.12, and none is on PATH;" \
	    "install one, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; \
	fi; \
	echo "Creating $(VENV) with $$($$chosen --version)"; \
	$$chosen -m venv $(VENV_ARGS) $(VENV) || { \
	  echo "$$chosen cannot make virtual environments;" \
	    "on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@touch $@

# The checkout itself is what runs (editable): six plain top-level packages, never a wheel.
$(VENV)/.runtime: $(VENV)/.created pyproject.toml
	$(BIN)/python -m pip install --disable-pip-version-check $(PIP_ARGS) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime pyproject.toml
	$(BIN)/python -m pip install --disable-pip-version-check $(PIP_ARGS) "$(TORCH)"
	$(BIN)/python -m pip install --disable-pip-version-check $(PIP_ARGS) -e ".[dev]"
	$(BIN)/python -m pip install --disable-pip-version-check $(PIP_ARGS) --no-deps "$(STUBS)"
	@touch $@
