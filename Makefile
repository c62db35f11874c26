# Two commands do everything on a fresh machine: make demo, make test.
PYTHON ?= python3
MINUTES ?= 2
SECONDS_OF_FUZZING ?= 60
BIN := .venv/bin
INSTALL := $(BIN)/pip install --quiet --constraint constraints.txt

# Workers side by side, each with one thread: tests train tiny models.
PYTEST := $(BIN)/pytest --numprocesses auto --maxprocesses 8

.PHONY: demo test test-long test-without-avx512 coverage docs fuzz clean

demo: .venv/train
	rm -rf runs/demo
	$(BIN)/sunspring train --minutes $(MINUTES) --out runs/demo
	$(BIN)/sunspring write runs/demo --prompt "The " --length 400

test: .venv/dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(PYTEST)

coverage: .venv/dev
	$(PYTEST) --cov --cov-report=term:skip-covered

# What takes long: the engine under sanitizers, fuzzed, and on processors that are emulated; peers.
test-long: .venv/dev
	$(PYTEST) -m long

# Training, writing and understanding as on a processor with AVX2 and no more, wherever this runs.
test-without-avx512: export ONEDNN_MAX_CPU_ISA = AVX2
test-without-avx512: export ATEN_CPU_CAPABILITY = avx2
test-without-avx512: export SUNSPRING_ENGINE_ISA = avx2
test-without-avx512: .venv/dev
	$(PYTEST) $(addprefix tests/,network writing training evaluation runs explanation reports)

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
