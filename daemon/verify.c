/* Verification of rows, of LMDB's structure, and of the own log. */
#include "daemon/verify.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/digest.h"
#include "daemon/engine.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/store/seglog.h"
#include "lib/store/store.h"

#define STOP_LOOK_MS 20

static void say_bad(void *arg, const struct err *e) { fprintf(arg, "damaged: %s\n", e->text); }

/* How far the own log was learned; 0 also when it never was. */
static int learned_end(struct store *s, uint64_t *end, struct err *e) {
    char key[128];
    struct buf row;
    buf_init(&row, 1024);
    int rc = store_get(s, STORE_POSITION, engine_position_key("log", 0, key), &row, e);
    struct cursor c = {(const uint8_t *)row.p, row.n, false};
    *end = rc == 0 ? cursor_u64(&c) : 0;
    buf_free(&row);
    return rc == ERR_MISSING ? 0 : rc;
}

static enum verified verify_store(const struct config *c, uint64_t *learned, FILE *out) {
    struct store_options o = {.dir = c->data_dir, .map_size = c->map_size, .max_readers = 4, .read_only = true};
    struct store *s;
    struct verify_counts counts = {0};
    struct err e;
    int rc = store_open(&o, &s, &e);
    if (rc == ERR_MISSING) {
        fprintf(out, "model: nothing stored yet\n");
        return VERIFIED_WHOLE;
    }
    if (rc == ERR_MISMATCH) {
        fprintf(out, "model: %s\n", e.text);
        return VERIFIED_FOREIGN;
    }
    if (rc == 0) {
        rc = digest_verify(s, &counts, say_bad, out, &e);
        if (rc == 0 && counts.damaged == 0) rc = learned_end(s, learned, &e);
        store_close(s);
    }
    if (rc < 0) {
        fprintf(out, "damaged: %s\n", e.text);
        return VERIFIED_DAMAGED;
    }
    for (int t = 0; t < STORE_TABLES; t++)
        fprintf(out, "%s: %llu rows\n", store_table_name((enum store_table)t), (unsigned long long)counts.rows[t]);
    return counts.damaged ? VERIFIED_DAMAGED : VERIFIED_WHOLE;
}

static int verify_log(const struct config *c, uint64_t learned, FILE *out) {
    char dir[4096];
    struct stat st;
    snprintf(dir, sizeof dir, "%s/log", c->data_dir);
    if (!config_own_log(c)) learned = 0;
    if (stat(dir, &st) != 0) {
        if (learned) fprintf(out, "log: not here; a daemon learns nothing until %s is the one of this model\n", dir);
        return 0;
    }
    struct seglog_reader *r;
    struct slice line;
    struct err e;
    uint64_t start, end, offset, next, lines = 0;
    int rc = seglog_range(dir, &start, &end, &e);
    if (rc == 0) rc = seglog_reader_open(dir, start, &r, &e);
    if (rc == 0) {
        while ((rc = seglog_read(r, end, &line, &offset, &next, &e)) == 1) lines++;
        seglog_reader_close(r);
    }
    if (rc < 0) {
        fprintf(out, "damaged: %s\n", e.text);
        return -1;
    }
    fprintf(out, "log: %llu lines, bytes %llu to %llu\n", (unsigned long long)lines, (unsigned long long)start,
            (unsigned long long)end);
    if (end >= learned) return 0;
    fprintf(out, "damaged: %s ends at %llu, but %llu was learned: it is another log, or its end is missing\n", dir,
            (unsigned long long)end, (unsigned long long)learned);
    return -1;
}

/* Until the child has ended; false: it was made to, or cannot be waited for. */
static bool wait_for(pid_t child, int *status, const _Atomic bool *stop) {
    for (;;) {
        bool stopped = stop && atomic_load(stop);
        if (stopped) (void)kill(child, SIGKILL);
        pid_t got = waitpid(child, status, stop && !stopped ? WNOHANG : 0);
        if (got == 0) clock_sleep_ms(STOP_LOOK_MS);
        if (got == child || (got < 0 && errno != EINTR)) return got == child && !stopped;
    }
}

enum verified verify_in_child(const struct config *c, const _Atomic bool *stop, FILE *out) {
    static const char *const said[] = {"whole", "DAMAGED", "not verified"};
    fflush(out);
    pid_t parent = getpid(), child = fork();
    if (child < 0) {
        fprintf(out, "verify: no child process: %s\n", strerror(errno));
        return VERIFIED_DAMAGED;
    }
    if (child == 0) {
        uint64_t learned = 0;
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* it holds the lock of the directory too */
        if (getppid() != parent) _exit(VERIFIED_DAMAGED);
        enum verified store = verify_store(c, &learned, out);
        bool log = verify_log(c, learned, out) == 0;
        fflush(out);
        _exit(log ? (int)store : VERIFIED_DAMAGED);
    }
    int status;
    if (!wait_for(child, &status, stop)) return stop && atomic_load(stop) ? VERIFIED_STOPPED : VERIFIED_DAMAGED;
    if (WIFSIGNALED(status))
        fprintf(out,
                "damaged: reading ended by signal %d: the structure of model.mdb is damaged. Restore a backup, or move "
                "model.mdb away and "
                "learn the log again (rankd replay)\n",
                WTERMSIG(status));
    enum verified v = VERIFIED_DAMAGED;
    if (WIFEXITED(status) && WEXITSTATUS(status) <= VERIFIED_FOREIGN) v = (enum verified)WEXITSTATUS(status);
    fprintf(out, "%s\n", said[v]);
    return v;
}
