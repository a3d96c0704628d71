# Each target does its own set-up on a fresh machine: `make demo`, `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-slow chaos lint benchmark clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test,lint]"
	touch $(READY)

demo: $(READY)
	$(BIN)/cryopl demo

PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test: $(READY)
	$(PYTEST)

# What takes tens of seconds each: sessions that are killed, followed and resumed, statistics; part of CI.
test-slow: $(READY)
	$(PYTEST) -m slow

# Nights with random faults and a kill -9 each, for example `make chaos NIGHTS=200`.
NIGHTS ?= 30
chaos: $(READY)
	CRYOPL_CHAOS_NIGHTS=$(NIGHTS) $(BIN)/python -m pytest tests/acceptance/test_chaos.py -m chaos -n 3 --dist load

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

benchmark: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[benchmark]"
	$(BIN)/python -m pytest benchmarks --benchmark-only -s

clean:
	rm -rf $(VENV) cryopl-demo
