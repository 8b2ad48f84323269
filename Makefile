# make help shows what there is. BACKEND=cpu|cuda|rocm chooses the backend, PYTHON the interpreter that makes the venvs,
# DEVICE what a model is compiled for (a GPU bundle may hold a CPU model: DEVICE=cpu).
BACKEND ?= cpu
PYTHON  ?= python3
MODEL   ?= examples/mlp.py:model
OUTPUT  ?= dist/$(basename $(notdir $(firstword $(subst :, ,$(MODEL)))))
PACKAGE ?= build/$(BACKEND)/$(notdir $(OUTPUT)).pt2
DEVICE  ?= $(BACKEND)

TOOL    := .venv-aotpack
VENV    := $(if $(filter cpu,$(BACKEND)),.venv,.venv-$(BACKEND))
AOTPACK := $(TOOL)/bin/aotpack
PYTEST  := $(TOOL)/bin/python -m pytest
# Tests that share something heavy run in one process (tests/conftest.py).
JOBS    ?= $(shell nproc)
PARALLEL := -n $(JOBS) --dist loadgroup --no-loadscope-reorder
CPP     := $(shell find bridge templates/launcher templates/hash benchmarks tests -name '*.cpp' -o -name '*.hpp' -o -name '*.h' -o -name '*.c' | grep -v /abi/)
PY      := hatch_build.py toolchain tests benchmarks templates/runner templates/consumers templates/wheel examples

.PHONY: help setup init build build-debug build-portable export verify-portable test test-unit test-backend test-backends \
  test-fixtures test-times coverage test-distros test-cuda-wheel test-torch-versions test-rocm-real test-release test-clients test-op test-zoo test-pytorch-suite test-slim-sanitizers test-gpu test-examples fuzz \
  system-packages wheel demo bench lint fmt-all \
  fmt-cpp fmt-cpp-check style quality types schemas docs clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

$(TOOL)/.ready: pyproject.toml
	$(PYTHON) -m venv $(TOOL)
	@# What is never imported need not be compiled.
	$(TOOL)/bin/pip install --quiet --disable-pip-version-check --no-compile --editable '.[dev]'
	@touch $@

setup: $(TOOL)/.ready ## Install aotpack and its development tools into .venv-aotpack
init: setup ## Make the backend's venv with its torch
	@$(AOTPACK) init --backend $(BACKEND)

export: init ## Export MODEL=FILE.py:FUNCTION to PACKAGE (MODEL_ARGS=... adds options)
	@mkdir -p $(dir $(PACKAGE))
	@$(AOTPACK) export $(MODEL) --output $(PACKAGE) --device $(DEVICE) --verify $(MODEL_ARGS)

$(PACKAGE): $(firstword $(subst :, ,$(MODEL))) | init
	@$(MAKE) --no-print-directory export

build: $(PACKAGE) ## Build a development bundle, linked to the venv
	@$(AOTPACK) build --backend $(BACKEND) --model $(PACKAGE) --output $(OUTPUT)
build-debug: $(PACKAGE) ## The same with a debug build of the bridge
	@$(AOTPACK) build --backend $(BACKEND) --model $(PACKAGE) --output $(OUTPUT) --debug
build-portable: $(PACKAGE) ## Build a portable bundle
	@$(AOTPACK) build --backend $(BACKEND) --model $(PACKAGE) --output $(OUTPUT) --portable
verify-portable: build-portable ## Check it and run it in an empty root
	@$(AOTPACK) verify $(OUTPUT) --run

demo: init ## Pack a pretrained model, run it in an empty root, compare with eager PyTorch
	@$(TOOL)/bin/python -m examples.demo

test: ## Everything: checks, unit tests, real builds
	@# Side by side, so that no core waits for a download or for the last of a list.
	@$(MAKE) --no-print-directory --jobs=$(JOBS) --output-sync=line system-packages lint test-fixtures
	@rm -f .cache/times.json
	$(PYTEST) tests $(PARALLEL)
test-times: ## Write the slowest of the last `make test` into CONTRIBUTING.md
	$(TOOL)/bin/python -m tests.support.times
coverage: setup init system-packages test-fixtures ## The same tests with branch coverage, their processes' too; a table by wing
	@$(TOOL)/bin/python -m tests.tools.coverage_by_wing $(or $(ARGS),tests $(PARALLEL))
test-unit: setup ## Seconds: no compiler, no torch
	$(PYTEST) tests/unit
