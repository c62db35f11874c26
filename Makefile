# Two commands do everything on a fresh machine: make demo, make test.
PYTHON ?= python3
MINUTES ?= 2
BIN := .venv/bin
INSTALL := $(BIN)/pip install --quiet --constraint constraints.txt

.PHONY: demo test docs clean

demo: .venv/train
	rm -rf runs/demo
	$(BIN)/sunspring train --minutes $(MINUTES) --out runs/demo
	$(BIN)/sunspring write runs/demo --prompt "The " --length 400

test: .venv/dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pytest --cov --cov-report=term:skip-covered

docs: .venv/dev
	$(BIN)/mkdocs build --strict

.venv/train .venv/dev: pyproject.toml constraints.txt CMakeLists.txt $(wildcard src/kernels/*)
	$(PYTHON) -m venv .venv
	$(INSTALL) --editable '.[$(notdir $@)]'
	touch $@

clean:
	rm -rf .venv build dist site .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
