# `make` lists what there is. What a target needs, it sets up first; with nothing changed that takes a second.
SHELL := /bin/bash
PYTHON ?= python3
PYTEST_ARGS ?=
# ROS 2 of the wheels: jazzy or kilted. A ROS installation that is sourced goes first.
DISTRO :=
SUFFIX := $(if $(ROS_DISTRO),,$(patsubst %,-%,$(filter-out jazzy,$(DISTRO))))
TOOL := XROLLOUT_DISTRO=$(DISTRO) $(PYTHON) tools
# The environment of the checkout: its Python, ROS 2 and the built package.
IN_ENV := source install$(SUFFIX)/setup.bash &&

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-docs test-pythons soak lint docs lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

setup: ## everything that the other targets need: packages, ROS 2 where it is missing, the built package
	@$(TOOL)/bootstrap.py

demo: setup ## record, train, deploy, report: the whole way in minutes
	@.venv$(SUFFIX)/bin/xrollout demo

test: lint ## the checks of `make lint`, then all tests but those of `soak` and `test-docs` (PYTEST_ARGS=…: these alone)
ifdef PYTEST_ARGS
	@$(IN_ENV) python -m pytest $(PYTEST_ARGS)
else
	@$(IN_ENV) python -m pytest -n auto --dist worksteal -m "not graph and not ros2cli and not soak and not docs"
	@$(IN_ENV) python -m pytest -m "(graph or ros2cli) and not soak"
endif

test-docs: setup ## every command of the pages that lead through something, as it stands there (half an hour)
	@$(IN_ENV) python -m pytest -m docs test/docs

test-pythons: ## the unit tests on each supported Python that is found, without ROS 2 and PyTorch
	@$(TOOL)/pythons.py

soak: setup ## real graphs under random faults for an hour (MINUTES=5: shorter; SEED=1: other faults)
	@$(IN_ENV) python benchmarks/soak.py --minutes $(or $(MINUTES),60) --seed $(or $(SEED),0)

lint: setup ## ruff, mypy, import-linter
	@$(IN_ENV) ruff check . && ruff format --check . && mypy && lint-imports

docs: setup ## the documentation as a site: build/docs/index.html
	@$(IN_ENV) python -m sphinx -q --fresh-env --write-all --fail-on-warning --keep-going -b html docs build$(SUFFIX)/docs
	@echo build$(SUFFIX)/docs/index.html

lock: ## resolve requirements.in anew into the lock files
	@$(TOOL)/lock.py

clean: ## remove what was built, and caches (virtual environments stay)
	@rm -rf build build-* install install-* log .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name '.venv*' -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf
