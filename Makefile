# Every target sets up what it needs: Python 3.11 or newer, make and the package index are enough.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip
PIP_OPTIONS := --quiet --disable-pip-version-check
READY := $(VENV)/.ready
KEEP ?=
# Tests run in this many processes: one more than CPUs, up to four, for many of them wait for a cluster (with two for each
# CPU they wait for each other). A module's tests stay together, for they share a cluster. Modules keep their order: sorted by
# the number of their tests, the few long ones would come last.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(min(4, 1 + (os.cpu_count() or 1)))')

.PHONY: help setup demo test e2e threats-mutate bench lint typecheck crds chart docs lock clean

help: ## Show this help
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

$(READY): requirements/dev.txt requirements/malware.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Skillwarden needs Python 3.11 or newer; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(PYTHON) -m venv --without-pip $(VENV)/guarddog
	@$(MAKE) --no-print-directory --jobs=2 $(VENV)/.own $(VENV)/.guarddog
	@touch $@

$(VENV)/.own: requirements/dev.txt pyproject.toml
	$(PIP) install $(PIP_OPTIONS) --no-compile --require-hashes -r requirements/dev.txt
	$(PIP) install $(PIP_OPTIONS) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.guarddog: requirements/malware.txt
	$(PIP) --python $(VENV)/guarddog/bin/python install $(PIP_OPTIONS) --require-hashes -r requirements/malware.txt
	@touch $@

setup: $(READY) ## Make the virtual environment from the hash-locked requirements

demo: $(READY) ## Run the samples on an embedded cluster (KEEP=1 leaves it up)
	@$(BIN)/skillwarden demo $(if $(KEEP),--keep)

test: $(READY) ## Run the tests (ARGS="tests/domain -x" runs these)
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

e2e: $(READY) ## End-to-end tests in a kind cluster, or in the disposable one of KUBECONFIG=
	@$(BIN)/python tests/e2e/run.py $(if $(KUBECONFIG),--kubeconfig $(KUBECONFIG)) $(if $(DISPOSABLE),--disposable $(DISPOSABLE)) $(if $(VALUES),--values $(VALUES)) $(foreach ARG,$(BUILD_ARGS),--build-arg $(ARG)) $(foreach FILE,$(MANIFESTS),--manifest $(FILE)) $(if $(KEEP),--keep) $(if $(ARGS),-- $(ARGS))

threats-mutate: $(READY) ## Take each defence out of a copy, and see whether a test notices
	@$(BIN)/python tests/threats/mutate.py

bench: $(READY) ## Measure what the design promises in numbers (ARGS="verdict lookup" runs these)
	@$(BIN)/python -m benchmarks $(ARGS)

lint: $(READY) ## Check style and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports

typecheck: $(READY) ## Check types, strictly
	@$(BIN)/mypy

crds: $(READY) ## Write crds/ and docs/reference from the models
	@$(BIN)/python -m skillwarden.api.crdgen crds
	@$(BIN)/python docs/generate.py

chart: $(READY) ## Write what the chart copies, its page of values, its goldens and manifests/install
	@$(BIN)/python charts/generate.py

docs: $(READY) ## Build the site of docs/ into build/docs; a warning is an error
	@$(BIN)/sphinx-build -q -b html -W --keep-going -d build/doctrees docs build/docs

lock: ## Write the hash-locked requirements anew (needs uv)
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --extra local --group dev --group docs pyproject.toml -o requirements/dev.txt
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 pyproject.toml -o requirements/operator.txt
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --group malware -o requirements/malware.txt

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
