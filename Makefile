# Two commands do everything: `make demo` and `make test`. Each sets itself up in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint docs pictures bench trust fuzz wheelhouse lock clean

# Without a network: `make wheelhouse` on a machine of the same kind, then `make demo OFFLINE=wheelhouse` here.
# It and `make demo LOCKED=1` install the packages of locks/demo.txt and no others, by their hashes.
OFFLINE ?=
LOCKED ?= $(OFFLINE)

demo: $(VENV)/.demo
	$(BIN)/python scripts/demo.py

# A process that dies ends the suite: what takes its place would wait for ever.
test: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/mypy

# The documents as a site in each language, without a network.
docs: $(VENV)/.docs
	$(BIN)/python docs/reference.py
	$(BIN)/zensical build --strict --config-file mkdocs.es.yml
	$(BIN)/zensical build --strict --config-file mkdocs.en.yml

# What the tutorials show: the output of their commands, and pictures of report and worklist; needs Chromium.
pictures: $(VENV)/.test
	$(BIN)/python docs/record.py en
	$(BIN)/python docs/record.py es

# Every benchmark that takes less than ten minutes, into benchmarks/results.md; on films of your own with
# make bench BENCH='--prepared clasificacion --labels labels/labels.csv --originals films.zip'
BENCH ?=
bench: $(VENV)/.test
	$(BIN)/python benchmarks/run_all.py $(BENCH)

# What benchmarks/reliability.md tells, measured and written: two hours with these numbers; the published ones
# take a night (make trust KILLS=2000 SECONDS=3600 MINUTES=30).
KILLS ?= 300
SECONDS ?= 60
MINUTES ?= 5
trust: fuzz
	for part in "kills.py --kills $(KILLS)" "kills.py --steps" faults.py properties.py \
	    "load.py --minutes $(MINUTES)"; do \
	  $(BIN)/python benchmarks/reliability/$$part || failed=1; done; \
	  $(BIN)/python benchmarks/reliability/page.py; test -z "$$failed"

# Every reader of what others may have written, so many seconds each.
fuzz: $(VENV)/.test
	$(BIN)/python -m fuzz --seconds $(SECONDS)

wheelhouse:
	$(PYTHON) -m pip download --require-hashes -r locks/demo.txt --dest $@

# Renews the locks, of the demo and of a node that answers other machines; needs uv.
lock:
	uv pip compile $(COMPILE) --extra cpu --extra offline -o locks/demo.txt
	uv pip compile $(COMPILE) --extra cpu --extra offline --extra serve --extra dicom -o locks/node.txt
COMPILE := --quiet pyproject.toml --universal --python-version 3.11 --generate-hashes --upgrade

clean:
	rm -rf $(VENV) demo build *.egg-info

# One marker per set of packages, renewed when pyproject.toml changes.
$(VENV)/.demo: EXTRAS := cpu,offline
$(VENV)/.test: EXTRAS := offline,dev
$(VENV)/.docs: EXTRAS := docs
$(VENV)/.demo $(VENV)/.test $(VENV)/.docs: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed. Name one with: make PYTHON=python3.12 demo"; exit 2; }
	@echo "Installing into $(VENV) (once; a few minutes) ..."
	@if [ -n "$(LOCKED)" ]; then \
	  $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	    $(if $(OFFLINE),--no-index --find-links $(OFFLINE)) --require-hashes -r locks/demo.txt && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-index --no-deps \
	    --no-build-isolation -e .; \
	elif command -v uv >/dev/null 2>&1; then \
	  uv venv --quiet --allow-existing --python $(PYTHON) $(VENV) && \
	  uv pip install --quiet --python $(BIN)/python -e '.[$(EXTRAS)]'; \
	else \
	  $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet -e '.[$(EXTRAS)]'; \
	fi
	@touch $@
