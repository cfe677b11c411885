# Everything needs only Python 3.11 or 3.12, make and git. `make env` makes .venv; the other targets call it.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
DEMO := logs/demo

.PHONY: env demo test test-slow lint format benchmarks wheel clean

env: $(STAMP)

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

demo: env ## train a small DAN on synthetic faces, evaluate it, leave pictures (about 5 minutes on 2 cores)
	rm -rf $(DEMO)
	$(BIN)/canthus-train experiment=demo hydra.run.dir=$(DEMO)
	@echo "open $(DEMO)/summary.md and $(DEMO)/overlays/faces.png"

test: env ## every quick test
	$(BIN)/pytest

test-slow: env ## the tests that train for minutes
	$(BIN)/pytest -m slow

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: env
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmarks: env ## side by side with what the field uses; see benchmarks/README.md
	$(BIN)/python benchmarks/data_path.py
	$(BIN)/python benchmarks/reading.py
	$(BIN)/python benchmarks/loop.py
	$(BIN)/python benchmarks/patches.py
	$(BIN)/python benchmarks/latency.py
	$(BIN)/python benchmarks/maps.py

wheel: env
	$(BIN)/python -m build --quiet

clean:
	rm -rf dist build .pytest_cache .mypy_cache .ruff_cache
