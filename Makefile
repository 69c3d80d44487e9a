PYTHON ?= python3
STAMP := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo docs test test-slow fuzz check audit clean

INPUTS ?= 10000

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-10s %s\n", $$1, $$2}'

setup: $(STAMP) ## make .venv with everything installed

# Torch alone first: then the index that pip is set to use decides which build of it (CPU or GPU) is installed.
$(STAMP): pyproject.toml constraints.txt
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/pip install -c constraints.txt torch==2.13.0
	.venv/bin/pip install -c constraints.txt -e '.[dev]'
	.venv/bin/python -m compileall -q src
	touch $(STAMP)

demo: $(STAMP) ## decompile a bundled model and print the program
	.venv/bin/drasp decompile D2 --out runs/demo --force

docs: $(STAMP) ## build the documentation site into site/
	.venv/bin/mkdocs build --strict

test: $(STAMP) ## run the tests, on two cores
	.venv/bin/pytest -n 2 -m 'not slow'

test-slow: $(STAMP) ## run the tests that take minutes
	.venv/bin/pytest -m slow

fuzz: $(STAMP) ## damaged inputs of every kind, INPUTS=10000 of each
	DRASP_FUZZ=$(INPUTS) .venv/bin/pytest tests/fuzz

check: $(STAMP) ## lint, types and tests: what a change must pass
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/pytest -n 2 -m 'not slow'

audit: $(STAMP) ## known vulnerabilities of what is installed, and a bill of materials in build/sbom.json
	.venv/bin/pip install -c constraints.txt -e '.[audit]'
	mkdir -p build
	.venv/bin/pip-audit --skip-editable --format cyclonedx-json --output build/sbom.json
	.venv/bin/pip-audit --skip-editable

clean: ## remove everything that was made: .venv, runs, caches
	rm -rf .venv runs site build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis src/drasp.egg-info
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
