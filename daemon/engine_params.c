/* What the model is a function of, from the configuration. */
#include <string.h>

#include "daemon/config_priv.h"
#include "daemon/engine.h"
#include "lib/model/content.h"

static void fill_loss(const struct config *c, struct loss_params *p) {
    for (int k = 0; k < LOSS_KINDS; k++)
        if (strcmp(loss_name((enum loss_kind)k), c->loss) == 0) p->kind = (enum loss_kind)k;
    p->ignore_often = !c->log_correction;
    p->log_count = strcmp(c->confidence, "log") == 0;
    p->temperature = (float)c->temperature;
    p->margin = (float)c->margin;
    p->smoothing = (float)c->label_smoothing;
    p->score_l2 = (float)c->score_l2;
    p->alpha = (float)c->confidence_alpha;
    p->entropy = (float)c->entropy;
}

static void fill_negatives(const struct config *c, struct model_params *p) {
    p->negatives = (uint32_t)c->negatives;
    p->recent_events = (uint32_t)c->recent_events;
    p->recent_share = (float)c->recent_share;
    p->popular_share = (float)c->popular_share;
    p->popular_exponent = (float)c->popular_exponent;
    p->hard_share = (float)c->hard_share;
    p->exposed_share = (float)c->exposed_share;
    p->exposed_items = (uint32_t)c->exposed_items;
    p->exposed_age_ms = c->exposed_age_ms;
    p->hard_pool = (uint32_t)c->hard_pool;
    p->hard_skip = (float)c->hard_skip;
}

static void fill_regular(const struct config *c, struct model_params *p) {
    p->unit_scale = c->normalise ? (float)c->normalise_scale : 0;
    p->l2_user = (float)c->l2_user;
    p->l2_item = (float)c->l2_item;
    p->l2_history = (float)c->l2_history;
    p->history_dropout = (float)c->history_dropout;
    p->popularity_penalty = (float)c->popularity_penalty;
    p->row_half_life_ms = c->row_half_life_ms > 0 ? c->row_half_life_ms : 0;
    p->sum_half_life_ms = c->sum_half_life_ms > 0 ? c->sum_half_life_ms : 0;
}

_Static_assert(EVENT_MAX_FEATURES <= MODEL_MAX_FEATURES && EVENT_MAX_FEATURE <= MODEL_MAX_FEATURE,
               "the model takes what the decoder gives");

static void fill_content(const struct config *c, struct model_params *p) {
    p->max_features = (uint32_t)c->max_features;
    p->item_features = (uint32_t)c->item_features;
    p->segment_scale = (float)c->segment_scale;
    p->user_features = (uint32_t)c->user_features;
    p->affinity_history = (uint32_t)c->affinity_history;
    p->succession_history = (uint32_t)c->succession_history;
    p->succession_features = (uint32_t)c->succession_features;
    p->feature_scale = (float)c->feature_scale;
}

static void fill_terms(const struct config *c, struct model_params *p) {
    p->neighbours = (uint32_t)c->neighbours;
    p->neighbour_history = (uint32_t)c->neighbour_history;
    p->neighbour_decay = (float)c->neighbour_decay;
    p->neighbour_scale = (float)c->neighbour_scale;
    p->neighbour_shrink = (float)c->neighbour_shrink;
    p->neighbour_popularity = (float)c->neighbour_popularity;
    p->basket_weight = (float)c->basket_weight;
    p->pair_half_life_ms = c->pair_half_life_ms;
    p->successor_half_life_ms = c->successor_half_life_ms;
    p->lately_half_life_ms = c->lately_half_life_ms;
    p->lately_history = (uint32_t)c->lately_history;
    p->lately_scale = (float)c->lately_scale;
    p->blend_step = (float)c->blend_step;
    p->blend_step_neighbours = (float)c->blend_step_neighbours;
    p->blend_start[TERM_EMBEDDING] = (float)c->tau;
    for (int k = 0; k < NEIGHBOUR_KINDS; k++) p->blend_start[k] = (float)c->lambda[k];
    for (int h = 0; h < MODEL_TRENDS; h++) p->blend_start[TERM_TREND + h] = (float)c->mu[h];
    for (int k = 0; k < CONTENT_TERMS; k++) p->blend_start[TERM_CONTENT + k] = (float)c->content[k];
    for (int f = 0; f < TERMS; f++) {
        if (config_has_term(c, terms_name(f))) continue;
        p->terms_off |= 1u << f;
        p->blend_start[f] = 0;
    }
}

static void fill_drift(const struct config *c, struct model_params *p) {
    bool both = strcmp(c->drift_action, "both") == 0, step = both || strcmp(c->drift_action, "step") == 0;
    bool half_lives = both || strcmp(c->drift_action, "half_lives") == 0;
    p->drift_tolerance = (float)c->drift_tolerance;
    p->drift_threshold = (float)c->drift_threshold;
    p->drift_age = half_lives ? (float)c->drift_age : 0;
    p->drift_sums = step ? (float)c->drift_sums : 1;
}

void engine_params(const struct engine *g, struct model_params *p) {
    const struct config *c = g->config;
    memset(p, 0, sizeof *p);
    p->dim = (uint32_t)c->dim;
    p->seed = (uint64_t)c->seed;
    p->max_items = (uint32_t)c->max_items;
    p->user_items = (uint32_t)c->user_items;
    fill_negatives(c, p);
    fill_loss(c, &p->loss);
    fill_regular(c, p);
    p->step = (float)c->step;
    p->under_root = (float)c->under_root;
    p->start_item = (float)c->start_item;
    p->start_user = (float)c->start_user;
    p->clip = (float)c->clip;
    p->history = (uint32_t)c->history;
    p->history_decay = (float)c->history_decay;
    p->late_half_life_ms = c->late_half_life_ms;
    p->count_half_life_ms = c->count_half_life_ms;
    for (int h = 0; h < MODEL_TRENDS; h++) p->trend_half_life_ms[h] = c->trend_ms[h];
    p->max_ahead_ms = c->max_ahead_ms;
    p->max_clock_step_ms = c->max_clock_step_ms;
    p->dedup_window = (uint64_t)c->dedup_window;
    fill_content(c, p);
    fill_terms(c, p);
    fill_drift(c, p);
    p->n_types = (uint32_t)g->n_types;
    for (size_t t = 0; t < g->n_types; t++) {
        const struct config_type *type = config_type_of(c, g->types[t]);
        p->types[t].weight = type ? (float)type->weight : 0;
        p->types[t].history_weight = type ? (float)type->history_weight : 0;
        if (!type) continue;
        p->types[t].repeats = type->repeats;
        p->types[t].late_half_life_ms = type->late_half_life_ms ? type->late_half_life_ms : c->late_half_life_ms;
        p->types[t].history_half_life_ms = type->history_half_life_ms;
        if (type->negative) p->negative_types = (uint16_t)(p->negative_types | 1u << t);
    }
}
