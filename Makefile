# make demo | make test | make check: each sets up .venv by itself, once.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo test check format leaderboard clean
.DELETE_ON_ERROR:

demo: $(STAMP)
	$(BIN)/python run.py demo $(ARGS)

test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

leaderboard: $(STAMP)
	$(BIN)/python -m benchmarks.leaderboard $(ARGS)

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# torch goes first and by its exact pin, so that pip takes a CPU build where it finds one.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else "recloop needs Python 3.11 to 3.13, and %s is %d.%d: run make with PYTHON=/path/to/python3.11" % (sys.executable, *v))'
	@$(PYTHON) -m venv $(VENV) || { echo "python3 cannot make a virtual environment: install its venv package (Debian: apt-get install python3-venv)"; exit 1; }
	@echo "recloop: installing into $(VENV), once; this takes a few minutes"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(STAMP)

clean:
	rm -rf $(VENV) runs build *.egg-info
