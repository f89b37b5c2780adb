# Needs Python 3.11 or newer and make. Everything else is installed into .venv, from locked versions with hashes.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
ARGS ?=
# Processes that run tests; ARGS="-n 0 --pdb" for one that can be talked to.
# More than there are cores: many tests wait for a process, a lease or a retry. Hundreds of them start the service,
# which is quicker where Python may keep what it has compiled.
WORKERS ?= 4
PYTEST = env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -n $(WORKERS) $(SHARED)
# Quick tests are dealt out in advance, and what is left taken over; where some take a minute, each worker gets the next.
SHARED = --dist worksteal
# Tracing costs as much again as running. What it can learn from is measured once, the tests that run the bridge in their
# own process on SQLite; all others are run without it (tests/conftest.py).
MEASURED = -m "not unmeasured" --cov --cov-report=term

.DEFAULT_GOAL := help
.PHONY: help dev demo test check format bench chaos screenshot lock upgrade

help: ## list these targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'

dev: $(INSTALLED) ## virtual environment with everything installed

demo: dev ## the bridge against a simulated Jollor and Slack, played in the browser (ARGS="--port 9000")
	@$(BIN)/jollor-slack demo $(ARGS)

test: dev ## all tests (ARGS="-k webhook" for some)
	@$(PYTEST) $(ARGS)

check: dev ## exactly what CI runs: format, lint, types, import contracts, tests with branch coverage
	@echo "ruff format"  && $(BIN)/ruff format --check --quiet .
	@echo "ruff check"   && $(BIN)/ruff check --quiet .
	@echo "mypy"         && $(BIN)/mypy --no-error-summary
	@echo "lint-imports" && out=$$($(BIN)/lint-imports --no-logo) || { echo "$$out"; exit 1; }
	@status=0; \
	$(MAKE) --no-print-directory test NO_SKIPS="$(if $(NO_SKIPS),sqlite)" ARGS='$(MEASURED) $(ARGS)' || status=1; \
	$(MAKE) --no-print-directory test SHARED='--dist load --maxschedchunk 2' ARGS='-m unmeasured $(ARGS)' || status=1; \
	exit $$status

format: dev ## put the code into the form that check wants
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

bench: dev ## figures for docs/benchmarks.md
	@$(BIN)/python -m bench $(ARGS)

chaos: dev ## the service under kills and faults, judged by what both ends received; docs/reliability.md
	@$(BIN)/python -m chaos $(ARGS)

screenshot: dev ## take the demo page's picture for the README (needs Chromium)
	@$(BIN)/python -m bench.screenshot $(ARGS)

# Versions stay as they are where pyproject.toml still allows them; `make upgrade` takes the newest.
LOCK := UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet --no-config --universal \
	--python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links $(ARGS)

lock: $(INSTALLED) ## write requirements/*.txt anew from pyproject.toml
	@echo "lock"
	@$(LOCK) pyproject.toml -o requirements/run.txt
	@$(LOCK) --group pyproject.toml:dev pyproject.toml -c requirements/run.txt -o requirements/dev.txt
	@$(LOCK) --group pyproject.toml:build -c requirements/dev.txt -o requirements/build.txt

upgrade: ## the same with the newest versions of everything
	@$(MAKE) --no-print-directory lock ARGS=--upgrade

$(INSTALLED): pyproject.toml requirements/dev.txt | $(BIN)/python
	@echo "install the locked requirements into $(VENV)"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || \
		{ echo "$(PYTHON) was not found: install Python 3.11 or newer, or name it: make dev PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) -V 2>&1); name another: make dev PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "Python's venv module is incomplete; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "create $(VENV) with $$($(PYTHON) -V)"
	@$(PYTHON) -m venv $(VENV)
