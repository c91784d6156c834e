# `make help` lists the targets. Each target first creates its environment; it needs only python3 and make.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh

PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
RUN := $(VENV)/bin
LOCK := requirements.lock

# Compiled modules are kept, even where the environment says otherwise: to compile takes a command longer than to run,
# and the tests run hundreds of commands.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup check test attacks interop prove simulate simulate-report chaos chaos-report chaos-seeded bench demo up down status lock pin clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## create .venv with `.venv/bin/mesh` from the lock file; every package is checked by its hash

# uv, itself pinned in the lock file, installs ten times faster than pip. If uv fails, pip does the same, because only
# pip may be configured for the package index.
$(READY): $(LOCK)
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo 'make: Python 3.11, 3.12 or 3.13 is needed; "$(PYTHON)" is '"`$(PYTHON) --version 2>&1`"'. Name another: make PYTHON=python3.12 …' >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo 'make: "$(PYTHON)" has no venv module; on Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@awk '/^uv==/ {on = 1} on && !/^uv==/ && !/^ /  {exit} on' $(LOCK) > $(VENV)/uv.lock
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $(VENV)/uv.lock
	$(RUN)/uv pip install --quiet --python $(RUN)/python --require-hashes --no-deps -r $(LOCK) || \
	  $(RUN)/python -m pip install --disable-pip-version-check --require-hashes --no-deps -r $(LOCK)
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index --editable .
	@touch $@

check: $(READY) ## ruff, mypy, import-linter, unit, contract and property tests, a few simulations; needs no server
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/lint-imports
	$(RUN)/pytest -n auto --dist worksteal -m "not integration and not proof"

test: check ## check, then the integration tests on real servers
	$(RUN)/pytest -m "integration and not proof"

attacks: $(READY) ## every attack of docs/security.md, the slow ones too, on real servers where it needs them
	$(RUN)/pytest tests/attacks

interop: $(READY) ## Kafka Connect and Kafka's Java consumer with the files of `mesh client`, on real servers; 45 MB from Maven
	$(RUN)/pytest tests/interop

prove: $(READY) ## the slow tests: whole cities with four workers, killed workers, on real servers
	$(RUN)/pytest -m proof

# The default seed is random and printed; a run with the same seed injects the same faults in the same order.
MINUTES ?= 10
chaos: $(READY) ## faults on real servers for MINUTES=10 [SEED=…] [EACH=…]; adds to build/chaos.json and build/chaos.html
	@mkdir -p build
	$(RUN)/python -m tests.chaos --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(if $(EACH),--each $(EACH))

chaos-report: $(READY) ## write the totals of all chaos runs to docs/reliability.md and docs/chaos.json
	$(RUN)/python -m tests.chaos.report

chaos-seeded: $(READY) ## chaos with deliberately wrong workers, which the checker must find
	@mkdir -p build
	$(RUN)/python -m tests.chaos.seeded

HOURS ?= 0.1
PROCESSES ?= 2
simulate: $(READY) ## histories with faults on a simulated log, store, clock [SEED=…] [HOURS=…]; adds to build/simulate.json
	$(RUN)/python -m tests.simulation.cli run --seed $(or $(SEED),1) --hours $(HOURS) --processes $(PROCESSES)

simulate-report: $(READY) ## write the totals of all simulations to docs/reliability.md and docs/simulation.json
	$(RUN)/python -m tests.simulation.cli write

bench: $(READY) ## measure each part beside alternatives [PARTS="conversion sink"] [QUICK=1]; writes build/bench.json
	$(RUN)/python -m tests.bench $(if $(QUICK),--quick) $(PARTS)

demo: $(READY) ## run everything from nothing, compare every row with a reference model, write build/demo/report.html
	$(RUN)/mesh demo --samples tests/data/samples/city

up: $(READY) ## start servers and all steps in the background; returns when they are ready
	$(RUN)/mesh up

down: $(READY) ## stop all workers and servers; the data stays
	$(RUN)/mesh down

status: $(READY) ## show servers, workers, partitions, lag and dead letters
	$(RUN)/mesh status

lock: $(READY) ## update requirements.lock from pyproject.toml (for Python 3.11 to 3.13, Linux and macOS)
	$(RUN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header --no-emit-index-url \
	  --group dev --group build --group lock pyproject.toml --output-file $(LOCK)

pin: $(READY) ## download the servers' files and pin their hashes in infra/local/artifacts.json
	$(RUN)/python -m infra.local.pin

clean: ## delete .venv and caches, but no data (`mesh local reset` deletes data)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -not -path './.mesh/*' -prune -exec rm -rf {} +
