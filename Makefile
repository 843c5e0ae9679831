# make run: install into .venv and search. make test: the same .venv, with what tests need.
# Then, in each shell: . .venv/bin/activate
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test lint clean

run: .venv/.run
	$(BIN)/python -m search.run --target arm --budget 146M

test: .venv/.test
	$(BIN)/python -m pytest

lint: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/.run: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; got " + sys.version.split()[0])'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo 'installing into .venv: about 3 GB to download, 6 GB on disk, most of it torch' >&2
	$(BIN)/python -m pip install -c constraints.txt -e . >&2
	touch $@

.venv/.test: .venv/.run
	$(BIN)/python -m pip install -c constraints.txt -e '.[test]' >&2
	touch $@

clean:
	rm -rf .venv build *.egg-info
