# Greenwarden's tasks. Needed beforehand: Python 3.11 or newer, make, and a way to a Python package index.
#   make demo    see the whole of it at work, in about three minutes
#   make test    install the servers that the tests talk to (as root), then check and test everything
#   make hunt    run the random tests again and again, with new examples each time (ROUNDS=10)
#   make check   style, types, and the lock in step with pyproject.toml
#   make lock    choose versions anew from pyproject.toml
# PYTHON=/path/to/python3 chooses the interpreter that .venv is made with.

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
PIP := $(PY) -m pip --disable-pip-version-check
ARGS ?=
ROUNDS ?= 10

.PHONY: demo test hunt check lock install

demo: $(STAMP)
	@$(PY) -m greenwarden demo $(ARGS)

test: $(STAMP)
	@.ci/real-parts
	@$(MAKE) --no-print-directory check
	$(PY) -m pytest -n auto --dist loadgroup $(ARGS)

hunt: $(STAMP)
	@for round in $$(seq $(ROUNDS)); do echo "round $$round of $(ROUNDS)"; \
	env -u CI $(PY) -m pytest -q -n auto -m hypothesis $(ARGS) || exit 1; done

check: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(PIP) check
	@$(PY) .ci/audit
	$(PY) -m pytest tests/test_repository.py

# Versions and hashes only: no host of a package index may enter the lock.
COMPILE := $(VENV)/bin/uv pip compile pyproject.toml --group build --universal --python-version 3.11 \
	--generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links --quiet

lock: $(STAMP)
	$(PIP) install --quiet uv
	$(COMPILE) --all-extras $(ARGS) --output-file requirements.lock
	$(COMPILE) --extra plot --constraint requirements.lock --output-file deploy/requirements.lock

install: $(STAMP)

# The stamp is made last, so that an installation that broke off is begun again.
$(STAMP): requirements.lock pyproject.toml
	@.ci/venv $(VENV)
	@echo "Installing what requirements.lock names into $(VENV) (a minute or two, once)"
	@$(PIP) install --quiet --require-hashes --requirement requirements.lock
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
