# SPDX-License-Identifier: Apache-2.0
# One line a target; `make` alone lists them. What a target does is in `scripts/`.

# The Python that runs the scripts and that the wheel is built for: 3.10 or later, with the services 3.11.
PYTHON ?= python3
# The store that `make demo` records into, for example STORE=mongodb.
STORE ?= sqlite
# Arguments for `make demo`, for example DEMO_ARGS="--keystone-port 5000".
DEMO_ARGS ?=
# Words for `make test`: only the sections whose names contain one, for example TEST_ARGS="wheel tests/python".
TEST_ARGS ?=
# Arguments for `make outage`, for example OUTAGE_ARGS="--minutes 1 redis".
OUTAGE_ARGS ?=

RUN = PYTHONPATH=scripts:tests PYTHONDONTWRITEBYTECODE=1 $(PYTHON) -m

.DEFAULT_GOAL := help
.PHONY: help demo documents test wheel cli bench outage lint clean

help:
	@echo "targets:"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-14s %s\n", $$1, $$2 }'

demo: ## trace a real `openstack image list` through Keystone and Glance, and show where its time went
	@$(RUN) demo --store $(STORE) $(DEMO_ARGS)

test: ## run everything that CI runs
	@$(RUN) check $(TEST_ARGS)

wheel: ## build the Python package into dist/
	@$(RUN) house wheel

cli: ## build the command into target/release/osprofiler
	@$(RUN) house cli

documents: ## write the parts of docs/ that are made from the Python package
	@$(RUN) reference

bench: ## measure beside the peers, floors first
	@$(RUN) bench

outage: ## let every store fail in every way for ten minutes, and show what became of what was sent
	@$(RUN) outage $(OUTAGE_ARGS)

lint: ## check format and lints of Rust and Python, the quick part of `make test`
	@$(RUN) check lint

clean: ## remove what was built in this clone; the cache that all clones share stays
	@$(RUN) house clean
