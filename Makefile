# rankd: build, test, bench, install. `make help` lists the targets.

VERSION     := 0.1.0
CC          ?= gcc
CFLAGS      ?= -O2 -g
PREFIX      ?= /usr/local
DESTDIR     ?=
PYTHON      ?= python3
# SAN=address (with undefined) or SAN=thread builds apart, in build/asan or build/tsan
SAN         ?=

ifeq ($(SAN),address)
  BUILD     ?= build/asan
  SANFLAGS  := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
else ifeq ($(SAN),thread)
  BUILD     ?= build/tsan
  # gcc warns that ThreadSanitizer does not model fences; all that ours order are atomics, which it does model
  SANFLAGS  := -fsanitize=thread -fno-omit-frame-pointer -Wno-unknown-warning-option -Wno-tsan
else
  BUILD     ?= build
  HARDEN    := -D_FORTIFY_SOURCE=2 -fstack-protector-strong
endif
BUILD       ?= build

WARN    := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef -Werror
# No contraction and no fast-math: the arithmetic must give the same bits on every machine.
ARITH   := -ffp-contract=off -fno-fast-math
ALL_CFLAGS  = -std=c11 -D_GNU_SOURCE -DRANKD_VERSION='"$(VERSION)"' -I. $(WARN) $(ARITH) $(HARDEN) $(SANFLAGS) -fPIE -pthread $(CFLAGS)
ALL_LDFLAGS = -pie -pthread -Wl,-z,relro,-z,now $(SANFLAGS) $(LDFLAGS)

PKGS    := libevent libevent_pthreads rdkafka jansson libxxhash libcrypto zlib libdeflate libzstd libcurl libsystemd
LIBS    := $(shell pkg-config --libs $(PKGS)) -llmdb -linih -lm

