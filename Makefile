# make train: from nothing to a trained model and a sample. make test: from nothing to a green test run.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OLDEST := .venv-oldest
MINUTES ?= 2
WORKERS ?= 2
# Tests of every layer that take a second at most, for an answer while one works.
QUICK := tests/properties tests/checkpoints tests/architecture/test_architecture.py tests/kernels/test_simd.py \
	$(foreach name,division dynamic lags lines optimizers pieces random_cuts reading,tests/oracle/test_$(name).py) \
	$(foreach name,exchange extending nothing_in_silence numbers results sample transfer,tests/cli/test_$(name).py) \
	tests/ranks/test_shares.py
PYTEST := $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal --durations 10
# Programs that start often should not compile their modules every time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: train test quick pytest lint bench bench-quick costs growth scaling study structures tables torture peers generated golden test-oldest test-arm64 dist clean

train: $(VENV)/installed data/python.txt
	$(BIN)/charlm train data/python.txt --minutes $(MINUTES) --force
	$(BIN)/charlm sample runs/python --length 600 --temperature 0.6 --seed 5

data/python.txt: data/make.py
	$(PYTHON) data/make.py $@

# Lint and tests side by side, since the last of them all would leave a processor idle.
test: $(VENV)/tested
	$(MAKE) --jobs 2 lint pytest

pytest: $(VENV)/tested
	$(PYTEST)

# An answer in half a minute: the fast tests of every layer, without lint.
quick: $(VENV)/tested
	$(PYTEST) $(QUICK)

lint: $(VENV)/tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Speed beside NumPy, and beside PyTorch and JAX if they are installed (make peers). BENCH="--rows lstm" for some rows.
bench: $(VENV)/tested data/python.txt
	$(BIN)/python -m tests.bench $(BENCH)

# A few rows, in two minutes.
bench-quick: $(VENV)/tested data/python.txt
	$(BIN)/python -m tests.bench --quick

# What k1 and k2 cost, as in the guide.
costs: $(VENV)/tested data/python.txt
	$(BIN)/python -m tests.bench.costs

# How the cost of a character grows with each size: the README's picture, in about six minutes.
growth: $(VENV)/tested data/python.txt
	$(BIN)/pip install --quiet --editable ".[plot]"
	$(BIN)/python -m tests.bench.growth

# What ranks cost and gain, and the guide's table for clusters; hosts of network namespaces take root. 15 minutes.
scaling: $(VENV)/tested data/python.txt
	$(BIN)/python -m tests.bench.scaling

# What truncation does: tests/study/results.md and the guide's picture, in about 40 minutes; goes on where it was stopped.
study: $(VENV)/tested
	$(BIN)/pip install --quiet --editable ".[plot]"
	$(BIN)/python -m tests.study

# Which structure learns most in minutes: tests/study/structures.md and the guide's picture, in some hours; goes on where
# it was stopped. TEXTS="a.txt b.txt" for other texts.
TEXTS ?= data/python.txt
structures: $(VENV)/tested data/python.txt
	$(BIN)/pip install --quiet --editable ".[plot]"
	$(BIN)/python -m tests.study.structures $(TEXTS)

# What tables beside the network are worth, against time and distance: the guide's picture, in about 25 minutes.
tables: $(VENV)/tested data/python.txt
	$(BIN)/pip install --quiet --editable ".[plot]"
	$(BIN)/python -m tests.study.tables

# Kills, faults and damaged files, with figures; minutes.
torture: $(VENV)/tested
	$(BIN)/pip install --quiet atheris || true
	$(BIN)/python -m tests.faults
	$(BIN)/python -m pytest tests/properties tests/faults/test_hostile.py --hypothesis-profile torture

# The libraries of the programs in tests/bench/peers.
peers: $(VENV)/tested
	$(BIN)/pip install torch==2.13.0
	$(BIN)/pip install jax jaxlib

# Files made from declarations: types of the library's keywords, and the guide's pages of options and records.
generated: $(VENV)/tested
	$(BIN)/python -m tests.generated

# Kernels and mathematics with the oldest versions that pyproject.toml allows; the first run compiles for minutes.
test-oldest: $(OLDEST)/installed
	$(OLDEST)/bin/python -m pytest tests/kernels tests/oracle tests/golden

# The digests in tests/golden, anew: only after a change that is meant to give other numbers.
golden: $(VENV)/tested
	$(BIN)/python -m tests.golden --write

# Golden digests, kernels and mathematics on an emulated arm64 machine, as root with Debian's packages debootstrap,
# qemu-user-static and binfmt-support; hours. Without them it says what is missing. ARM64="tests/kernels" for some tests.
test-arm64: $(VENV)/tested
	$(BIN)/python -m tests.arm64 $(ARM64)

# The source distribution, and the wheel made from it, in dist/.
dist: $(VENV)/tested
	$(BIN)/python -m build

$(OLDEST)/installed: pyproject.toml
	$(PYTHON) -m venv --clear $(OLDEST)
	$(OLDEST)/bin/pip install --quiet $$($(PYTHON) -m tests.packaging.oldest)
	$(OLDEST)/bin/pip install --quiet --no-deps --editable .
	touch $@

$(VENV)/bin/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/pip pyproject.toml
	$(BIN)/pip install --quiet --editable .
	touch $@

$(VENV)/tested: $(VENV)/bin/pip pyproject.toml
	$(BIN)/pip install --quiet --editable ".[test]"
	touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV) $(OLDEST) .cache build dist *.egg-info
