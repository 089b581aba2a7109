/* The store thread. */
#include "daemon/storer.h"

#include <pthread.h>

#include "lib/base/mem.h"

struct storer {
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t change;
    enum { STORER_IDLE, STORER_WRITING, STORER_DONE } state;
    bool stopping;
    int rc;
    struct err err;

    struct store *store;
    struct checkpoint *checkpoint;
    void (*wake)(void *arg);
    void *arg;
};

static int write_once(struct storer *w, struct err *e) {
    int rc = 0;
    if (store_needs_reopen(w->store)) rc = store_reopen(w->store, e);
    if (rc == 0) rc = checkpoint_write(w->checkpoint, w->store, e);
    return rc;
}

static void *run(void *arg) {
    struct storer *w = arg;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        while (w->state != STORER_WRITING && !w->stopping) pthread_cond_wait(&w->change, &w->lock);
        if (w->state != STORER_WRITING) break;
        pthread_mutex_unlock(&w->lock);
        struct err e = {0};
        int rc = write_once(w, &e);
        pthread_mutex_lock(&w->lock);
        w->rc = rc;
        w->err = e;
        w->state = STORER_DONE;
        pthread_cond_broadcast(&w->change);
        w->wake(w->arg);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

int storer_start(struct store *s, struct checkpoint *c, void (*wake)(void *arg), void *arg, struct storer **out,
                 struct err *e) {
    struct storer *w = mem_zalloc(sizeof *w);
    if (!w) return err_set(e, ERR_NOMEM, "store", "no memory");
    w->store = s;
    w->checkpoint = c;
    w->wake = wake;
    w->arg = arg;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->change, NULL);
    int failed = pthread_create(&w->thread, NULL, run, w);
    if (failed) {
        mem_free(w);
        return err_set(e, ERR_IO, "store", "the store thread cannot be started: errno %d", failed);
    }
    pthread_setname_np(w->thread, "store");
    *out = w;
    return 0;
}

void storer_submit(struct storer *w) {
    pthread_mutex_lock(&w->lock);
    w->state = STORER_WRITING;
    pthread_cond_broadcast(&w->change);
    pthread_mutex_unlock(&w->lock);
}

bool storer_idle(struct storer *w) {
    pthread_mutex_lock(&w->lock);
    bool idle = w->state == STORER_IDLE;
    pthread_mutex_unlock(&w->lock);
    return idle;
}

int storer_result(struct storer *w, int *rc, struct err *e) {
    pthread_mutex_lock(&w->lock);
    int done = w->state == STORER_DONE;
    if (done) {
        *rc = w->rc;
        *e = w->err;
        w->state = STORER_IDLE;
    }
    pthread_mutex_unlock(&w->lock);
    return done;
}

void storer_stop(struct storer *w) {
    if (!w) return;
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_broadcast(&w->change);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->change);
    pthread_mutex_destroy(&w->lock);
    mem_free(w);
}