test-backend: setup init system-packages ## Integration tests of BACKEND
	$(PYTEST) tests/integration $(PARALLEL) -k '$(if $(filter cpu,$(BACKEND)),not cuda and not rocm,$(BACKEND))'
test-backends: ## Integration tests of all backends
	@for backend in cpu cuda rocm; do $(MAKE) --no-print-directory test-backend BACKEND=$$backend || exit 1; done
test-fixtures: setup init ## Export and compile what many tests use, ahead of time
	$(TOOL)/bin/python -m tests.support.prepare
test-distros: setup init system-packages ## Run a bundle in real Debian 11 and 13 roots (root, debootstrap)
	$(PYTEST) tests -m distros
test-cuda-wheel: setup init ## Build from real CUDA torches of PyPI in both layouts (about 6 GB)
	$(PYTEST) tests -m cuda_wheel
test-torch-versions: setup init ## Export, build and run with other torches (TORCH_VERSIONS="2.9.1 2.14.1"; GBs each)
	$(PYTEST) tests -m torch_versions
test-rocm-real: setup init ## Real AMD libraries from Debian (about 130 MB)
	$(PYTEST) tests -m rocm_real
test-op: setup init ## Compile the slim runtime's changes and run ARGS="MODULE --only NAME" (docs/slim.md)
	@$(TOOL)/bin/python -m tests.tools.slim_op $(ARGS)
test-zoo: setup init ## Export and run the whole model zoo
	$(PYTEST) tests -m zoo
test-slim-sanitizers: setup init ## The slim runtime's ops under ASan and UBSan (many minutes)
	$(PYTEST) tests -m sanitizers
test-pytorch-suite: setup init ## What PyTorch's own tests package, through both runtimes (PYTORCH=DIR FILE=NAME.py; without, our own subjects)
	$(TOOL)/bin/python -m tests.tools.pytorch_suite \
	  $(if $(PYTORCH),$(PYTORCH)/test/inductor/$(or $(FILE),test_aot_inductor.py) -k Cpu,tests/conformance/plain_packages.py) $(ARGS)
test-release: setup init ## Images in a real registry and under real runtimes (root, Debian's packages)
	@tests/system-packages skopeo umoci crun runc docker-registry
	$(PYTEST) tests -m release
test-clients: setup init ## aotrun serve and the clients that its users have (tritonclient, into .cache/clients)
	$(PYTEST) tests -m clients
test-gpu: setup ## Needs a GPU
	$(PYTEST) tests -m gpu
test-examples: setup init ## Real models of PyPI packages (200 MB), built and used as examples/ says
	$(PYTEST) tests -m examples
fuzz: setup init ## Give each reader hostile files for SECONDS (60); what fails is kept in .cache/fuzz
	AOT_FUZZ_SECONDS=$(or $(SECONDS),60) $(PYTEST) tests/fuzz --timeout=0
system-packages:
	@tests/system-packages

wheel: setup init ## A manylinux wheel of aotpack that carries what it would compile, in dist/
	@$(TOOL)/bin/python -m tests.tools.wheel

bench: setup init ## Compare side by side with what a user would pick instead
	$(TOOL)/bin/python -m benchmarks.run

lint: style types quality fmt-cpp-check ## All checks of the sources
style: setup
	$(TOOL)/bin/ruff format --check $(PY)
	$(TOOL)/bin/ruff check $(PY)
types: setup
	$(TOOL)/bin/mypy
quality: setup init
	$(TOOL)/bin/python -m tests.tools.clang_tidy
fmt-cpp-check: setup
	@$(TOOL)/bin/clang-format --dry-run --Werror $(CPP)
fmt-cpp: setup ## Format C and C++
	@$(TOOL)/bin/clang-format -i $(CPP)
fmt-all: fmt-cpp ## Format everything
	$(TOOL)/bin/ruff format $(PY)
	$(TOOL)/bin/ruff check --fix $(PY)

schemas: setup ## Regenerate the JSON schemas from the types
	$(TOOL)/bin/python -c 'from aotpack import resources; from aotpack.bundle import manifest; (resources.SCHEMAS / "bundle.schema.json").write_bytes(manifest.json_schema())'
	$(TOOL)/bin/python -c 'from aotpack import resources; from aotpack.project import settings; (resources.SCHEMAS / "project.schema.json").write_bytes(settings.json_schema())'
docs: schemas ## Regenerate what follows from the code

clean: ## Remove what was built; venvs stay
	rm -rf build dist .cache .pytest_cache .mypy_cache .ruff_cache
