# Two commands matter: `make serve` and `make test`. Both set everything up by themselves, show what they do,
# and do nothing twice.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV := .venv
ENGINE_VENV := .venv-engine
ATELIER := $(VENV)/bin/atelier
PY := $(VENV)/bin/python

GATEWAY_STAMP := $(VENV)/.gateway-installed
DEV_STAMP := $(VENV)/.dev-installed
ENGINE_STAMP := $(ENGINE_VENV)/.engine-installed
PLUGIN_STAMP := $(ENGINE_VENV)/.plugin-installed
TRAINER_STAMP := .venv-trainer/.trainer-installed
PLUGIN_SOURCES := $(wildcard adapters/vllm_plugin/*.py adapters/vllm_plugin/pyproject.toml)

.PHONY: help serve test check bench model trainer bank doctor clean

help:
	@echo 'make serve   start the whole service on this machine (http://127.0.0.1:8080)'
	@echo 'make test    the whole test suite, real engine included'
	@echo 'make bench   the benchmarks behind the figures in README.md'
	@echo 'make check   linter and type checker only'
	@echo 'make bank    the bank example from documents to a served adapter (SIZE=tiny: every step, on a tiny model)'
	@echo 'make doctor  what is installed, what is missing'
	@echo 'make clean   remove the environments (var/ stays: keys, adapters, audit log)'

serve: $(GATEWAY_STAMP) $(PLUGIN_STAMP)
	@$(ATELIER) serve

test: check $(PLUGIN_STAMP) $(TRAINER_STAMP) model
	$(PY) -m pytest -rR --durations=25 $(PYTEST_ARGS)

check: $(DEV_STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy app guardrails adapters

bench: $(DEV_STAMP) $(PLUGIN_STAMP) model
	$(PY) -m benchmarks

model: $(PLUGIN_STAMP)
	@$(ENGINE_VENV)/bin/python -m adapters.base_model.prepare --out var/models --cache var/cache

trainer: $(TRAINER_STAMP)

# What is done, and in which order, stands in app/commands/tailor.py and the plan.
bank: $(GATEWAY_STAMP) $(PLUGIN_STAMP) $(TRAINER_STAMP) $(if $(SIZE),var/bank-$(SIZE)/model,model)
	@$(ATELIER) tailor examples/bank/tailor/plan$(SIZE:%=_%).yaml

var/bank-tiny/model: $(PLUGIN_STAMP)
	@$(ENGINE_VENV)/bin/python tests/models/tiny.py $@

doctor: $(GATEWAY_STAMP)
	@$(ATELIER) doctor

$(GATEWAY_STAMP): requirements/gateway.txt pyproject.toml
	@./environment.sh gateway

$(DEV_STAMP): requirements/dev.txt $(GATEWAY_STAMP)
	@./environment.sh dev

$(ENGINE_STAMP): requirements/torch.txt requirements/engine-cpu.txt
	@./environment.sh engine

$(PLUGIN_STAMP): $(ENGINE_STAMP) $(PLUGIN_SOURCES)
	@./environment.sh plugin

$(TRAINER_STAMP): requirements/torch.txt requirements/gateway.txt requirements/trainer.txt
	@./environment.sh trainer

clean:
	rm -rf $(VENV) $(ENGINE_VENV) .venv-trainer
