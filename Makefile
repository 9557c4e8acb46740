# Needs nothing but python3 and a network to install packages from.
#
#   make demo                       set up .venv and run the main job on drawn scenes
#   make test                       set up .venv and run the tests
#   make test-slow                  the exhaustive tests, which it leaves out: every key, every page
#   make test-robustness            the tests that need dseg[robustness], which it installs: 400 MB
#   make test-lowest                the tests with the lowest versions that pyproject.toml allows
#   make coverage                   the tests, and which lines they ran: ARGS="tests/store --cov=dseg.store"
#   make check                      ruff and mypy
#   make bench                      every stage beside the published way (about 13 minutes)
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
PACKAGES := -m dseg $(foreach part,classify demo extract pipelines pretrain store,-p dseg.$(part))

LOWEST := $(VENV)-lowest
# Older builds of PyTorch bring gigabytes of CUDA: by default it stays at the pinned version.
LOWEST_TORCH ?= $(TORCH)

.PHONY: install demo test test-slow test-robustness test-lowest coverage check bench bench-fit clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(TORCH) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

demo: $(STAMP)
	$(BIN)/dseg demo --out dseg-demo

# Two processes, each with one thread: many small networks gain nothing from more.
test: $(STAMP)
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python -m pytest tests -n 2 --dist worksteal $(ARGS)

test-slow: $(STAMP)
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python -m pytest tests -m slow -n 2 --dist worksteal $(ARGS)

test-robustness: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test,robustness]'
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS) \
		$$(grep -rlE '(importorskip|find_spec)\("imagecorruptions"' tests)

# Old libraries deprecate what older ones use: their warnings are not ours.
test-lowest:
	test -d $(LOWEST) || $(PYTHON) -m venv $(LOWEST)
	grep -v '^torch==' constraints-lowest.txt > $(LOWEST)/constraints.txt
	$(LOWEST)/bin/python -m pip install --quiet $(LOWEST_TORCH) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	$(LOWEST)/bin/python -m pip install --quiet --constraint $(LOWEST)/constraints.txt $(LOWEST_TORCH) --editable '.[test]'
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(LOWEST)/bin/python -m pytest tests -n 2 --dist loadfile \
		-W ignore::DeprecationWarning $(ARGS)

coverage: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[coverage]'
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python -m pytest \
		$(or $(ARGS),tests -n 2 --dist loadfile --cov=dseg) --cov-report=term-missing:skip-covered

# mypy sees the package under its name through a link, whatever the checkout's folder is called.
check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	mkdir -p $(VENV)/typed && ln -sfn "$(CURDIR)" $(VENV)/typed/dseg
	cd $(VENV)/typed && "$(abspath $(BIN))/mypy" --config-file dseg/pyproject.toml $(PACKAGES)

# One thread: on shared cores the ratios are steadier.
bench: $(STAMP)
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python benchmarks/predict.py
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python benchmarks/extract.py
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python benchmarks/store.py
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python benchmarks/fit_step.py
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python benchmarks/scale.py --images 100

bench-fit: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python benchmarks/fit_curves.py $(DATA) --out results --work results/work

clean:
	rm -rf $(VENV) $(LOWEST) build dist *.egg-info
