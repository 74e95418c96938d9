# `make help` lists what there is to do.

PYTHON ?= $(shell for p in python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp

.DEFAULT_GOAL := help
.PHONY: help setup demo test bench bench-receive campaign check format clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## install everything into .venv (PYTHON=python3.12 picks the interpreter)

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "cardionode needs Python 3.11 or newer; set PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[train,test]'
	@touch $@

demo: setup ## send the sample studies through a node and show what comes back
	$(BIN)/cardionode demo

test: setup ## run the tests (TESTS=tests/unit narrows them, PYTEST_ARGS adds options)
	$(BIN)/python -m pytest -m "not campaign" $(PYTEST_ARGS) $(TESTS)

bench: setup ## measure from the last byte of a cine to its report (BENCH_ARGS="--rounds 9")
	$(BIN)/python -m tests.benchmarks.turnaround $(BENCH_ARGS)

bench-receive: setup ## measure receiving beside Orthanc, storescp and others (BENCH_ARGS=--quick)
	$(BIN)/python -m tests.benchmarks.receive $(BENCH_ARGS)

campaign: setup ## run the long fault and fuzz campaigns (hours; PYTEST_ARGS="--seed 7" repeats one)
	$(BIN)/python -m pytest -m campaign -s --timeout 0 $(PYTEST_ARGS) $(TESTS)

check: setup ## everything that can be checked without running: format, lint, types, imports, spelling
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell --toml pyproject.toml $$(git ls-files | grep -v -E '\.dcm$$|\.safetensors$$|LICENSE|constraints|models/weights/.*\.json')

format: setup ## format the code and mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove the virtual environment and every cache
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
