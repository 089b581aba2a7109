/* Rules, contexts and comparisons of events for the tests of the decoder. */
#ifndef RANKD_TESTS_EVENT_TOOLS_H
#define RANKD_TESTS_EVENT_TOOLS_H

#include <stdlib.h>
#include <string.h>

#include "proto/event.h"

#define TOOLS_ALLOW_ALL (0xFFFFu | EVENT_ALLOW_IMPRESSION | EVENT_ALLOW_ITEM | EVENT_ALLOW_USER | EVENT_ALLOW_DELETE)
#define TOOLS_RECORD_MS INT64_C(1700000000000)

/* The names of the default configuration, max_event_bytes of 4096 and baskets of 5. */
static inline void tools_rules(struct event_rules *r) {
    static const char *const types[] = {"click", "view", "cart", "purchase"};
    *r = (struct event_rules){.n_types = 4, .max_event_bytes = 4096, .max_basket = 5};
    for (size_t t = 0; t < r->n_types; t++) memcpy(r->types[t], types[t], strlen(types[t]));
    if (event_names_parse("user,user_id", &r->user, NULL) || event_names_parse("item, item_id", &r->item, NULL) ||
        event_names_parse("type,event_type", &r->type, NULL) || event_names_parse("ts,timestamp", &r->ts, NULL) ||
        event_names_parse("id,event_id", &r->id, NULL) || event_names_parse("title,name", &r->words, NULL) ||
        event_names_parse("price", &r->bands, NULL))
        abort();
}

static inline struct event_context tools_context(const struct event_rules *r) {
    return (struct event_context){
        .rules = r, .allow = TOOLS_ALLOW_ALL, .default_type = -1, .record_ms = TOOLS_RECORD_MS};
}

static inline int tools_same_double(double a, double b) { return memcmp(&a, &b, sizeof a) == 0 || (a != a && b != b); }

/* Same in every field; descriptions are compared where asked. */
static inline int tools_same_event(const struct event *a, const struct event *b, int descriptions) {
    if (a->kind != b->kind || a->type != b->type || a->ts_ms != b->ts_ms || a->n_items != b->n_items ||
        a->basket != b->basket || a->available != b->available || a->expires_ms != b->expires_ms)
        return 0;
    if (!slice_equal(a->id, b->id) || !slice_equal(a->user, b->user) || !slice_equal(a->session, b->session) ||
        !slice_equal(a->request, b->request))
        return 0;
    if (!tools_same_double(a->value, b->value) || !tools_same_double(a->quantity, b->quantity)) return 0;
    for (size_t i = 0; i < a->n_items; i++)
        if (!slice_equal(a->items[i].id, b->items[i].id) ||
            !tools_same_double(a->items[i].quantity, b->items[i].quantity) ||
            !tools_same_double(a->items[i].price, b->items[i].price))
            return 0;
    if (a->n_features != b->n_features || a->n_left_out != b->n_left_out) return 0;
    for (size_t i = 0; i < a->n_features; i++)
        if (!slice_equal(a->features[i], b->features[i])) return 0;
    return !descriptions || slice_equal(a->description, b->description);
}

#endif
