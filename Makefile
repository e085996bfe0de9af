# Entry points of the project; `make` alone lists them. Each installs the Debian packages it needs.
BUILD_DIR ?= build
SANITIZE_BUILD_DIR ?= build-sanitize
THREAD_BUILD_DIR ?= build-thread
FUZZ_BUILD_DIR ?= build-fuzz
JOBS ?= $(shell nproc)
# Where `make install` installs; packages are made under DESTDIR.
PREFIX ?= /usr/local
DESTDIR ?=
# Of each fuzzer; FUZZ_TARGET names one of them.
FUZZ_SECONDS ?= 60
FUZZ_TARGET ?=

.DEFAULT_GOAL := help
.PHONY: help build install demo demo-stop test bench fuzz lint format

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

build: ## build the three programs into build/bin
	@scripts/install-packages.sh build
	@scripts/build.sh $(BUILD_DIR) $(JOBS)

install: ## install programs, systemd units and settings; PREFIX=/usr/local, DESTDIR=
	@scripts/install-packages.sh build
	@scripts/build.sh $(BUILD_DIR) $(JOBS) podtap podtap-agent podtap-collector
	@DESTDIR=$(DESTDIR) cmake --install $(BUILD_DIR) --prefix $(PREFIX) --strip

demo: ## watch the exchanges of three pods on this machine (root); KEEP=1 leaves it running
	@scripts/install-packages.sh build demo
	@scripts/build.sh $(BUILD_DIR) $(JOBS) podtap podtap-agent podtap-collector
	@BIN_DIR=$(BUILD_DIR)/bin scripts/demo.sh run

demo-stop: ## end a demo that KEEP=1 left running
	@BIN_DIR=$(BUILD_DIR)/bin scripts/demo.sh stop

test: ## build and run every test (root); the last line is the sum
	@scripts/install-packages.sh build test
	@scripts/test.sh $(BUILD_DIR) $(SANITIZE_BUILD_DIR) $(THREAD_BUILD_DIR) $(JOBS)

bench: ## measure the budgets (root); BENCH_ROWS=a,b and BENCH_RUNS=n choose what
	@scripts/install-packages.sh build bench
	@scripts/build.sh $(BUILD_DIR) $(JOBS)
	@PODTAP_BIN=$(abspath $(BUILD_DIR))/bin python3 -B bench/bench.py

fuzz: ## run the fuzzers, FUZZ_SECONDS=60 each; FUZZ_TARGET=http runs one
	@scripts/install-packages.sh build fuzz
	@scripts/fuzz.sh $(FUZZ_BUILD_DIR) $(JOBS) $(FUZZ_SECONDS) $(FUZZ_TARGET)

lint: ## check formatting, layers, clang-tidy and the protos
	@scripts/install-packages.sh build lint
	@scripts/lint.sh $(BUILD_DIR) $(JOBS)

format: ## rewrite C and C++ files as clang-format says
	@scripts/install-packages.sh lint
	@python3 tests/lint/check_format.py --fix
