# Everything runs in .venv, which `make` builds from pyproject.toml and constraints.txt.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO ?= demo_output

.PHONY: demo test check check-deps bench fuzz docs sizes

demo: $(READY)  ## simulate, train, reconstruct, compare: pictures and a table in $(DEMO)
	$(BIN)/ptycho demo --output_dir $(DEMO) --overwrite

test: $(READY)  ## the everyday tests (slow ones: $(BIN)/pytest -m slow)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 -m "not slow and not gpu"
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 0 --doctest-modules src/ptycho

check: $(READY)  ## lint, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check-deps: $(READY)  ## known holes in the pinned packages; the NumPy core on the oldest versions that are allowed
	$(BIN)/pip install --quiet --constraint constraints.txt pip-audit
	$(BIN)/python .ci/audit.py
	$(BIN)/python .ci/lowest.py

bench: $(READY)  ## quality of every method beside the limit, goals met or not, in half an hour (ours: benchmarks/results)
	$(BIN)/python benchmarks/quality.py

fuzz: $(READY)  ## 100,000 hostile files for every reader; a table of what became of them
	for seed in 1 2 3 4 5 6 7 8 9 10; do \
	  OMP_NUM_THREADS=1 PYTHONPATH=src $(BIN)/python -m tests.fuzz --runs 10000 --seed $$seed || exit 1; done

docs: $(READY)  ## the manual, in docs/_build/html; it runs the examples
	$(BIN)/pip install --quiet --constraint constraints.txt -e ".[docs]"
	PATH="$(abspath $(BIN)):$$PATH" OMP_NUM_THREADS=1 $(BIN)/sphinx-build -W -b html docs docs/_build/html

sizes:  ## the ten longest modules
	@git ls-files 'src/*.py' | xargs wc -l | sort -rn | sed -n '2,11p'

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt -e ".[torch,report,export,test,lint,clients]"
	touch $(READY)
