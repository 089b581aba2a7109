/* Options from the environment: RANKD_SECTION_KEY. */
#include "daemon/config_priv.h"

#include <string.h>

#define PREFIX      "RANKD_"
#define TEST_PREFIX "RANKD_TEST_"
#define PASS        "RANKD_KAFKA_RDKAFKA_"

const char *config_env_name(const char *name, char *out, size_t size) {
    snprintf(out, size, PREFIX "%s", name);
    for (char *p = out; *p; p++) {
        if (*p >= 'a' && *p <= 'z') *p = (char)(*p - 'a' + 'A');
        if (*p == '.' || *p == '-') *p = '_';
    }
    return out;
}

static int unknown(const char *variable, struct err *e) {
    char near[CONFIG_MAX_ENV], own[CONFIG_MAX_ENV];
    if (strncmp(variable, "RANKD_TYPE_", 11) == 0 || strncmp(variable, "RANKD_FILE_", 11) == 0 ||
        strncmp(variable, "RANKD_RULE_", 11) == 0)
        return err_set(e, ERR_SYNTAX, variable,
                       "%.120s: unknown variable; [type.NAME], [file.NAME] and [rule.NAME] are set in the file or "
                       "with -o, not in the environment",
                       variable);
    config_nearest(NULL, variable, near, sizeof near);
    for (size_t i = 0; i < config_n_options; i++) { /* the section alone left out: RANKD_LOG_LEVEL */
        const struct config_option *o = &config_options[i];
        if (strcmp(config_env_name(o->key, own, sizeof own), variable) != 0) continue;
        char name[CONFIG_MAX_NAME];
        snprintf(name, sizeof name, "%s.%s", o->section, o->key);
        config_env_name(name, near, sizeof near);
        break;
    }
    return err_set(e, ERR_SYNTAX, variable, "%.120s: unknown variable; the nearest known one is %s", variable, near);
}

static int set_variable(struct config *c, const char *variable, const char *value, struct err *e) {
    struct config_from from = {CONFIG_FROM_ENV, 0};
    char own[CONFIG_MAX_ENV];
    if (strncmp(variable, PASS, strlen(PASS)) == 0) {
        snprintf(own, sizeof own, "rdkafka.%s", variable + strlen(PASS));
        for (char *p = own; *p; p++) {
            if (*p >= 'A' && *p <= 'Z') *p = (char)(*p - 'A' + 'a');
            if (*p == '_') *p = '.';
        }
        return config_set(c, "kafka", own, value, from, e);
    }
    for (size_t i = 0; i < config_n_options; i++) {
        const struct config_option *o = &config_options[i];
        char name[CONFIG_MAX_NAME];
        snprintf(name, sizeof name, "%s.%s", o->section, o->key);
        if (strcmp(config_env_name(name, own, sizeof own), variable) != 0) continue;
        if (config_option_grouped(o)) break;
        return config_set(c, o->section, o->key, value, from, e);
    }
    return unknown(variable, e);
}

int config_environment(struct config *c, char *const *environment, struct err *e) {
    for (char *const *at = environment; at && *at; at++) {
        const char *equals = strchr(*at, '=');
        if (!equals || strncmp(*at, PREFIX, strlen(PREFIX)) != 0) continue;
        if (strncmp(*at, TEST_PREFIX, strlen(TEST_PREFIX)) == 0) continue;
        char variable[CONFIG_MAX_ENV];
        snprintf(variable, sizeof variable, "%.*s", (int)(equals - *at), *at);
        int rc = set_variable(c, variable, equals + 1, e);
        if (rc) return rc;
    }
    return 0;
}
