# Everything a newcomer needs: `make demo` and `make test`. Asks of the machine: git, make, Python 3.11+.
SHELL := /bin/sh
.DEFAULT_GOAL := help
PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)
RUN := $(UV) run --no-sync
export UV_PYTHON_DOWNLOADS = never
export DJANGO_SETTINGS_MODULE = haihe.app.settings

.PHONY: help setup demo up test check types lint imports documents docs reference messages bench clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.tools/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Haihe needs Python 3.11 or newer; call make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .tools
	.tools/bin/pip install --quiet --disable-pip-version-check uv

setup: $(UV) ## Install the locked dependencies, front-end files and translations
	@$(UV) sync --quiet --locked
	@$(RUN) python tools/build_static.py
	@$(RUN) python tools/messages.py compile

demo: setup ## Run the whole chain on this machine, then say where to look
	@$(RUN) haihe demo

up: setup ## Serve the portal and API, dispatch jobs, deliver events
	@$(RUN) haihe up

check: setup ## All static checks, two at a time
	@$(MAKE) --no-print-directory --jobs=2 --output-sync types lint imports documents

types:
	$(RUN) mypy

lint:
	$(RUN) ruff format --check .
	$(RUN) ruff check .

imports:
	$(RUN) lint-imports
	$(RUN) deptry src

documents:
	$(RUN) python tools/messages.py check
	$(RUN) python tools/reference.py --check
	$(RUN) python -m django makemigrations --check --dry-run
	$(RUN) zensical build --strict

test: check ## All checks and all tests: SQLite, PostgreSQL, browser
	$(RUN) python tools/test.py

reference: setup ## Regenerate the reference pages and the OpenAPI document
	$(RUN) python tools/reference.py

messages: setup ## Collect new messages into the catalogue
	$(RUN) python tools/messages.py extract

docs: setup ## Build the documentation into site/
	$(RUN) zensical build --strict

bench: setup ## Measure what the README claims
	$(RUN) haihe bench core

clean: ## Remove everything that was built, and the demo's data
	rm -rf .venv .tools .haihe node_modules site dist src/haihe/portal/static/vendor
