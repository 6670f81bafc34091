# For a newcomer: `make demo`, `make trial-demo` and `make test`. Needs Python 3.11+ and a package index.
PYTHON ?= python3
BIN := .venv/bin
# Without build isolation the build uses the pinned setuptools, too.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo trial-demo test lint format clean

demo: .venv/demo.stamp
	$(BIN)/endometer demo demo

trial-demo: .venv/trial.stamp
	$(BIN)/endometer trial demo trial-demo

# Training in a process of its own: after all the others, torch ends it with a segmentation fault.
test: .venv/dev.stamp
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal \
	  --ignore-glob='*/test_train*.py'
	$(BIN)/python -m pytest tests/training/test_train*.py

lint: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "endometer needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/demo.stamp: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) setuptools
	$(INSTALL) --no-build-isolation -e '.[demo]'
	@touch $@

.venv/trial.stamp: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) setuptools
	$(INSTALL) --no-build-isolation -e '.[trial,review]'
	@touch $@

.venv/dev.stamp: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) setuptools
	$(INSTALL) --no-build-isolation -e '.[dev]'
	@touch $@ .venv/demo.stamp .venv/trial.stamp

clean:
	rm -rf .venv demo trial-demo build *.egg-info .pytest_cache .mypy_cache .ruff_cache
