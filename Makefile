# Needs nothing but python3 and a network to install packages from.
#
#   make demo                       set up .venv and run the main job on drawn scenes
#   make test                       set up .venv and run the tests
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

.PHONY: install demo test check bench bench-fit clean

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
	rm -rf $(VENV) build dist *.egg-info
