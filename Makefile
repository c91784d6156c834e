# `make help` lists the targets. Every target sets up its own environment first: python3 and make are all it presumes.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh

PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
RUN := $(VENV)/bin
LOCK := requirements.lock

.PHONY: help setup check test prove simulate simulate-report chaos chaos-report chaos-seeded bench demo up down status lock pin clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv from the lock file, every package checked by its hash; `.venv/bin/mesh` is there afterwards

# uv (itself pinned in the lock) installs ten times faster; pip does the same where uv cannot reach an index that only pip
# has been told of.
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

check: $(READY) ## everything that needs no server: ruff, mypy, import-linter, unit, contract, property tests, a few simulations
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/lint-imports
	$(RUN)/pytest -n auto --dist worksteal -m "not integration and not proof"

test: check ## check, then everything against real servers
	$(RUN)/pytest -m "integration and not proof"

prove: $(READY) ## the slow proofs: whole cities by four workers, kills, on real servers
	$(RUN)/pytest -m proof

# By default any seed, which is printed; a run of the same seed strikes the same faults in the same order.
MINUTES ?= 10
chaos: $(READY) ## faults of every kind on real servers for MINUTES=10 [SEED=…] [EACH=…]; adds to build/chaos.json and build/chaos.html
	@mkdir -p build
	$(RUN)/python -m tests.chaos --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(if $(EACH),--each $(EACH))

chaos-report: $(READY) ## write what all runs of chaos come to into docs/reliability.md, and docs/chaos.json to count on from
	$(RUN)/python -m tests.chaos.report

chaos-seeded: $(READY) ## short runs with workers that are wrong in one way each: the checker must find every one
	@mkdir -p build
	$(RUN)/python -m tests.chaos.seeded

HOURS ?= 0.1
PROCESSES ?= 2
simulate: $(READY) ## histories on a simulate-report log, store and clock, SEED=… HOURS=…; counts add up in build/simulate.json
	$(RUN)/python -m tests.simulation.cli run --seed $(or $(SEED),1) --hours $(HOURS) --processes $(PROCESSES)

simulate-report: $(READY) ## write what all of them come to into docs/reliability.md, and docs/simulation.json to count on from
	$(RUN)/python -m tests.simulation.cli write

bench: $(READY) ## ours beside what one could use instead [PARTS="conversion sink"] [QUICK=1]; into build/bench.json
	$(RUN)/python -m tests.bench $(if $(QUICK),--quick) $(PARTS)

demo: $(READY) ## from nothing to a report, in a place of its own
	$(RUN)/mesh demo --samples tests/data/samples/city

up: $(READY) ## servers and all steps in the background; returns when they are ready
	$(RUN)/mesh up

down: $(READY) ## stop them, keep the data
	$(RUN)/mesh down

status: $(READY) ## each worker's step, slot, partitions and lag
	$(RUN)/mesh status

lock: $(READY) ## resolve pyproject.toml into requirements.lock again (for Python 3.11 to 3.13, Linux and macOS)
	$(RUN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header --no-emit-index-url \
	  --group dev --group build --group lock pyproject.toml --output-file $(LOCK)

pin: $(READY) ## fetch the servers' files anew and pin their hashes (infra/local/artifacts.json)
	$(RUN)/python -m infra.local.pin

clean: ## forget .venv and all that tools cached here (never data: `mesh local reset` does that)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -not -path './.mesh/*' -prune -exec rm -rf {} +
