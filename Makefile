# Python 3.10+ and make are all that is needed; everything else goes into .venv, once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.installed-runtime
DEV := $(VENV)/.installed-dev
# One thread a worker: two test workers on two cores would otherwise fight for them.
TEST_ENV := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1 PYTHONPATH=
WORKERS ?= 2
FUZZ_LOG := fuzz.jsonl
# The parts once more with every shape in a signature checked; what traces code (compile, export) cannot see through that.
# Without the tests that read checkpoint configurations: those have no tensors, and their dataclasses convert JSON's lists.
CHECKED := layers ops necks heads losses backbones
COMMA := ,
EMPTY :=
SHAPES := --jaxtyping-packages=$(subst $(EMPTY) $(EMPTY),$(COMMA),$(addprefix backbonekit.,$(CHECKED)) beartype.beartype) \
	-k "not compile and not export and not graph and not waits and not checkpoint_config" $(addprefix tests/,layers ops necks heads losses)

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all check format parity fuzz old-checkpoints peer-tests bench example table docs \
	docs-check docs-links package test-versions clean

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-15s %s\n", $$1, $$2}'

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "backbonekit needs Python 3.10 or later; $(PYTHON) is older. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(RUNTIME): pyproject.toml | $(VENV)/bin/python
	@echo "installing backbonekit into $(VENV): torch alone is several GB, a few minutes the first time"
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(DEV): pyproject.toml | $(VENV)/bin/python
	@echo "installing backbonekit and its test tools into $(VENV): torch alone is several GB, a few minutes the first time"
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(RUNTIME)

install: $(DEV) ## set up .venv with everything for development

demo: $(RUNTIME) ## set up, then build MaskFormer with a ResNet-50 and print its wiring
	$(BIN)/python -m backbonekit.build model=maskformer_resnet50

example: $(DEV) ## train a detector of handwritten digits (minutes on a CPU)
	$(BIN)/python -m backbonekit train experiment=digits_detection save=runs/detection overwrite=true

test: $(DEV) ## set up, then run the tests (minutes, no network)
	$(TEST_ENV) $(BIN)/python -m pytest -n $(WORKERS) -m "not slow"
	$(TEST_ENV) $(BIN)/python -m pytest -n $(WORKERS) -q $(SHAPES)

test-all: $(DEV) ## the tests with those that take long
	$(TEST_ENV) $(BIN)/python -m pytest -n $(WORKERS)

parity: $(DEV) ## only the comparisons with transformers, torchvision and timm
	$(TEST_ENV) $(BIN)/python -m pytest -n $(WORKERS) -m parity

fuzz: $(DEV) ## thousands of damaged recipes and files (an hour); FUZZ_EXAMPLES=N for each kind
	rm -f $(FUZZ_LOG)
	-$(TEST_ENV) FUZZ_LOG=$(FUZZ_LOG) FUZZ_EXAMPLES=$(or $(FUZZ_EXAMPLES),2500) $(BIN)/python -m pytest -n $(WORKERS) -q \
		tests/security/test_fuzz_files.py tests/recipe/test_fuzz.py
	$(BIN)/python -m tests.security.fuzz_report $(FUZZ_LOG)

old-checkpoints: $(DEV) ## open what transformers 4.44, 4.57 and 5.x save; downloads the old releases once
	$(TEST_ENV) $(BIN)/python -m tests.old_checkpoints

peer-tests: $(DEV) ## transformers' own backbone tests on our classes; TRANSFORMERS_TESTS=FOLDER instead of a download
	$(TEST_ENV) $(BIN)/python -m tests.peer $(TRANSFORMERS_TESTS)

check: $(DEV) ## format, lint, types, floors; static, under a minute
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright --pythonpath $(BIN)/python --level error
	$(BIN)/lint-imports

format: $(DEV) ## put the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

table: $(DEV) ## write the option table, its pages and the schemas again, after a part's signature or docstring changed
	$(BIN)/python -m backbonekit.registry.table
	$(BIN)/python -m backbonekit.recipe.json_schema
	$(BIN)/python docs/make_recipes.py
	$(BIN)/python docs/make_data.py
	$(BIN)/python -m backbonekit.cli.list_numbers

docs: $(DEV) ## build the site into build/docs; RELEASES=tags builds every release too
	$(BIN)/python docs/make_site.py build/docs $(RELEASES)

docs-check: $(DEV) ## the site without a warning or a broken link; every block of every page runs
	$(TEST_ENV) $(BIN)/python -m pytest -q tests/test_site.py tests/test_docs.py tests/test_readme.py tests/test_*_page.py

docs-links: $(DEV) ## the links of the pages to other sites; needs a network
	$(BIN)/python -m sphinx -q -b linkcheck docs build/docs-links

bench: $(DEV) ## speed and memory, side by side with transformers
	$(BIN)/python -m benchmarks

package: $(DEV) ## build the sdist and the wheel into dist/ and check them
	$(BIN)/python docs/make_package.py dist

test-versions: $(DEV) ## can the extras be installed on every Python, newest and lowest versions; needs a package index
	PATH="$(abspath $(BIN)):$$PATH" RESOLVE=1 $(BIN)/python -m pytest -q tests/packaging/test_metadata.py

clean: ## remove .venv and caches
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .import_linter_cache .hypothesis
