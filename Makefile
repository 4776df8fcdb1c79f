# Every target sets up its own virtual environment in .venv, with the exact versions of constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: reproduce test zoo mutation fuzz interrupts lint docs clean

reproduce: $(VENV)/.ready
	$(BIN)/python examples/skip_paper/run_all.py $(ARGS)

test: $(VENV)/.ready
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile $(ARGS)

zoo: $(VENV)/.ready
	ZOO=full $(BIN)/python -m pytest tests/zoo --numprocesses auto $(ARGS)

mutation: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[mutation]'
	$(BIN)/python scripts/mutants.py $(ARGS)

fuzz: $(VENV)/.ready
	$(BIN)/python tests/fuzzer.py $(ARGS)

interrupts: $(VENV)/.ready
	PYTHONPATH=tests $(BIN)/python tests/interrupts.py $(ARGS)

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.ready
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "hessdens needs Python 3.11 or later; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[tests,lint,docs]'
	touch $@

clean:
	rm -rf $(VENV) docs/_build .hypothesis .pytest_cache .mypy_cache .ruff_cache
