# Strategy Worker. Needs python3 (3.11 or newer) with pip, and make; nothing else is installed outside .venv.
#
#   make demo     everything running at once on this machine: embedded servers, gateway, worker, real prices
#   make test     every test, with a real Valkey and a real PostgreSQL
#   make check    format, lint, types, import layers, architecture
#
# Variables: PYTHON=python3.12 (another interpreter), DEMO_ARGS="--speed 500", TEST_ARGS="-k paper", BENCH_ARGS=…, FAULTS_ARGS=…

PYTHON ?= python3
DEMO_ARGS ?=
TEST_ARGS ?=
BENCH_ARGS ?=
FAULTS_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python
# Stamps: each names one finished step, so that a second run starts at once and a broken one is resumed.
MADE := $(VENV)/.made
DEMO := $(VENV)/.demo-installed
DEV := $(VENV)/.dev-installed
BENCH := $(VENV)/.bench-installed

# What the types are checked of.
SOURCES = main.py config.py models services strategies tests $(wildcard benchmarks/*.py)

# Settings of the user's pip that would install somewhere else than the virtual environment.
export PIP_USER := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1
unexport PIP_TARGET PIP_PREFIX PIP_ROOT PYTHONHOME PYTHONPATH

# Everything is locked, so nothing is resolved. The interpreter's own pip steps in where ensurepip is missing.
INSTALL = if $(RUN) -c 'import pip' 2>/dev/null; then pip="$(RUN) -m pip"; else pip="$(PYTHON) -m pip --python $(RUN)"; fi; \
	umask 022; $$pip install --quiet --no-deps --require-hashes

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test check format-check lint types layers architecture format bench faults parity lock proto clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{ printf "%-20s %s\n", $$1, $$2 }'

demo: $(DEMO) ## see it: worker, gateway and both servers on real prices, then a report
	@$(RUN) main.py demo $(DEMO_ARGS)

test: $(DEV) ## prove it: every test against real servers (but the architecture, which is of check)
	@$(RUN) -m pytest -n 4 --dist worksteal --ignore tests/unit/test_architecture.py $(TEST_ARGS)

check: format-check lint types layers architecture ## format, lint, types, import layers, architecture

format-check: $(DEV)
	@$(BIN)/ruff format --check .

lint: $(DEV)
	@$(BIN)/ruff check .

types: $(DEV)
	@$(RUN) -m mypy $(SOURCES)

layers: $(DEV)
	@$(RUN) $(BIN)/lint-imports --no-cache --no-logo

architecture: $(DEV)
	@$(RUN) -m pytest --quiet tests/unit/test_architecture.py

format: $(DEV) ## write the formatting that `make check` asks for
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

faults: $(DEV) ## break things: what was lost or doubled, with real servers (FAULTS_ARGS="--quick")
	@$(RUN) -m tests.faults $(FAULTS_ARGS)

parity: $(DEV) ## live signals = backtest signals: on the demo's bars, and on what lies in ../shared/data
	@$(RUN) main.py parity
	@for file in $(wildcard ../shared/data/minute_bars.csv.gz ../shared/data/trades_ibm.csv.gz); do \
		echo "$$file:"; STRATEGIES_PATH=tests/parity_strategies $(RUN) main.py parity --data "$$file" || exit 1; \
	done

bench: $(BENCH) ## measure: ratios to floors measured in the same run
	@$(RUN) -m benchmarks $(BENCH_ARGS)

# --- the virtual environment --------------------------------------------------------------------------------------

$(MADE):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo 'Strategy Worker needs Python 3.11 or newer; "$(PYTHON)" is' "$$($(PYTHON) --version 2>&1 || true)." >&2; \
		echo 'Name another one: make PYTHON=python3.12 …' >&2; exit 2; }
	@umask 022; rm -rf $(VENV); $(PYTHON) -m venv $(VENV) >/dev/null 2>&1 \
		|| { $(PYTHON) -m venv --clear --without-pip $(VENV) && $(PYTHON) -m pip --python $(RUN) --version >/dev/null; } \
		|| { echo 'No virtual environment could be made: "$(PYTHON)" has neither ensurepip nor pip 22.3 or newer.' >&2; \
		     echo 'On Debian and Ubuntu: apt install python3-venv (or python3-pip).' >&2; exit 2; }
	@touch $@

$(DEMO): requirements.txt requirements-report.txt requirements-demo.txt | $(MADE)
	@echo 'Installing into $(VENV) …'
	@$(INSTALL) -r requirements.txt -r requirements-report.txt -r requirements-demo.txt
	@touch $@

$(DEV): requirements-history.txt requirements-kafka.txt requirements-oms.txt requirements-dev.txt $(DEMO)
	@echo 'Installing the tools for tests and checks into $(VENV) …'
	@$(INSTALL) -r requirements-history.txt -r requirements-kafka.txt -r requirements-oms.txt -r requirements-dev.txt
	@touch $@

$(BENCH): requirements-bench.txt $(DEV)
	@echo 'Installing what the benchmarks compare with into $(VENV) …'
	@$(INSTALL) -r requirements-bench.txt
	@touch $@

# --- the locks ----------------------------------------------------------------------------------------------------

# Packages that an earlier lock holds are left out of the next one, so that each stands in one file.
LOCK = build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command 'make lock'
LOCKS = requirements.txt requirements-report.txt requirements-demo.txt requirements-history.txt \
	requirements-kafka.txt requirements-oms.txt
EXCEPT = $$(sed -n 's/^\([a-z0-9-]*\)==.*/--no-emit-package \1/p' $(1))

lock: ## write requirements*.txt anew from pyproject.toml
	@$(PYTHON) -m venv build/lock && build/lock/bin/pip install --quiet uv==0.13.8
	@$(LOCK) pyproject.toml -o requirements.txt
	@set -e; earlier=requirements.txt; for group in report demo history kafka oms dev bench; do \
		$(LOCK) --group $$group $$(printf -- '-c %s ' $$earlier) $(call EXCEPT,$$earlier) -o requirements-$$group.txt; \
		earlier="$$earlier requirements-$$group.txt"; done

# --- generated code -----------------------------------------------------------------------------------------------

# Generated code refuses to run with packages older than its generator, so this is the oldest one whose code protobuf 7
# takes without a warning; newer packages take it too.
GENERATOR = grpcio-tools==1.82.3
GENERATED = services/oms/generated

proto: ## write the code that is generated from proto/ anew
	@$(PYTHON) -m venv build/proto && build/proto/bin/pip install --quiet $(GENERATOR)
	@build/proto/bin/python -m grpc_tools.protoc -I$(GENERATED)=proto \
		--python_out=. --pyi_out=. --grpc_python_out=. proto/order.proto

clean: ## remove the virtual environment, caches and everything that can be made again
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
