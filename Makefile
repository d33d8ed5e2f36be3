# Each target makes .venv and installs what it needs into it, once. `make help` lists the targets.
#
#   make compare ARGS="--norms bn,an --epochs 3"    hands options on to the command
#   make test PYTHON=python3.12                     chooses the Python that .venv is made from

PYTHON ?= python3
ARGS ?=
PIP := .venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check --no-compile

.DEFAULT_GOAL := help
.PHONY: help compare test lint soak mutants docs
.NOTPARALLEL:

help: ## print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s  %s\n", $$1, $$2 }' Makefile

compare: .venv/run.stamp ## check all gradients, train with every normalizer, write runs/compare/report.html
	@.venv/bin/an-ref compare $(ARGS)

test: .venv/test.stamp ## run the tests
	@.venv/bin/python -m pytest -n auto $(ARGS)

lint: .venv/test.stamp ## run ruff (rules and format) and mypy
	.venv/bin/python -m ruff check .
	.venv/bin/python -m ruff format --check .
	.venv/bin/python -m mypy

soak: .venv/test.stamp ## check the gradients of 10,000 random cases: the checker must raise no false alarm
	@.venv/bin/python scripts/soak.py $(ARGS)

mutants: .venv/mutants.stamp ## break the core in 2,200 places, one at a time: a test must notice each (docs/mutants.md)
	@.venv/bin/python scripts/mutants.py $(ARGS)

docs: .venv/docs.stamp ## build the site: build/site/index.html
	@.venv/bin/python -m sphinx -q -W --keep-going docs build/site $(ARGS)
	@echo "Site: build/site/index.html"

# pip is the last thing that venv puts there, so a half-made .venv is finished at the next run.
.venv/bin/pip:
	@command -v "$(PYTHON)" >/dev/null || { echo "an_ref needs Python 3.11 or later: '$(PYTHON)' was not found; try: make PYTHON=python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "an_ref needs Python 3.11 or later: '$(PYTHON)' is $$("$(PYTHON)" --version 2>&1); try: make PYTHON=python3.12" >&2; exit 1; }
	@echo "making .venv and filling it (about a minute, once)"
	@"$(PYTHON)" -m venv .venv

.venv/run.stamp: pyproject.toml | .venv/bin/pip
	@echo "installing an_ref and what it needs into .venv"
	@$(PIP) -e .
	@touch $@

.venv/test.stamp: pyproject.toml | .venv/bin/pip
	@echo "installing an_ref and its test tools into .venv"
	@$(PIP) -e '.[test]'
	@touch .venv/run.stamp $@

.venv/mutants.stamp: pyproject.toml | .venv/bin/pip
	@echo "installing mutmut and the test tools into .venv"
	@$(PIP) -e '.[test,mutants]'
	@touch .venv/run.stamp .venv/test.stamp $@

.venv/docs.stamp: pyproject.toml | .venv/bin/pip
	@echo "installing an_ref and Sphinx into .venv"
	@$(PIP) -e '.[docs]'
	@touch .venv/run.stamp $@
