# `make` lists the targets. GRID_DIR, GRID_PORT, GRID_TIMERS, GRID_SITE and GRID_ARC: see tests/grid/README.md.
.DEFAULT_GOAL := help
.PHONY: help demo test test-quick soak lint bench docs grid-up grid-down grid-status clean venv

# ARC's bindings load only in a Python of the same minor version as the distribution's: on Debian take that one.
DEBIAN_PYTHON := $(if $(wildcard /etc/debian_version),$(wildcard /usr/bin/python3))
PYTHON ?= $(or $(DEBIAN_PYTHON),python3)
VENV := .venv
# Several tests at a time, as most of them wait.
WORKERS ?= 6
PYTEST = $(VENV)/bin/python -m pytest -n $(WORKERS)
GRID := tests/grid/grid.sh
GRID_DIR ?= /tmp/jasmin-arc-grid$(if $(filter 7,$(GRID_ARC)),-arc7)
export GRID_DIR
CONFIG = $(GRID_DIR)/config.json

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

demo: venv  ## start the grid and run one job on it; the job's output comes last
	@if $(GRID) possible; then \
	    $(GRID) up >/dev/null && $(VENV)/bin/python examples/basic.py $(CONFIG); \
	else \
	    echo "So the job runs on this machine instead, with the local backend."; \
	    JASMIN_ARC_BACKEND=local $(VENV)/bin/python examples/basic.py; \
	fi

test: venv  ## run the tests; the grid is left as it was found (PYTEST_ARGS='-k name' for some of them)
	@if [ -n "$$CI" ] || $(GRID) possible; then \
	    JASMIN_ARC_TEST_CONFIG=$(CONFIG) $(GRID) with-all $(PYTEST) $(PYTEST_ARGS); \
	else \
	    echo "So the tests that need it are not run; they are named at the end."; \
	    $(PYTEST) $(PYTEST_ARGS); \
	fi

test-quick: venv  ## run the tests that need no grid, in about a minute
	@$(PYTEST) --without-grid $(PYTEST_ARGS)

soak: venv  ## run the tests that take long: hundreds of kills, limits of minutes
	@JASMIN_ARC_TEST_CONFIG=$(CONFIG) $(GRID) with-all $(PYTEST) --soak $(PYTEST_ARGS)

lint: venv  ## check style, types and spelling
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy --strict jasmin_arc plugins/snakemake
	$(VENV)/bin/codespell

docs: venv  ## build the documentation in docs/_build/html; a warning is an error
	$(VENV)/bin/sphinx-build -W -b html docs docs/_build/html

# On a grid of its own, as all its jobs are erased, with the timers of users' compute elements.
bench: GRID_DIR := $(GRID_DIR)-bench
bench: export GRID_PORT := 8490
bench: export GRID_TIMERS := stock
bench: venv  ## start a grid with stock timers and measure, in about a quarter of an hour
	@$(GRID) with $(VENV)/bin/python benchmarks/run.py $(BENCH_ARGS)

grid-up:  ## start Slurm and an ARC CE on this machine, or ARC 7 with GRID_ARC=7 (installs packages, as root)
	@$(GRID) up

grid-down:  ## end every process of the grid
	@$(GRID) down

grid-status:  ## say what of the grid runs
	@$(GRID) status

clean:  ## remove the virtual environment and what was built; a grid has its own: tests/grid/grid.sh wipe
	rm -rf $(VENV) docs/_build build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

venv: $(VENV)/.installed  ## make the virtual environment in .venv

# From scratch when pyproject.toml has changed: a dependency that was dropped must not linger.
$(VENV)/.installed: pyproject.toml
	@PYTHON='$(PYTHON)' VENV='$(VENV)' tests/grid/make_venv.sh
	@touch $@
