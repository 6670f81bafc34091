# For a newcomer: `make demo`, `make trial-demo` and `make test`. Needs Python 3.11+ and a package index.
# For who publishes a version: `make release`.
PYTHON ?= python3
BIN := .venv/bin
# Without build isolation the build uses the pinned setuptools, too.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# What a user may install; not `postgres` and `simus` (LGPL, installed by who wants them) nor `mlflow`.
SHIPPED := train,dicom,dicomweb,node,dask,review,trial,demo

.PHONY: demo trial-demo test lint format release clean

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

# Wheel and source in dist/, the list of all that comes with them (SBOM, CycloneDX), and last a look
# whether any of it has a known weakness, which asks pypi.org and ends the release if so. The tools
# have an environment of their own: what they need is not part of what is listed.
release:
	rm -rf dist build .release
	$(PYTHON) -m venv .release/tools
	$(PYTHON) -m venv --without-pip .release/shipped
	.release/tools/bin/python -m pip install --quiet --disable-pip-version-check \
	  -c constraints.txt build cyclonedx-bom pip-audit setuptools
	.release/tools/bin/python -m build --no-isolation
	.release/tools/bin/python -m pip --python .release/shipped/bin/python install --quiet \
	  --disable-pip-version-check -c constraints.txt "$$(ls dist/*.whl)[$(SHIPPED)]"
	.release/tools/bin/cyclonedx-py environment .release/shipped --pyproject pyproject.toml \
	  --output-reproducible --output-file dist/endometer.cdx.json
	.release/tools/bin/python -m pip --python .release/shipped/bin/python freeze \
	  --exclude endometer > .release/parts.txt
	.release/tools/bin/pip-audit --strict --no-deps --disable-pip --requirement .release/parts.txt

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
	rm -rf .venv .release dist demo trial-demo build *.egg-info .pytest_cache .mypy_cache .ruff_cache
