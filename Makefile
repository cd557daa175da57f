# mbus: `make` lists the targets. Works with GNU make 3.81 and bash 3.2.

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

GO      ?= go
BIN     := bin/mbus
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
# A binary built here knows its source tree, which `mbus new` needs as long as
# the module is published nowhere.
LDFLAGS := -X main.version=$(VERSION) -X main.source=$(CURDIR)
GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOFUMPT  := mvdan.cc/gofumpt@v0.12.0
# What the benchmarks run with: a quick run writes no page.
BENCH := -mbus out/mbus -pace $(if $(QUICK),quick,normal -docs ../docs)

.PHONY: help build demo run test pictures chaos lint format fuzz bench bench-full microbench docs clean

help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/mbus
	@mkdir -p bin
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) .

demo: build ## start a node with the greeter, show what it does, stop it
	@bash .ci/demo $(BIN)

run: build ## run a node with the greeter until ctrl-C
	$(BIN) node --demo

test: ## run every test, with the race detector where a C compiler is found
	@GO='$(GO)' bash .ci/test

pictures: ## every page of the dashboard in both themes and all widths, below out/
	@mkdir -p out
	MBUS_LONG=1 $(GO) test ./gateway/web/browsertest -run TestAPictureOfEveryPage -count=1 -artifacts -outputdir '$(CURDIR)/out'

chaos: ## the long fault lab: SEED=N repeats a run, ROUNDS=N faults of each kind, REPORT=FILE
	@MBUS_LONG=1 SEED='$(SEED)' ROUNDS='$(ROUNDS)' REPORT='$(if $(REPORT),$(abspath $(REPORT)))' $(GO) test ./cli/e2e -run '^TestChaos' -count=1 -v -timeout 2h

lint: ## check format and style
	$(GO) run $(GOFUMPT) -l . | (! grep .)
	$(GO) vet ./...
	GOOS=darwin $(GO) vet ./...
	GOOS=windows $(GO) vet ./...
	$(GO) run $(GOLANGCI) run ./...
	cd bench && $(GO) vet ./... && GOOS=darwin $(GO) vet ./... && $(GO) run $(GOLANGCI) run ./... && $(GO) run $(GOLANGCI) run --build-tags gomicro ./...

format: ## format the code
	$(GO) run $(GOFUMPT) -w .

fuzz: ## fuzz every target, FUZZTIME each (default 30s)
	@GO='$(GO)' FUZZTIME='$(or $(FUZZTIME),30s)' bash .ci/fuzz

bench: ## mbus beside plain nats.go and its peers, ten minutes; QUICK=1: a look
	@GO='$(GO)' bash .ci/bench $(BENCH)

bench-full: ## the same at all sizes, an hour
	@GO='$(GO)' bash .ci/bench -mbus out/mbus -pace full -docs ../docs

microbench: ## the Go benchmarks of the packages, beside the floor
	$(GO) test -run '^$$' -bench . -benchmem ./bus/... ./rpc/... ./pubsub/...

docs: ## write docs/cli.md anew from the grammar
	$(GO) test ./cli -run TestReference -update

clean: ## remove what the targets made
	rm -rf bin out bench/out bench/.moleculer examples/greeter/javascript/node_modules
	$(GO) clean -testcache
