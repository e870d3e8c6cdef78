# `make` lists the tasks.
.DEFAULT_GOAL := help
.PHONY: help setup run test check fix lock bench compose

BIN := .venv/bin
# A file of tests on each core, with servers of its own; servers that were given are shared, one test after another.
WORKERS ?= $(if $(MAILROOM_TEST_AMQP_URL)$(MAILROOM_TEST_DATABASE_URL)$(MAILROOM_TEST_REDIS_URL),0,auto)
# No servers, no sockets: seconds in all.
QUICK_TESTS := $(wildcard tests/unit tests/property tests/accuracy)

help: ## list the tasks
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## make .venv with the locked packages (done by the others, too)
	@scripts/setup

run: setup ## judge and count the sample mailbox, with no server at all
	@$(BIN)/mailroom process samples/

test: setup ## all tests, against real servers; installs what is missing (Debian, root)
	@$(BIN)/python -m tests.servers.installing
	@$(BIN)/pytest -n $(WORKERS) --maxprocesses 4 --dist loadfile

check: setup ## format, lint, types, import rules, quick tests: before each commit
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/pytest -q -n $(WORKERS) --maxprocesses 4 -m "not long" $(QUICK_TESTS)

fix: setup ## let ruff mend format and lint
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: setup ## write both lock files anew; make lock UPGRADE=--upgrade takes newer releases
	@scripts/lock $(UPGRADE)

compose: setup ## what docker compose starts, tried from outside; installs Docker where it is missing (Debian, root)
	@MAILROOM_TEST_COMPOSE=1 $(BIN)/pytest tests/compose --timeout=900

bench: setup ## measure: make bench PART=classifier (or ledger, or fetcher; all without PART)
	@$(BIN)/python -m benchmarks $(PART)
