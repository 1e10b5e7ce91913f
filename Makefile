# Two commands do everything: `make demo` and `make test`. Each sets itself up in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint bench clean

demo: $(VENV)/.demo
	$(BIN)/python scripts/demo.py

test: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/mypy

# Every benchmark that takes less than ten minutes, into benchmarks/results.md; on films of your own with
# make bench BENCH='--prepared clasificacion --labels labels/labels.csv --originals films.zip'
BENCH ?=
bench: $(VENV)/.test
	$(BIN)/python benchmarks/run_all.py $(BENCH)

clean:
	rm -rf $(VENV) demo build *.egg-info

# One marker per set of packages, renewed when pyproject.toml changes.
$(VENV)/.demo: EXTRAS := offline
$(VENV)/.test: EXTRAS := offline,dev
$(VENV)/.demo $(VENV)/.test: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed. Name one with: make PYTHON=python3.12 demo"; exit 2; }
	@echo "Installing into $(VENV) (once; a few minutes) ..."
	@if command -v uv >/dev/null 2>&1; then \
	  uv venv --quiet --allow-existing --python $(PYTHON) $(VENV) && \
	  uv pip install --quiet --python $(BIN)/python -e '.[$(EXTRAS)]'; \
	else \
	  $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet -e '.[$(EXTRAS)]'; \
	fi
	@touch $@
