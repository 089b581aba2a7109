/* Opening and closing the environment, its format stamp, the directory's lock, the pool of read transactions. */
#include "lib/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/check.h"
#include "lib/base/mem.h"
#include "lib/store/store_priv.h"

/* LMDB's locks belong to the process, so a second environment on one file would drop the first one's. */
static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;
static struct store *open_stores; /* guarded by open_lock */

static int list_add(struct store *s, struct err *e) {
    int rc = 0;
    pthread_mutex_lock(&open_lock);
    for (struct store *o = open_stores; o; o = o->next) {
        if (o->dev == s->dev && o->ino == s->ino) rc = ERR_BUSY;
    }
    if (!rc) {
        s->next = open_stores;
        open_stores = s;
    }
    pthread_mutex_unlock(&open_lock);
    return rc ? err_set(e, rc, "data_dir", "%s is open in this process already", s->dir) : 0;
}

static void list_remove(struct store *s) {
    pthread_mutex_lock(&open_lock);
    for (struct store **at = &open_stores; *at; at = &(*at)->next) {
        if (*at != s) continue;
        *at = s->next;
        break;
    }
    pthread_mutex_unlock(&open_lock);
}

/* The stamp: text, so that whatever wrote the file it can be shown. */
static size_t stamp_make(char out[48]) {
    const uint16_t one = 1;
    unsigned char first;
    memcpy(&first, &one, 1);
    return (size_t)snprintf(out, 48, "rankd store %d %s-endian", STORE_FORMAT, first ? "little" : "big");
}

static int stamp_check(struct store *s, MDB_txn *mt, struct err *e) {
    char want[48], have[48];
    size_t n = stamp_make(want);
    struct slice key = slice_str("format"), found = {NULL, 0};
    MDB_val k = store_val(key), v;
    int rc = mdb_get(mt, s->dbi[STORE_META], &k, &v);
    if (rc == MDB_NOTFOUND) {
        return err_set(e, ERR_MISMATCH, "data_dir", "%s/model.mdb has no format stamp: rankd did not write it", s->dir);
    }
    if (rc) return store_fail(s, rc, "reading the format stamp", e);
    rc = store_row_check(STORE_META, key, v, &found, e);
    if (rc) return rc;
    if (slice_equal(found, slice_of(want, n))) return 0;
    snprintf(have, sizeof have, "%.*s", (int)(found.n < 40 ? found.n : 40), found.p);
    return err_set(e, ERR_MISMATCH, "data_dir",
                   "%s/model.mdb is of format \"%s\", this rankd reads \"%s\"; use the version of rankd that wrote it, "
                   "or start with an empty data_dir and replay the log",
                   s->dir, have, want);
}

static int tables_create(struct store *s, struct err *e) {
    MDB_txn *mt = NULL;
    char stamp[48];
    int rc = mdb_txn_begin(s->env, NULL, 0, &mt);
    for (int t = 0; !rc && t < STORE_TABLES; t++) {
        rc = mdb_dbi_open(mt, store_table_name((enum store_table)t), MDB_CREATE, &s->dbi[t]);
    }
    if (!rc) {
        rc = store_row_put(mt, s->dbi[STORE_META], STORE_META, slice_str("format"), slice_of(stamp, stamp_make(stamp)));
    }
    if (!rc) {
        rc = mdb_txn_commit(mt);
        mt = NULL;
    }
    if (mt) mdb_txn_abort(mt);
    return rc ? store_fail(s, rc, "creating the tables", e) : 0;
}

