# Two commands do everything on a fresh machine: make demo, make test.
PYTHON ?= python3
MINUTES ?= 2
SECONDS_OF_FUZZING ?= 60
BIN := .venv/bin
INSTALL := $(BIN)/pip install --quiet --constraint constraints.txt

.PHONY: demo test docs fuzz clean

demo: .venv/train
	rm -rf runs/demo
	$(BIN)/sunspring train --minutes $(MINUTES) --out runs/demo
	$(BIN)/sunspring write runs/demo --prompt "The " --length 400

test: .venv/dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pytest --cov --cov-report=term:skip-covered

# Needs clang; finds crashes of the engine on files that nobody wrote.
fuzz: .venv/dev
	$(BIN)/python tests/native/fuzz.py --seconds $(SECONDS_OF_FUZZING)

docs: .venv/dev
	$(BIN)/mkdocs build --strict

.venv/train .venv/dev: pyproject.toml constraints.txt CMakeLists.txt $(wildcard src/native/*/*)
	$(PYTHON) -m venv .venv
	$(INSTALL) --editable '.[$(notdir $@)]'
	touch $@

clean:
	rm -rf .venv build dist site .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
