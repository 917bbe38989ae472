# Patron's everyday commands. Each sets up what it needs; a machine with Python 3.11 and make is enough.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Idle threads sleep instead of spinning: two pools on few cores otherwise slow each other down many times over.
export OMP_WAIT_POLICY := PASSIVE
export OPENBLAS_NUM_THREADS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo test lint serve bench peers ui lock clean

help: ## list these targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1	\2/p' $(MAKEFILE_LIST)

demo: $(READY) ## run everything once, on a public shop's real data
	$(BIN)/patron demo

test: $(READY) ## run the tests
	$(BIN)/python -m pytest

lint: $(READY) ## check style, types and the arrows between the rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

serve: $(READY) ## start the service
	$(BIN)/patron serve

bench: $(READY) ## run every benchmark; each prints one table
	@set -e; for each in benchmarks/*.py; do echo "== $$each"; $(BIN)/python $$each; done

peers: $(READY) ## set up the peers of the benchmarks that need an environment of their own
	cd benchmarks && ../$(BIN)/python -m recommending.environment

ui: $(READY) ## open the MLflow UI on this project's runs
	$(BIN)/patron ui

# A new environment, without the packages of the old one, so that the pins are those of pyproject.toml alone.
lock: ## pin the newest packages that pyproject.toml allows
	rm -rf $(VENV)-lock
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/pip install '.[train,demo,redis,dev]'
	$(VENV)-lock/bin/pip check
	sed -n '/^#/p' requirements.lock > $(VENV)-lock/pins
	$(VENV)-lock/bin/pip freeze --exclude patron | sed 's/+cpu$$//' >> $(VENV)-lock/pins
	mv $(VENV)-lock/pins requirements.lock
	rm -rf $(VENV)-lock build

clean: ## remove the environment and what tools leave behind; data and models stay
	rm -rf $(VENV) $(VENV)-lock build *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] not in [(3, 11), (3, 12)] and "Patron needs Python 3.11 or 3.12: make PYTHON=python3.11")'
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -r requirements.lock
	$(BIN)/pip install --no-deps -e .
	touch $@