/* Opens the tables of an existing file; *empty tells that it has none yet. */
static int tables_open(struct store *s, bool *empty, struct err *e) {
    MDB_txn *mt = NULL;
    MDB_dbi all;
    MDB_stat st = {0};
    int code = 0, rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &mt);
    if (!rc) rc = mdb_dbi_open(mt, NULL, 0, &all);
    if (!rc) rc = mdb_stat(mt, all, &st);
    *empty = !rc && st.ms_entries == 0;
    for (int t = 0; !rc && !code && !*empty && t < STORE_TABLES; t++) {
        const char *name = store_table_name((enum store_table)t);
        rc = mdb_dbi_open(mt, name, 0, &s->dbi[t]);
        if (rc == MDB_NOTFOUND && t == STORE_META) {
            code = err_set(e, ERR_MISMATCH, "data_dir", "%s/model.mdb was not written by rankd", s->dir);
        } else if (rc == MDB_NOTFOUND) {
            code = err_set(e, ERR_CORRUPT, name, "%s/model.mdb has no table %s; run `rankd verify`", s->dir, name);
        } else if (!rc && t == STORE_META) {
            code = stamp_check(s, mt, e);
        }
    }
    if (!code && rc) code = store_fail(s, rc, "opening the tables", e);
    if (!mt) return code;
    if (code) {
        mdb_txn_abort(mt);
        return code;
    }
    rc = mdb_txn_commit(mt); /* keeps the handles */
    return rc ? store_fail(s, rc, "opening the tables", e) : 0;
}

static int sync_dir(const char *dir) {
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return errno;
    int rc = fsync(fd) ? errno : 0;
    close(fd);
    return rc;
}

/* Disk space and tables of a file without any. The space comes first, so that it is there for every later commit. */
static int env_fill(struct store *s, struct err *e) {
    int fd, rc = mdb_env_get_fd(s->env, &fd);
    if (!rc && s->preallocate > 0) {
        do {
            rc = fallocate(fd, 0, 0, (off_t)s->preallocate) ? errno : 0;
        } while (rc == EINTR);
        if (rc == EOPNOTSUPP || rc == ENOSYS) rc = 0;
    }
    if (rc) {
        return err_set(e, ERR_IO, "checkpoint.preallocate", "%s: reserving %llu bytes for the data file: %s", s->dir,
                       (unsigned long long)s->preallocate, mdb_strerror(rc));
    }
    rc = tables_create(s, e);
    if (rc) return rc;
    rc = sync_dir(s->dir);
    return rc ? store_fail(s, rc, "making the new file durable", e) : 0;
}

/* A file cut short would end the process with SIGBUS at the first missing page. */
static int check_length(struct store *s, struct err *e) {
    MDB_envinfo info;
    MDB_stat stat_env;
    struct stat st;
    int fd, rc = mdb_env_info(s->env, &info);
    if (!rc) rc = mdb_env_stat(s->env, &stat_env);
    if (!rc) rc = mdb_env_get_fd(s->env, &fd);
    if (!rc && fstat(fd, &st) != 0) rc = errno;
    if (rc) return store_fail(s, rc, "measuring the data file", e);
    uint64_t need = ((uint64_t)info.me_last_pgno + 1) * stat_env.ms_psize;
    s->last_txnid = info.me_last_txnid;
    if ((uint64_t)st.st_size >= need) return 0;
    return err_set(e, ERR_CORRUPT, "data_dir", "%s/model.mdb has %llu bytes and should have at least %llu: it was cut",
                   s->dir, (unsigned long long)st.st_size, (unsigned long long)need);
}

static void env_close(struct store *s) {
    while (s->n_idle > 0) mdb_txn_abort(s->slots[--s->n_idle]);
    s->n_made = 0;
    if (s->env) mdb_env_close(s->env);
    s->env = NULL;
}

