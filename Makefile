# The same words on a laptop and in CI. PORT and PYTHON can be given: make demo PORT=8010 PYTHON=python3.12
PYTHON ?= python3
PORT ?= 8000
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test lint bench docs clean

# one stamp per set of packages: set-up runs again only when the requirements change
$(VENV)/demo.stamp: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python >= 3.11 is needed, $(PYTHON) is older; use make PYTHON=python3.12 ..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --constraint constraints.txt --editable '.[server,demo]'
	@touch $@

$(VENV)/dev.stamp: $(VENV)/demo.stamp
	$(PIP) install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(VENV)/demo.stamp
	@$(BIN)/python -m sample_catalogs.demo --directory .demo --port $(PORT) $(if $(ONESHOT),--oneshot)

# some 150 servers, workers and builds are started: none of them is to compile our modules anew
test: $(VENV)/dev.stamp
	@sh tests/system_tools.sh
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
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
