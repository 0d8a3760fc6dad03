# Every word that a person types here; `make` alone lists them. What is made lies in the checkout: .venv holds healer
# and its tools, .venv-heat the real Heat, Aodh and Zaqar of the tests. A second run is fast; an interrupted one is redone.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test lint core simulate bench clean .venv

PYTHON ?= python3
RUN := .venv/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help: ## list these words
	@awk -F ':.*## ' '/^[a-z.]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

demo: .venv/.runtime ## break a three-tier stack of real processes and watch it being healed (ARGS="--help" shows more)
	@.venv/bin/healer demo $(ARGS)

test: .venv/.dev ## install all that the tests need, and run them all
	@$(RUN) tests/debian/install.py
	@$(RUN) tests/heat/install.py
	@$(MAKE) --no-print-directory lint core
	@# Where packages could be installed they have been, and then a test that lacks one has failed, not skipped.
	@if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then export HEALER_REQUIRE_DEBIAN=1; fi; \
	  HEALER_REQUIRE_HEAT=1 $(RUN) -m pytest

lint: .venv/.dev ## ruff, mypy --strict and the import contracts
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m mypy
	.venv/bin/lint-imports --no-logo

core: .venv/.dev ## the core's own tests, which must reach all of its branches
	$(RUN) -m coverage run --source=healer.core -m pytest tests/core
	$(RUN) -m coverage report --show-missing --skip-covered --fail-under=100

simulate: .venv/.runtime ## 1,000 seeds x 10 incidents in virtual time, all invariants checked after every event
	@$(RUN) -m healer.simulation --seeds 1000 --incidents 10

bench: .venv/.runtime ## what healer costs beside its peers, in one run; fails where a target is missed
	@$(RUN) -m benchmarks

.venv: .venv/.dev ## the development environment, without running anything

clean: ## remove all that these words have made
	rm -rf .venv .venv-heat .venv-heat.* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	rm -rf .coverage .coverage.* htmlcov build dist
	find healer tests -name __pycache__ -prune -exec rm -rf {} +

# --- the environment: a stamp is written when a step is through, so what is half done is done again

WHOLE = import sys; from importlib.metadata import distribution; \
  sys.exit(sys.version_info < (3, 11) or distribution("pip").read_text("RECORD") is None)

.venv/.made:
	@command -v $(PYTHON) > /dev/null || \
	  { echo "healer needs Python 3.11 or later; there is no $(PYTHON) (Debian: apt install python3 python3-venv)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "healer needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) -V) (make PYTHON=python3.12 takes another)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || \
	  { echo "$(PYTHON) has no venv module (Debian: apt install python3-venv)" >&2; exit 1; }
	@# An environment that a person made is kept; one without pip's RECORD, which is written last, is half of one.
	@if ! $(RUN) -c '$(WHOLE)' 2> /dev/null; then \
	  echo "venv: making .venv with $$($(PYTHON) -V)"; $(PYTHON) -m venv --clear .venv; fi
	@touch $@

# pip says what it does; of that, the names are enough (the rest is in .venv/pip.log). Errors come through as they are.
# A package that was being unpacked when it was interrupted may look whole: then the environment is made anew.
NAMES = sed -u -n -E -e 's/^ +Installing build dep.*started/venv:   preparing/p' -e 's/^Collecting ([A-Za-z0-9._-]+).*/venv:   \1/p' \
  -e 's/^Installing collected.*/venv: unpacking/p'
define INSTALL
	@if [ -e .venv/.half ]; then echo "venv: an installation was interrupted; from the start again"; \
	  $(PYTHON) -m venv --clear .venv; touch .venv/.made; fi
	@echo "venv: installing $(2)"
	@touch .venv/.half
	@$(RUN) -m pip install --no-input --progress-bar off --log .venv/pip.log -e '$(1)' | $(NAMES)
	@rm .venv/.half
endef

.venv/.runtime: pyproject.toml | .venv/.made
	$(call INSTALL,.,healer and the libraries that it needs)
	@touch $@

.venv/.dev: pyproject.toml | .venv/.made
	$(call INSTALL,.[dev],healer with its libraries and the tools that check it)
	@touch .venv/.runtime $@
