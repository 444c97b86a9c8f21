# Two targets matter to a newcomer: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --compile-bytecode
export DAGSTER_HOME ?= $(CURDIR)/dagster_home
export DAGSTER_DISABLE_TELEMETRY ?= 1
# Compiled bytecode halves every start-up; some machines switch it off globally.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo dev test lint bench soak docs clean
.DEFAULT_GOAL := demo

$(VENV)/bootstrap: constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@touch $@

$(VENV)/run: $(VENV)/bootstrap pyproject.toml
	$(UV) --editable .
	@touch $@

$(VENV)/test: $(VENV)/run
	$(UV) --group test
	@touch $@

$(VENV)/lint: $(VENV)/test
	$(UV) --group lint
	@touch $@

demo: $(VENV)/run  ## copy a whole built-in account into DuckDB
	$(BIN)/pipedrive-assets demo

dev: $(VENV)/run  ## the Dagster UI on http://127.0.0.1:3000
	$(BIN)/dagster dev --host 127.0.0.1 --port 3000

test: $(VENV)/test  ## every test, under ten minutes on two cores
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not soak" $(ARGS)

soak: $(VENV)/test  ## the slow checks
	$(BIN)/python -m pytest -m soak --hypothesis-profile=soak --timeout=3600 $(ARGS)

lint: $(VENV)/lint  ## format, lint, types, import rules, duplicate code, definitions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pylint --disable=all --enable=duplicate-code --min-similarity-lines=10 --ignore-imports=y --ignore-comments=y --ignore-docstrings=y --ignore-signatures=y pipedrive_assets
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dg check defs

bench: $(VENV)/run  ## printed tables of speed, tokens and memory
	$(BIN)/python -m benchmarks.run

docs: $(VENV)/run  ## write the generated documents anew
	$(BIN)/python -m pipedrive_assets.settings_docs > docs/configuration.md

clean:
	rm -rf $(VENV)