src      = $(sort $(wildcard $(1)/*.c))
objs     = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
BASE    := $(call objs,$(call src,lib/base))
MODEL   := $(call objs,$(call src,lib/model))
STORE   := $(call objs,$(call src,lib/store))
EVAL    := $(call objs,$(call src,lib/eval))
PROTO   := $(call objs,$(call src,proto))
MAINS   := daemon/rankd.c daemon/rankctl.c
DAEMON  := $(call objs,$(filter-out $(MAINS),$(call src,daemon)))
# In link order: each archive may use those to its right.
ARCHIVES := $(BUILD)/libdaemon.a $(BUILD)/libproto.a $(BUILD)/libstore.a $(BUILD)/libeval.a $(BUILD)/libmodel.a $(BUILD)/libbase.a

.PHONY: all
all: $(BUILD)/rankd $(BUILD)/rankctl ## build rankd and rankctl (CC=clang, SAN=address and SAN=thread work)

$(BUILD)/rankd: $(BUILD)/obj/daemon/rankd.o $(ARCHIVES)
	$(CC) $(ALL_LDFLAGS) -o $@ $< $(ARCHIVES) $(LIBS)
$(BUILD)/rankctl: $(BUILD)/obj/daemon/rankctl.o $(ARCHIVES)
	$(CC) $(ALL_LDFLAGS) -o $@ $< $(ARCHIVES) $(LIBS)

$(BUILD)/libbase.a: $(BASE)
$(BUILD)/libmodel.a: $(MODEL)
$(BUILD)/libstore.a: $(STORE)
$(BUILD)/libeval.a: $(EVAL)
$(BUILD)/libproto.a: $(PROTO)
$(BUILD)/libdaemon.a: $(DAEMON)
$(BUILD)/lib%.a:
	@rm -f $@
	ar rcs $@ $^

# Vector kernels are compiled for their instruction set and chosen at start-up; no kernel may contract or fuse.
# -O3 for the arithmetic: plain loops there are written to be vectorised.
$(BUILD)/obj/lib/model/%.o: CFLAGS += -O3
$(BUILD)/obj/lib/eval/%.o: CFLAGS += -O3
$(patsubst %,$(BUILD)/obj/lib/base/%.o,fmath fmath_avx2 fmath_avx512): CFLAGS += -O3
$(BUILD)/obj/lib/base/fmath_avx2.o: CFLAGS += -mavx2
$(BUILD)/obj/lib/base/fmath_avx512.o: CFLAGS += -mavx512f -mavx512dq -mavx512vl -mprefer-vector-width=512
$(BUILD)/obj/lib/model/kernel_avx2.o: CFLAGS += -mavx2
$(BUILD)/obj/lib/model/kernel_avx512.o: CFLAGS += -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# A unit test is tests/unit/test_LAYER_*.c and links its layer and what that layer may include.
unit_libs_base   := $(BUILD)/libbase.a
unit_libs_model  := $(BUILD)/libmodel.a $(BUILD)/libbase.a
unit_libs_store  := $(BUILD)/libstore.a $(BUILD)/libbase.a
unit_libs_eval   := $(BUILD)/libeval.a $(BUILD)/libmodel.a $(BUILD)/libbase.a
unit_libs_proto  := $(BUILD)/libproto.a $(BUILD)/libbase.a
unit_libs_daemon := $(ARCHIVES)
UNIT    := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(sort $(wildcard tests/unit/test_*.c)))
BENCH   := $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(sort $(wildcard tests/bench/bench_*.c)))

define unit_rule
$(BUILD)/unit/test_$(1)_%: $(BUILD)/obj/tests/unit/test_$(1)_%.o $(unit_libs_$(1))
	@mkdir -p $$(@D)
	$$(CC) $$(ALL_LDFLAGS) -o $$@ $$^ -lcmocka $$(LIBS)
$(BUILD)/bench/bench_$(1)_%: $(BUILD)/obj/tests/bench/bench_$(1)_%.o $(unit_libs_$(1))
	@mkdir -p $$(@D)
	$$(CC) $$(ALL_LDFLAGS) -o $$@ $$^ $$(LIBS)
endef
$(foreach layer,base model store eval proto daemon,$(eval $(call unit_rule,$(layer))))

.PHONY: unit
unit: $(UNIT) ## build and run the unit tests
	@scripts/run-unit $(UNIT)

.PHONY: test
test: ## everything the gate runs: lint, unit, golden, replay, system, crash, short fuzz
	scripts/test

.PHONY: lint
lint: ## formatting, clang-tidy, layers, sizes, options and counters against their documents
	scripts/lint

.PHONY: bench
bench: all $(BENCH) ## side-by-side benchmarks; prints the table of docs/benchmarks.md
	scripts/bench

-include tests/fuzz/fuzz.mk
-include tests/system/system.mk

.PHONY: install
install: all ## install below $(DESTDIR)$(PREFIX)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/doc/rankd $(DESTDIR)/etc/rankd
	install -m 755 $(BUILD)/rankd $(BUILD)/rankctl $(DESTDIR)$(PREFIX)/bin/
	install -m 644 README.md LICENSE $(wildcard docs/*.md) proto/openapi.yaml $(wildcard proto/*.schema.json) $(DESTDIR)$(PREFIX)/share/doc/rankd/
	test -e $(DESTDIR)/etc/rankd/rankd.conf || install -m 644 etc/rankd.conf $(DESTDIR)/etc/rankd/rankd.conf
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)$(PREFIX)/lib/sysusers.d $(DESTDIR)$(PREFIX)/lib/tmpfiles.d
	sed 's|/usr/local/bin|$(PREFIX)/bin|' systemd/rankd.service > $(DESTDIR)$(PREFIX)/lib/systemd/system/rankd.service
	install -m 644 systemd/rankd.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/rankd.conf
	install -m 644 systemd/rankd.tmpfiles $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/rankd.conf

.PHONY: clean
clean: ## remove build/
	rm -rf build

.PHONY: help
help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' Makefile $(wildcard tests/*/*.mk)

.SECONDARY:
-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
