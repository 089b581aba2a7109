# Helpers of the system tests. Included by the Makefile; scripts/kafka also names it beside the Makefile.
ifndef SYSTEM_MK
SYSTEM_MK := 1

$(BUILD)/system/%: $(BUILD)/obj/tests/system/%.o
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $< $$(pkg-config --libs rdkafka)

$(BUILD)/system/report_tool: $(BUILD)/obj/tests/system/report_tool.o $(unit_libs_eval)
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

.PHONY: system-tools
system-tools: $(BUILD)/system/kafka_tool $(BUILD)/system/report_tool ## helpers of the system tests

endif