/* Read-ahead stays on: a start reads the item tables from front to back, which is what a cold start waits for. */
static int env_open(struct store *s, struct err *e) {
    struct stat st;
    char lock[4096];
    bool empty = false, absent = stat(s->path, &st) != 0, missing = absent || st.st_size == 0;
    if (missing && (!s->create || s->read_only)) {
        return err_set(e, ERR_MISSING, "data_dir", "%s does not exist", s->path);
    }
    int code = 0, dead = 0, rc = mdb_env_create(&s->env);
    if (rc) {
        s->env = NULL;
        return store_fail(s, rc, "opening", e);
    }
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    rc = mdb_env_set_mapsize(s->env, (size_t)s->map_size / page * page);
    if (!rc) rc = mdb_env_set_maxdbs(s->env, STORE_TABLES);
    if (!rc) rc = mdb_env_set_maxreaders(s->env, s->max_slots + 16); /* 16: other processes */
    if (!rc) rc = mdb_env_open(s->env, s->path, MDB_NOSUBDIR | MDB_NOTLS | (s->read_only ? MDB_RDONLY : 0), 0640);
    if (!rc) rc = mdb_reader_check(s->env, &dead); /* frees the slots of processes that died */
    if (rc) code = store_fail(s, rc, "opening", e);
    if (!code) code = check_length(s, e);
    if (!code) code = tables_open(s, &empty, e);
    if (!code && empty && (!s->create || s->read_only)) {
        code = err_set(e, ERR_MISSING, "data_dir", "%s is empty", s->path);
    }
    if (!code && empty) code = env_fill(s, e);
    if (!code) return 0;
    env_close(s);
    if (absent && snprintf(lock, sizeof lock, "%s-lock", s->path) < (int)sizeof lock) {
        (void)unlink(s->path);
        (void)unlink(lock);
    }
    return code;
}

static void store_free(struct store *s) {
    if (!s) return;
    if (s->slots) {
        pthread_cond_destroy(&s->changed);
        pthread_mutex_destroy(&s->lock);
    }
    mem_free(s->slots);
    mem_free(s->path);
    mem_free(s->dir);
    mem_free(s);
}

/* NULL and a code when refused. */
static struct store *store_make(const struct store_options *o, int *code, struct err *e) {
    struct stat st;
    if (stat(o->dir, &st) != 0) {
        *code = err_set(e, errno == ENOENT ? ERR_MISSING : ERR_IO, "data_dir", "%s: %s", o->dir, strerror(errno));
        return NULL;
    }
    *code = ERR_NOMEM;
    size_t n = strlen(o->dir) + 1;
    struct store *s = mem_zalloc(sizeof *s);
    if (!s) goto refused;
    s->map_size = o->map_size;
    s->preallocate = o->preallocate < o->map_size ? o->preallocate : o->map_size;
    s->dirty_bytes = o->dirty_bytes;
    s->max_slots = 2 * o->max_readers + 2;
    s->create = o->create;
    s->read_only = o->read_only;
    s->dev = st.st_dev;
    s->ino = st.st_ino;
    s->txn.s = s;
    s->dir = mem_alloc(n);
    s->path = mem_alloc(n + sizeof "/model.mdb");
    if (!s->dir || !s->path) goto refused;
    memcpy(s->dir, o->dir, n);
    snprintf(s->path, n + sizeof "/model.mdb", "%s/model.mdb", o->dir);
    s->slots = mem_zalloc(s->max_slots * sizeof(MDB_txn *));
    if (!s->slots) goto refused;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    return s;
refused:
    store_free(s);
    err_set(e, ERR_NOMEM, "data_dir", "no memory to open %s", o->dir);
    return NULL;
}

/* Where the count of pages of the last commit starts from. */
static void count_start(struct store *s) {
    MDB_txn *mt = NULL;
    struct store_pages p;
    if (store_reader_enter(s, &mt, NULL)) return;
    if (store_count_pages(s, mt, &p) == 0) {
        s->used_bytes = p.used * p.page_bytes;
        s->last_txnid = p.txnid;
    }
    store_reader_leave(s, mt);
}

int store_open(const struct store_options *o, struct store **out, struct err *e) {
    int rc = 0;
    struct store *s = store_make(o, &rc, e);
    if (!s) return rc;
    rc = list_add(s, e);
    if (!rc) {
        rc = env_open(s, e);
        if (rc) list_remove(s);
    }
    if (rc) {
        store_free(s);
        return rc;
    }
    s->create = false; /* a file that vanishes is not replaced by an empty one */
    count_start(s);
    *out = s;
    return 0;
}

