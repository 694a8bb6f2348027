# The two commands are `make demo` and `make test`; both set up what they need and are quick the second time.
.PHONY: help setup demo test unit lint bench datapath congestion nightly report page judge bpf ssh-lab ssh-lab-down reference reliability mutants sbom lock clean

PYTHON := .venv/bin/python
export PATH := $(CURDIR)/.venv/bin:$(PATH):/usr/sbin:/sbin
# Without bytecode, each of hundreds of processes would compile anew what pytest rewrites: a second each.
unexport PYTHONDONTWRITEBYTECODE
PYTEST_ARGS ?=
# Of `make datapath|congestion`: when, and beside what.
BESIDE ?= $(shell date +%F), no other work
# Of `make report`: folders of results, each an environment of one report. None: the last demo or test.
LEGS ?=
# All extras but dask, which is large: its one test installs it by itself, at night.
LOCKED := ssh aws scapy wireshark allure xdist tunnel
RESULTS := --alluredir=.hopscope/allure-results --clean-alluredir

help:
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18

setup: ## system packages (as root; otherwise prints the line to run) and the environment .venv
	@bash scripts/setup.sh

demo: setup ## the main job: plain TCP and 0-RTT side by side on a local chain, captured and judged
	@$(PYTHON) -m pytest -p no:cacheprovider -q -m demo -k "not 100ms" tests/integration $(RESULTS) $(PYTEST_ARGS)

test: setup ## all tests: unit and integration
	@PYTHON=$(PYTHON) bash scripts/test.sh $(PYTEST_ARGS)

unit: setup ## the tests that need neither root nor network
	@$(PYTHON) -m pytest -p no:cacheprovider -n 3 tests/unit $(PYTEST_ARGS)

lint: setup ## ruff and mypy --strict
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy

datapath: setup ## the datapaths compared (15 min, nothing else running), into docs/measurements.md and the README's chart
	@$(PYTHON) bench/datapath.py > .hopscope/datapath.jsonl
	@$(PYTHON) scripts/measured.py .hopscope/datapath.jsonl "$(BESIDE)"

congestion: setup ## congestion control behind early answers (15 min, nothing else running), into docs/measurements.md
	@$(PYTHON) bench/congestion.py > .hopscope/congestion.jsonl
	@$(PYTHON) scripts/measured.py .hopscope/congestion.jsonl "$(BESIDE)"

bench: setup ## timings, one JSON object per line
	@for file in bench/*.py; do $(PYTHON) $$file || exit 1; done

nightly: setup ## everything that takes long: soaks, long property tests, repetition
	@HYPOTHESIS_PROFILE=nightly $(PYTHON) -m pytest -p no:cacheprovider -m "nightly or not nightly" --timeout 3600 $(PYTEST_ARGS)

report: setup ## an HTML report (Allure) of the last demo or test, with captures of what failed; needs Node.js
	@$(PYTHON) scripts/report.py $(LEGS)

page: setup ## the newest run as one HTML page, without network or Node.js
	@$(PYTHON) -m hopscope report .hopscope/runs/latest

judge: setup ## the newest run, judged again from its captures
	@$(PYTHON) -m hopscope judge .hopscope/runs/latest

ssh-lab: setup ## labs whose hosts are reached by SSH, and .hopscope/ssh-lab.yaml for --lab-inventory
	@$(PYTHON) -m hopscope lab up chain --name ssh-lab --ssh .hopscope/ssh-lab.yaml
	@for name in tunnel tunnel-routed; do \
	  $(PYTHON) -m hopscope lab up $$name --name ssh-lab-$$name --ssh .hopscope/ssh-lab-$$name.yaml >/dev/null || exit 1; done
	@$(PYTHON) -m hopscope lab up tests/integration/chain-lossy.yaml --name ssh-lab-chain-lossy \
	  --ssh .hopscope/ssh-lab-chain-lossy.yaml >/dev/null

ssh-lab-down: ## ends them
	@for name in ssh-lab ssh-lab-tunnel ssh-lab-tunnel-routed ssh-lab-chain-lossy; do \
	  $(PYTHON) -m hopscope lab down $$name; rm -f .hopscope/$$name.yaml; done

bpf: ## the BPF object of the rewriters, from its source (needs clang, llvm and libbpf-dev)
	@bash scripts/bpf.sh

reference: setup ## docs/reference.md, from the code
	@$(PYTHON) scripts/reference.py

reliability: setup ## every fault at every phase of a session, and the table in docs/reliability.md (as root, minutes)
	@$(PYTHON) scripts/reliability.py

mutants: setup ## mutants of checks and wire that their tests must notice (hours; goes on where it was ended)
	@$(PYTHON) scripts/mutate.py run

sbom: ## what requirements.lock pins, as CycloneDX JSON on standard output
	@$(PYTHON) scripts/sbom.py

lock: ## renew requirements.lock (needs uv)
	uv pip compile pyproject.toml $(LOCKED:%=--extra %) --group dev --generate-hashes --no-emit-index-url --python-version 3.11 --universal --upgrade -q -o requirements.lock

clean: ## removes the environment, runs and caches
	rm -rf .venv .hopscope .mypy_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -prune -exec rm -rf {} +
