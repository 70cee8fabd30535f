# The same words on a laptop and in CI. PORT and PYTHON can be given: make demo PORT=8010 PYTHON=python3.12
PYTHON ?= python3
PORT ?= 8000
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# some 150 servers, workers and builds are started by the tests alone: none of them is to compile modules anew
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test lint bench docs clean

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python >= 3.11 is needed, $(PYTHON) is older; use make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV)

# one stamp per set of packages: set-up runs again only when the requirements change
$(VENV)/demo.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --quiet --constraint constraints.txt --editable '.[server,demo]'
	@touch $@

# holds all of the demo's; pip would compile 440 packages for 40 s, Python compiles the modules that are used
$(VENV)/dev.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --quiet --no-compile --constraint constraints.txt --editable '.[dev]'
	@touch $(VENV)/demo.stamp $@

demo: $(VENV)/demo.stamp
	@$(BIN)/python -m sample_catalogs.demo --directory .demo --port $(PORT) $(if $(ONESHOT),--oneshot)

test: $(VENV)/dev.stamp
	@sh tests/system_tools.sh
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --num-workers 2
	$(BIN)/lint-imports

bench: $(VENV)/dev.stamp
	$(BIN)/python -m benchmarks.run_all --out benchmarks/results

$(VENV)/docs.stamp: $(VENV)/demo.stamp
	$(PIP) install --quiet --constraint constraints.txt --editable '.[docs]'
	@touch $@

docs: $(VENV)/docs.stamp
	$(BIN)/sphinx-build -W -b html docs docs/_build/html

clean:
	rm -rf .demo docs/_build build dist
