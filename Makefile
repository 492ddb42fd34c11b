# Thin: meson does the work. `make help` lists what there is.
BUILD ?= build
PREFIX ?= /usr/local
PYTHON = /usr/bin/python3

.DEFAULT_GOAL := help
.PHONY: help deps build test demo demo-whiteboard bench sim sim-state sim-figures soak fuzz screenshots format lint install clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18

deps: ## install what is missing from Debian's packages
	@tools/deps.sh build test

build: $(BUILD)/build.ninja ## build/kith, build/kith-mandelbrot and the modules
	ninja -C $(BUILD)

$(BUILD)/build.ninja:
	@command -v meson >/dev/null || { echo "meson is missing: run 'make deps' first" >&2; exit 1; }
	meson setup --prefix=$(PREFIX) $(BUILD)

test: ## install what is missing, build, run every test
	@tools/deps.sh build test
	@$(PYTHON) tools/run-tests

demo: ## install what is missing, build, draw a picture with a cluster and lose a node on the way
	@tools/deps.sh build
	@$(MAKE) --no-print-directory build
	@tools/demo.sh $(BUILD)

demo-whiteboard: ## install what is missing, build, a whiteboard over three nodes: prints two links
	@tools/deps.sh build
	@$(MAKE) --no-print-directory build
	@tools/demo-whiteboard.sh $(BUILD)

bench: build ## speed, each figure beside its baseline
	@tools/bench.sh $(BUILD)

sim: build ## the simulated world, seed after seed until stopped
	@tools/sim.sh $(BUILD)

sim-state: ## more seeds of shared state, added to docs/protocols/verification.md
	@$(PYTHON) tools/sim-total --fast --seeds $${SEEDS:-1000}

sim-figures: build ## how long writes wait when nodes go; what a thousand edges cost
	$(BUILD)/kith-sim --scenario state-failover --seed 1 --seeds $${SEEDS:-200}
	$(BUILD)/kith-sim --scenario state-edges --seed 1 --seeds 3

soak: build ## ten million damaged datagrams and 100,000 connections against a live node
	KITH_GARBAGE_DATAGRAMS=10000000 KITH_GARBAGE_CONNECTIONS=100000 \
		$(PYTHON) -m pytest -s -q tests/integration/test_garbage.py

fuzz: ## libFuzzer on every decoder, FUZZ_SECONDS=60 each
	@tools/fuzz.sh

screenshots: build ## every page in both themes at both widths, into build/screenshots
	@tools/deps.sh web
	@tools/web-tools.sh $(BUILD)/web-tools
	KITH_BUILD=$(BUILD) node tests/web/screenshots.mjs $(BUILD)/screenshots

format: ## clang-format every source in place
	@tools/lint.sh format

lint: ## clang-format and clang-tidy, without changing anything
	@tools/lint.sh check

install: build ## under PREFIX=/usr/local, DESTDIR is honoured
	meson install -C $(BUILD) --no-rebuild

clean: ## remove every build directory
	rm -rf $(BUILD) build-*/
