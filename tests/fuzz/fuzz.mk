# Fuzz targets: every tests/fuzz/fuzz_LAYER_*.c, built by clang in build/fuzz with its layer and what that may include.
# `make fuzz` runs each for FUZZ_SECONDS on tests/fuzz/corpus/LAYER_*/; what it finds is kept in build/fuzz/found/.

FUZZ_SECONDS ?= 20
FUZZ_CC      ?= clang
FUZZ_BUILD   := build/fuzz
FUZZ         := $(patsubst tests/fuzz/%.c,$(FUZZ_BUILD)/%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
FUZZ_SAN     := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
FUZZ_CFLAGS   = -std=c11 -D_GNU_SOURCE -DRANKD_VERSION='"$(VERSION)"' -I. $(WARN) $(ARITH) $(FUZZ_SAN) -pthread -O1 -g

fuzz_objs = $(patsubst %.c,$(FUZZ_BUILD)/obj/%.o,$(1))
$(FUZZ_BUILD)/libbase.a: $(call fuzz_objs,$(call src,lib/base))
$(FUZZ_BUILD)/libmodel.a: $(call fuzz_objs,$(call src,lib/model))
$(FUZZ_BUILD)/libstore.a: $(call fuzz_objs,$(call src,lib/store))
$(FUZZ_BUILD)/libproto.a: $(call fuzz_objs,$(call src,proto))
$(FUZZ_BUILD)/libdaemon.a: $(call fuzz_objs,$(filter-out $(MAINS),$(call src,daemon)))
$(FUZZ_BUILD)/lib%.a:
	@rm -f $@
	ar rcs $@ $^

$(FUZZ_BUILD)/obj/lib/model/kernel_avx2.o: FUZZ_CFLAGS += -mavx2
$(FUZZ_BUILD)/obj/lib/model/kernel_avx512.o: FUZZ_CFLAGS += -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni
$(FUZZ_BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(FUZZ_CC) $(FUZZ_CFLAGS) -fsanitize=fuzzer-no-link -MMD -MP -c -o $@ $<

fuzz_libs_base   := $(FUZZ_BUILD)/libbase.a
fuzz_libs_model  := $(FUZZ_BUILD)/libmodel.a $(FUZZ_BUILD)/libbase.a
fuzz_libs_store  := $(FUZZ_BUILD)/libstore.a $(FUZZ_BUILD)/libbase.a
fuzz_libs_proto  := $(FUZZ_BUILD)/libproto.a $(FUZZ_BUILD)/libbase.a
fuzz_libs_daemon := $(patsubst %,$(FUZZ_BUILD)/lib%.a,daemon proto store model base)
define fuzz_rule
$(FUZZ_BUILD)/fuzz_$(1)_%: $(FUZZ_BUILD)/obj/tests/fuzz/fuzz_$(1)_%.o $(fuzz_libs_$(1))
	$$(FUZZ_CC) $$(FUZZ_SAN) -fsanitize=fuzzer -pthread -o $$@ $$^ $$(LIBS)
endef
$(foreach layer,base model store proto daemon,$(eval $(call fuzz_rule,$(layer))))

.PHONY: fuzz-build
fuzz-build: $(FUZZ) ## build the fuzz targets (clang)

.PHONY: fuzz
fuzz: $(FUZZ) ## run each fuzz target for FUZZ_SECONDS
	@for target in $(FUZZ); do \
	    name=$${target##*/fuzz_}; \
	    seeds=tests/fuzz/corpus/$$name; \
	    [ -d $$seeds ] || { echo "fuzz $$name: no seeds, $$seeds is missing" >&2; seeds=; }; \
	    mkdir -p $(FUZZ_BUILD)/found/$$name; \
	    echo "fuzz $$name: $(FUZZ_SECONDS) s"; \
	    $$target -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -verbosity=0 \
	        -artifact_prefix=$(FUZZ_BUILD)/crash-$$name- $(FUZZ_BUILD)/found/$$name $$seeds \
	        || exit 1; \
	done

-include $(shell find $(FUZZ_BUILD)/obj -name '*.d' 2>/dev/null)
