# Two commands: `make demo` and `make test`. Both set up .venv first, where it isn't there yet.
PYTHON ?= python3
VENV ?= $(if $(filter python3,$(notdir $(PYTHON))),.venv,.venv-$(notdir $(PYTHON)))
BIN := $(VENV)/bin
READY := $(VENV)/.ready
WEB := hatch_build.py $(wildcard web/*.* web/src/*)
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: help setup demo test slow lint format qgis constraints clean

help:
	@echo "make demo    run the whole chain on a simulated scene (results in demo/)"
	@echo "make test    run the test suite            make slow   the minutes-long tests too"
	@echo "make qgis    the QGIS plugin's tests    (QGIS and Debian's Python must be there)"
	@echo "make lint    ruff, mypy, import layers     make format format the code"
	@echo "PYTHON=python3.12 chooses another interpreter"

setup: $(READY)

$(READY): pyproject.toml constraints.txt $(WEB)
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet "pip>=25.1"
	$(PIP) install --quiet --constraint constraints.txt --editable . --group test --group lint
	touch $@

demo: $(READY)
	LANDSHIFT_OFFLINE=1 $(BIN)/landshift demo --out demo

PYTEST := OMP_NUM_THREADS=1 LANDSHIFT_OFFLINE=1 $(BIN)/python -m pytest -n 2 --dist worksteal

test: $(READY)
	$(PYTEST) -m "not slow"

slow: $(READY)
	$(PYTEST)

# the plugin's tests, in Debian's Python, for which QGIS is built
qgis: $(READY)
	/usr/bin/python3 -m venv --system-site-packages .venv-qgis
	.venv-qgis/bin/python -m pip --disable-pip-version-check install --quiet pytest-qgis
	cd qgis && QT_QPA_PLATFORM=offscreen ../.venv-qgis/bin/python -m pytest -q

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv .venv-* build dist demo
