# Needs nothing but python3 and a network to install packages from.
#
#   make install                    set up .venv, with the tools for tests and checks
#   make demo                       set up .venv and run the main job on drawn scenes
#   make test                       set up .venv and run the tests
#   make test-slow                  the exhaustive tests, which it leaves out: every key, every page
#   make test-robustness            the tests that need dseg[robustness], which it installs: 400 MB
#   make test-lowest                the tests with the lowest versions that pyproject.toml allows
#   make coverage                   the tests, and which lines they ran: ARGS="tests/store --cov=dseg.store"
#   make check                      ruff and mypy
#   make docs                       the site of the documentation, in site/; any broken link ends it
#   make bench                      every stage against the published way (about 13 minutes)
#   make soak                       damage and interrupt everything, again and again (about two hours)
#   make bench-fit DATA=folder      curves of mIoU by length of training; says how long, resumes
#   make clean test TORCH_INDEX=URL    another PyTorch build (CUDA, ROCm, CPU), by its package index
#
# The first target that needs .venv makes it; `make clean` removes it.

PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX ?=
TORCH := $(shell grep '^torch==' constraints.txt)
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PACKAGES := -m dseg $(foreach part,classify demo distil extract generate pipelines pretrain store,-p dseg.$(part))

# Many small networks gain nothing from more threads, and one thread makes ratios of times steadier.
ONE_THREAD := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive
# Two processes; one that has finished takes over tests of the other.
TWO := -n 2 --dist worksteal

LOWEST := $(VENV)-lowest
# Older builds of PyTorch bring gigabytes of CUDA: by default it stays at the pinned version.
LOWEST_TORCH ?= $(TORCH)

.PHONY: install demo test test-slow test-robustness test-lowest coverage check docs bench bench-fit soak clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(TORCH) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

demo: $(STAMP)
	$(BIN)/dseg demo --out dseg-demo

test: $(STAMP)
	$(ONE_THREAD) $(BIN)/python -m pytest tests $(TWO) $(ARGS)

test-slow: $(STAMP)
	$(ONE_THREAD) $(BIN)/python -m pytest tests -m slow $(TWO) $(ARGS)

test-robustness: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test,robustness]'
	$(ONE_THREAD) $(BIN)/python -m pytest $(TWO) $(ARGS) \
		$$(grep -rlE '(importorskip|find_spec)\("imagecorruptions"' tests)

# Old releases use functions of other packages that those deprecate: not for us to mend.
test-lowest:
	test -d $(LOWEST) || $(PYTHON) -m venv $(LOWEST)
	grep -v '^torch==' constraints-lowest.txt > $(LOWEST)/constraints.txt
	$(LOWEST)/bin/python -m pip install --quiet $(LOWEST_TORCH) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	$(LOWEST)/bin/python -m pip install --quiet --constraint $(LOWEST)/constraints.txt $(LOWEST_TORCH) --editable '.[test]'
	$(ONE_THREAD) $(LOWEST)/bin/python -m pytest tests $(TWO) -W ignore::DeprecationWarning $(ARGS)

coverage: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[coverage]'
	$(ONE_THREAD) $(BIN)/python -m pytest \
		$(or $(ARGS),tests $(TWO) --cov=dseg) --cov-report=term-missing:skip-covered

# mypy sees the package under its name through a link, whatever the checkout's folder is called.
check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	mkdir -p $(VENV)/typed && ln -sfn "$(CURDIR)" $(VENV)/typed/dseg
	cd $(VENV)/typed && "$(abspath $(BIN))/mypy" --config-file dseg/pyproject.toml $(PACKAGES)

docs: $(STAMP)
	$(BIN)/python docs/site/build.py --out site

bench: $(STAMP)
	$(ONE_THREAD) $(BIN)/python benchmarks/predict.py
	$(ONE_THREAD) $(BIN)/python benchmarks/extract.py
	$(ONE_THREAD) $(BIN)/python benchmarks/store.py
	$(ONE_THREAD) $(BIN)/python benchmarks/fit_step.py
	$(ONE_THREAD) $(BIN)/python benchmarks/scale.py --images 100

bench-fit: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python benchmarks/fit_curves.py $(DATA) --out results --work results/work

# One line a script: each exits with 1 if anything was lost.
soak: $(STAMP)
	$(ONE_THREAD) $(BIN)/python benchmarks/soak/rot.py --damages 1000 --seed $(or $(SEED),0)
	$(ONE_THREAD) $(BIN)/python benchmarks/soak/killed.py --kills 30 --seed $(or $(SEED),0)
	$(ONE_THREAD) $(BIN)/python benchmarks/soak/failing.py --moments 30 --seed $(or $(SEED),0)
	$(ONE_THREAD) $(BIN)/python benchmarks/soak/fuzz.py --minutes 30 --seed $(or $(SEED),0) --out soak/fuzz

clean:
	rm -rf $(VENV) $(LOWEST) build dist *.egg-info
