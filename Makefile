# One command from a fresh checkout: `make test` or `make demo` builds its own environment in .venv.
#
#   make PYTHON=python3.12 test            another interpreter (3.11 or newer)
#   make test PYTEST_FLAGS="-k simplex"    some of the tests
#   make demo DEMO_FLAGS="--quick"         the demo at smoke size
#   make bench BENCH_FLAGS="--quick"       the benchmarks at smoke size
#   make test-vllm                         the tests that sample with vLLM, in an environment of their own (4 GB)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
VLLM_VENV := .venv-vllm
VLLM_INSTALLED := $(VLLM_VENV)/.installed

PYTEST_FLAGS ?=
TEST_WORKERS ?= 2
DEMO_FLAGS ?=
BENCH_FLAGS ?=

# A file's tests share fixtures that take seconds to build, so a worker takes whole files.
PYTEST = $(BIN)/pytest -n $(TEST_WORKERS) --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help setup setup-browser setup-vllm demo test test-slow test-vllm test-all lint format bench docs docs-serve clean

help:  ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(INSTALLED)  ## Build .venv: the pinned dependencies and this checkout, editable

demo: setup  ## Train on mazes with GRPO and VPO, search on top, write runs/demo/report.html
	$(BIN)/vpo demo $(DEMO_FLAGS)

test: setup  ## Run the tests that take seconds
	$(PYTEST) -m "not slow and not vllm" $(PYTEST_FLAGS)

test-slow: setup  ## Run the tests that `make test` leaves out
	$(PYTEST) -m "slow or vllm" $(PYTEST_FLAGS)

# vLLM imports torch's compiler, which warns of a part of torch itself: no error here.
test-vllm: setup-vllm  ## Run the tests that sample with vLLM, in .venv-vllm
	$(VLLM_VENV)/bin/pytest -m vllm -W ignore::DeprecationWarning:torch.jit._script $(PYTEST_FLAGS)

test-all: setup  ## Run every test; what cannot run here is skipped with its reason
	$(PYTEST) $(PYTEST_FLAGS)
	$(MAKE) test-vllm

# Without ruff's cache: it does not notice that a module which a file imports has come or gone, and sorts imports by that.
lint: setup  ## Check style, format and types
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup  ## Mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup  ## Run every benchmark: where the README's numbers come from
	@for file in benchmarks/*.py; do \
	    [ -e "$$file" ] || { echo "there is no benchmarks/*.py yet"; exit 1; }; \
	    case "$$file" in benchmarks/targets.py|benchmarks/workers.py) continue;; esac; \
	    echo "== $$file $(BENCH_FLAGS)"; \
	    $(BIN)/python "$$file" $(BENCH_FLAGS) || failed="$$failed $$file"; \
	done; \
	[ -z "$$failed" ] || { echo "short of a target:$$failed"; exit 1; }

# The variable silences the theme's notice about versions to come; mkdocs.yml has `strict`, so a broken link fails.
docs: setup  ## Build the documentation site: open site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "wrote site/index.html"

docs-serve: setup  ## Show the site at 127.0.0.1:8000 and build it again when a page changes
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

setup-browser:  ## Install Chromium for the browser tests (Debian and Ubuntu, as root)
	@if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then \
	    echo "chromium and chromedriver are there already"; \
	elif ! command -v apt-get >/dev/null; then \
	    echo "apt-get is not on this system: install Chromium its own way, so that the commands 'chromium' and 'chromedriver' work."; exit 1; \
	elif [ "$$(id -u)" -ne 0 ]; then \
	    echo "installing Chromium needs root: sudo apt-get install chromium chromium-driver"; exit 1; \
	else \
	    for try in 1 2 3; do apt-get update -qq && break; echo "apt-get update failed ($$try of 3)"; sleep 10; done; \
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium chromium-driver; \
	fi

setup-vllm: $(VLLM_INSTALLED)  ## Build .venv-vllm: vLLM for CPUs, with the dependencies that it pins

clean:  ## Remove caches and build leftovers; runs/, .venv and .venv-vllm stay
	rm -rf build dist site *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . \( -path ./$(VENV) -o -path ./$(VLLM_VENV) \) -prune -o -name __pycache__ -type d -exec rm -rf {} +

# make_venv(folder, what it costs): an empty environment, or a message that says what is missing.
define make_venv
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "vpo needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || true)"; \
	    echo "Name another one: make PYTHON=python3.12 $(or $(MAKECMDGOALS),setup)"; exit 1; }
	@$(1)/bin/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(1) || { \
	    echo "$(PYTHON) cannot make a virtual environment. On Debian and Ubuntu: sudo apt-get install python3-venv"; exit 1; }
	@echo "== building $(1): $(2), once =="
endef

# torch comes first and by its exact version, so that a build that is on this machine already (a CPU build, say) is taken
# as it is; without one, pip takes the index's, which is the CUDA build. Rebuilt when a dependency or a pin changes.
$(INSTALLED): pyproject.toml constraints.txt
	$(call make_venv,$(VENV),a few minutes)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

# All pins, and nothing besides: what pip would add for vLLM does not go with a CPU build of torch.
$(VLLM_INSTALLED): pyproject.toml requirements-vllm.txt
	$(call make_venv,$(VLLM_VENV),three minutes and 4 GB)
	$(VLLM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check "$$(grep '^torch==' requirements-vllm.txt)"
	$(VLLM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-vllm.txt
	$(VLLM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@
