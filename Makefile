# Two targets matter to a newcomer: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --compile-bytecode
DEV_PORT ?= 3000
SANDBOX_PORT ?= 8100
DEMO_HOME := $(CURDIR)/dagster_home/demo
export DAGSTER_HOME ?= $(CURDIR)/dagster_home
export DAGSTER_DISABLE_TELEMETRY ?= 1
# Compiled bytecode halves every start-up; some machines switch it off globally.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo dev dev-demo test lint bench soak docs clean
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
	$(BIN)/dagster dev --host 127.0.0.1 --port $(DEV_PORT)

# A home of its own, so that neither rows nor green partitions of the built-in account mix with a real one's;
# and not from the checkout, where Dagster would prefer the token in .env.
dev-demo: $(VENV)/run  ## the same UI over the built-in account: no token needed
	@mkdir -p $(DEMO_HOME) && cp dagster_home/dagster.yaml $(DEMO_HOME)
	@$(BIN)/pipedrive-assets sandbox --scale small --port $(SANDBOX_PORT) & sandbox=$$!; \
	trap 'kill $$sandbox 2>/dev/null' EXIT; cd $(DEMO_HOME) && \
	unset $$(env | sed -n 's/^\(PIPEDRIVE_[A-Z_]*\)=.*/\1/p') && \
	DAGSTER_HOME=$(DEMO_HOME) PIPEDRIVE_BASE_URL=http://127.0.0.1:$(SANDBOX_PORT) \
	PIPEDRIVE_TOKEN=5a4db0c5e1f2a3b4c5d6e7f8091a2b3c4d5e6f70 PATH="$(CURDIR)/$(BIN):$$PATH" \
	dagster dev --host 127.0.0.1 --port $(DEV_PORT) --workspace $(CURDIR)/workspace.yaml

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
