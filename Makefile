# `make` lists what there is. What a target needs, it sets up first; with nothing changed that takes a second.
SHELL := /bin/bash
PYTHON ?= python3
PYTEST_ARGS ?=
# The environment of the checkout: its Python, ROS 2 and the built package.
IN_ENV := source install/setup.bash &&

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint lock clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

setup: ## everything that the other targets need: packages, ROS 2 where it is missing, the built package
	@$(PYTHON) tools/bootstrap.py

demo: setup ## record, train, deploy, report: the whole way in minutes
	@.venv/bin/xrollout demo

test: lint ## the checks of `make lint`, then all tests but the soak tests
	@$(IN_ENV) python -m pytest $(PYTEST_ARGS)

lint: setup ## ruff, mypy, import-linter
	@$(IN_ENV) ruff check . && ruff format --check . && mypy && lint-imports

lock: ## resolve requirements.in anew into requirements.lock
	@$(PYTHON) tools/lock.py

clean: ## remove what was built, and caches (.venv stays)
	@rm -rf build install log .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name .venv -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf
