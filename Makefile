# Two commands to try it: `make run` and `make test`. Each does its own set-up, on a bare Debian 13 too.

# The newest Python from 3.11 on that answers (a name in PATH is not yet a Python that runs).
PY ?= $(shell for p in python3.13 python3 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v "$$p"; break; }; done)

APT_RUN   = python3-venv openssl poppler-utils
APT_STAGE = python3-venv binutils
APT_PACKAGE = $(APT_RUN) $(APT_STAGE) $(APT_LDAP) mmdebstrap iproute2
APT_LDAP  = gcc libc6-dev python3-dev libldap-dev libsasl2-dev
APT_TEST  = $(APT_RUN) $(APT_LDAP) postfix libnss3-tools gpgsm swaks libnet-ssleay-perl default-jdk-headless libbcmail-java \
	slapd ldap-utils nsd unbound ldnsutils softhsm2 opensc curl postgresql rspamd opendkim opendkim-tools opendmarc \
	prometheus systemd chromium qpdf
APT_BENCH = postfix openssl libssl-dev default-jdk-headless libbcmail-java

# Workers of the test run, one more than cores, because tests often wait for a process. A file's tests stay together; slow
# files come first (tests/conftest.py). PYTEST_ARGS: e.g. `make test PYTEST_ARGS='-k signed -x'`.
JOBS ?= $(shell echo $$(($$(nproc) + 1)))
PYTEST_ARGS ?=

.PHONY: run test test-long test-package check mutants docs bench fuzz chaos soak runs preflight dev install deb image wheel ldap lock clean

run: .venv/ok
	.venv/bin/sealgate demo

# Compiled tests are kept: to compile them costs each worker 10 s of CPU.
test: export PYTHONDONTWRITEBYTECODE =
test: .venv/ok
	@scripts/need $(APT_TEST)
	@$(MAKE) -s .venv/ldap-ok
	.venv/bin/pytest -q -n $(JOBS) --dist loadfile --no-loadscope-reorder -m "not long and not package" --durations 20 --durations-min 10 $(PYTEST_ARGS)

# Tests that run for a long time on purpose: kill -9 under load, killed runs, memory. SHORT=1 leaves out the hours after them.
SHORT ?=
test-long: .venv/ok
	@scripts/need $(APT_TEST)
	.venv/bin/pytest -q -n $(JOBS) -m long --durations 0 --durations-min 1 $(PYTEST_ARGS)
	@test -n "$(SHORT)" || $(MAKE) chaos soak runs

# The Debian package: made twice, installed, upgraded and purged in a fresh Debian. Fetches packages; needs root.
test-package: .venv/ok
	@scripts/need $(APT_PACKAGE)
	.venv/bin/pytest -q -m package --durations 0 --durations-min 1 tests/package $(PYTEST_ARGS)

# Linters and types.
check: .venv/ok
	.venv/bin/ruff check
	.venv/bin/mypy

# Faults that are planted one by one in a copy of the tree; the tests must catch each. FAULTS="der-depth-limit ..." for some.
FAULTS ?=
mutants: .venv/ok
	@.venv/bin/python -m tests.mutants $(FAULTS)

# The documentation as a site with search in build/site, and man pages in build/man. A broken link is an error.
docs: .venv/ok
	.venv/bin/mkdocs build --strict
	.venv/bin/python scripts/man_pages.py build/man
	@echo "build/site/index.html and build/man/sealgate.1" >&2

# The table of the speed goals; `make bench BENCH_ARGS=--short` in five minutes, `--json` for programs.
BENCH_ARGS ?=
bench: .venv/ok
	@scripts/need $(APT_BENCH)
	@.venv/bin/python -m bench $(BENCH_ARGS)

# Every parser against octets that a fuzzer makes, FUZZ_SECONDS each (fuzz/README.md).
FUZZ_SECONDS ?= 180
FUZZ ?=
fuzz: .venv/ok
	.venv/bin/python -m fuzz --seconds $(FUZZ_SECONDS) $(FUZZ)

# kill -9 of whatever there is, under load, and then the books. CHAOS_ARGS: e.g. '--seed 7 --shape nodes'.
CHAOS_MINUTES ?= 60
CHAOS_ARGS ?=
chaos: .venv/ok
	@scripts/need $(APT_RUN) postfix postgresql
	.venv/bin/python -m tests.chaos.driver --minutes $(CHAOS_MINUTES) $(CHAOS_ARGS)

# Memory over many mails.
SOAK_MAILS ?= 100000
soak: .venv/ok
	.venv/bin/python -m tests.chaos.soak --mails $(SOAK_MAILS)

# A statement run that is killed again and again, and then the books.
RUN_MAILS ?= 20000
RUN_KILLS ?= 5
runs: .venv/ok
	RUN_MAILS=$(RUN_MAILS) RUN_KILLS=$(RUN_KILLS) .venv/bin/pytest -q tests/chaos/test_runs_killed.py

# A pre-flight of a million customers, and how long it took.
PREFLIGHT_ROWS ?= 1000000
preflight: .venv/ok
	SEALGATE_PREFLIGHT_ROWS=$(PREFLIGHT_ROWS) .venv/bin/pytest -q -s tests/e2e/test_preflight.py -k every_mail

# What operators use, without test and build tools: the program below PREFIX, units and man pages.
# STAGE_ARGS=--ldap: with LDAP directories, after scripts/need of APT_LDAP. `make deb` makes a package, which has them.
PREFIX  ?= /usr/local
DESTDIR ?= /
STAGE_ARGS ?=
install:
	@scripts/need $(APT_STAGE)
	@test -n "$(PY)" || { echo "Sealgate needs Python 3.11 or newer, and found none. Name one: make PY=/path/to/python3" >&2; exit 1; }
	$(PY) scripts/package/stage.py --destdir "$(DESTDIR)" --prefix "$(PREFIX)" $(STAGE_ARGS)

# The Debian package, in dist/; equal octet by octet each time. DEB_ARGS: e.g. --version 0.1.0+bank1.
DEB_ARGS ?=
deb:
	@scripts/need $(APT_STAGE) $(APT_LDAP)
	/usr/bin/python3 scripts/package/deb.py $(DEB_ARGS)

# An image of that package. Health checks need the format `docker`, which docker itself has without a word:
# make image CONTAINER=docker IMAGE_ARGS=
CONTAINER ?= podman
IMAGE_ARGS ?= --format docker
image: deb
	$(CONTAINER) build --file Containerfile --tag sealgate $(IMAGE_ARGS) .

# The wheel, in dist/.
wheel: .venv/ok
	.venv/bin/pip wheel -q --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .

# The set-up of developers alone: .venv with the test and build tools, and this tree as it is edited.
dev: .venv/ok

# LDAP directories need a library that is built here, with a compiler and OpenLDAP's headers.
ldap: .venv/ok
	@scripts/need $(APT_LDAP)
	@$(MAKE) -s .venv/ldap-ok

.venv/ldap-ok: .venv/ok requirements-ldap.lock
	.venv/bin/pip install -q --disable-pip-version-check --require-hashes --no-deps --no-build-isolation -r requirements-ldap.lock
	@touch $@

.venv/ok: pyproject.toml requirements-dev.lock requirements-build.lock scripts/need
	@scripts/need $(APT_RUN)
	@test -n "$(PY)" || { echo "Sealgate needs Python 3.11 or newer, and found none. Name one: make PY=/path/to/python3" >&2; exit 1; }
	@echo "setting up .venv with $(PY); this takes about half a minute" >&2
	@rm -f $@
	$(PY) -m venv .venv
	.venv/bin/pip install -q --disable-pip-version-check --require-hashes --only-binary :all: -r requirements-build.lock
	.venv/bin/pip install -q --disable-pip-version-check --require-hashes --no-build-isolation -r requirements-dev.lock
	.venv/bin/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# The locks hold names, versions and hashes; no addresses. requirements.lock is what a bank runs; requirements-build.lock
# builds packages that come as source, and Sealgate itself; requirements-dev.lock is both and the test tools, in the same
# versions. Needs uv.
COMPILE = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url
lock:
	$(COMPILE) --extra hsm --extra postgres --output-file requirements.lock pyproject.toml
	$(COMPILE) --extra hsm --extra postgres --extra test --extra build --constraint requirements.lock \
		--output-file requirements-dev.lock pyproject.toml
	$(PY) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["build"], sep="\n")' | \
		$(COMPILE) --constraint requirements-dev.lock --output-file requirements-build.lock -
	echo 'bonsai>=1.5.5,<2' | $(COMPILE) --no-deps --output-file requirements-ldap.lock -

clean:
	rm -rf .venv build dist sealgate-demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