void store_close(struct store *s) {
    if (!s) return;
    CHECK(!s->txn.mt && s->n_out == 0);
    env_close(s);
    list_remove(s);
    store_free(s);
}

bool store_needs_reopen(const struct store *s) { return atomic_load(&s->needs_reopen); }

int store_reopen(struct store *s, struct err *e) {
    CHECK(!s->txn.mt);
    pthread_mutex_lock(&s->lock);
    s->reopening = true;
    while (s->n_out > 0) pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
    env_close(s);
    int rc = env_open(s, e);
    atomic_store(&s->needs_reopen, rc != 0);
    pthread_mutex_lock(&s->lock);
    s->reopening = false;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    if (!rc) count_start(s);
    return rc;
}

/* A read transaction that sees the newest commit. Waits while all are out or the environment is being reopened. */
int store_reader_enter(struct store *s, MDB_txn **out, struct err *e) {
    pthread_mutex_lock(&s->lock);
    while (s->reopening || (s->n_idle == 0 && s->n_made == s->max_slots)) pthread_cond_wait(&s->changed, &s->lock);
    if (!s->env) {
        pthread_mutex_unlock(&s->lock);
        return store_fail(s, MDB_PANIC, "reading", e);
    }
    MDB_txn *mt = s->n_idle > 0 ? s->slots[--s->n_idle] : NULL;
    if (!mt) s->n_made++;
    s->n_out++;
    pthread_mutex_unlock(&s->lock);
    int rc = mt ? mdb_txn_renew(mt) : mdb_txn_begin(s->env, NULL, MDB_RDONLY, &mt);
    if (rc == 0) {
        *out = mt;
        return 0;
    }
    if (mt) mdb_txn_abort(mt);
    pthread_mutex_lock(&s->lock);
    s->n_made--;
    s->n_out--;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    return store_fail(s, rc, "reading", e);
}

void store_reader_leave(struct store *s, MDB_txn *t) {
    mdb_txn_reset(t);
    pthread_mutex_lock(&s->lock);
    s->slots[s->n_idle++] = t;
    s->n_out--;
    if (s->reopening || s->n_made == s->max_slots) pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

int store_lock_dir(const char *dir, int *fd, struct err *e) {
    char path[4096], pid[32];
    if (snprintf(path, sizeof path, "%s/lock", dir) >= (int)sizeof path) {
        return err_set(e, ERR_RANGE, "data_dir", "the name %.64s... is too long", dir);
    }
    int f = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (f < 0) return err_set(e, errno == ENOENT ? ERR_MISSING : ERR_IO, "data_dir", "%s: %s", path, strerror(errno));
    int rc;
    do {
        rc = flock(f, LOCK_EX | LOCK_NB) ? errno : 0;
    } while (rc == EINTR);
    if (rc == EWOULDBLOCK) {
        ssize_t n = pread(f, pid, sizeof pid - 1, 0);
        pid[n > 0 ? n : 0] = 0;
        long owner = strtol(pid, NULL, 10);
        rc = owner > 0 ? err_set(e, ERR_BUSY, "data_dir", "%s is in use by process %ld", dir, owner)
                       : err_set(e, ERR_BUSY, "data_dir", "%s is in use by another process", dir);
    } else if (rc) {
        rc = err_set(e, ERR_IO, "data_dir", "locking %s: %s", path, strerror(rc));
    } else {
        int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
        if (pwrite(f, pid, (size_t)n, 0) != n || ftruncate(f, n) != 0) {
            rc = err_set(e, ERR_IO, "data_dir", "writing %s: %s", path, strerror(errno));
        }
    }
    if (rc) {
        close(f);
        return rc;
    }
    *fd = f;
    return 0;
}
