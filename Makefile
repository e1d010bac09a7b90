# Two commands that need nothing prepared: `make demo` and `make test`. The rest is for whoever works on chaoskit.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: help setup tools demo check test simulate tour gallery weak vm-check bench clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed: apt-get install python3 python3-venv"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { apt-get install -y python3-venv && $(PYTHON) -m venv .venv; }
	@echo "installing chaoskit and its libraries into .venv (about a minute, once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

setup: $(STAMP) ## the virtual environment

tools: $(STAMP) ## system packages, the cluster's servers, its images (about 15 minutes, once)
	@$(BIN)/python -m chaoskit.cluster.toolset

demo: tools ## a pod of a real app dies on a real cluster under load, and the verdict
	@$(BIN)/chaoskit run experiments/pod-kill.yaml

check: $(STAMP) ## linters, types, layers and unit tests: no cluster
	@$(BIN)/ruff format --check -q . && $(BIN)/ruff check -q .
	@$(BIN)/mypy
	@told=$$($(BIN)/lint-imports --no-logo 2>&1) || { echo "$$told"; exit 1; }
	@$(BIN)/bandit -q -r chaoskit -c pyproject.toml
	@$(BIN)/pytest -q -n 3 -m "not slow" tests/unit

test: check tools ## all of check, the slow unit tests, and the tests on the real embedded cluster
	@$(BIN)/pytest -q -m slow tests/unit
	@$(BIN)/pytest -q tests/cluster

SEEDS ?= 2000
simulate: $(STAMP) ## whole runs in memory, made up from seeds, killed and healed (SEEDS=20000); SEED=123 tells one
	@$(BIN)/python -m chaoskit.simulation $(if $(SEED),--seed $(SEED),--seeds $(SEEDS))

tour: tools ## one experiment for each behaviour of a resilient app (15 minutes)
	@$(BIN)/chaoskit run experiments/ -l tour=yes

LANES ?= 2
IN_LANES := $(BIN)/pytest -q -n $(LANES) --maxschedchunk 1 tests/gallery
gallery: tools ## every experiment on an app that holds, LANES at once (15 minutes on two cores; LANES=0: one, in half an hour)
	@$(BIN)/chaoskit cluster image >/dev/null
	@$(IN_LANES) -k "not weakness"

weak: tools ## the same experiments on the apps with the weakness that each must catch (15 minutes)
	@$(IN_LANES) -k weakness

vm-check: tools ## the cluster on an emulated Debian with its own kernel, systemd and cgroup v2 (about 10 minutes)
	@$(BIN)/python bench/vm/check.py

# What the benchmarks of the load send to is a server, which waits for its end.
bench: tools ## the benchmarks; their tables go to docs/bench
	@for each in $(filter-out bench/answering.py,$(wildcard bench/*.py)); do $(BIN)/python $$each || exit 1; done

clean: ## what was built in this folder; the user's cache stays
	@rm -rf .venv build dist *.egg-info runs
