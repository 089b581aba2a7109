/* Processes: forked, waited for, and their outcomes gathered. */
#include "daemon/backtest_jobs.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"

#define WAIT_NS 100000000L

volatile sig_atomic_t backtest_stop;

/* --- the directory --- */

static void remove_all(const char *dir, const char *begins) {
    struct dirent *entry;
    char path[4352];
    DIR *d = opendir(dir);
    while (d && (entry = readdir(d))) {
        if (entry->d_name[0] == '.' || strncmp(entry->d_name, begins, strlen(begins)) != 0) continue;
        snprintf(path, sizeof path, "%.4000s/%s", dir, entry->d_name);
        if (*begins)
            backtest_remove_state(path);
        else
            unlink(path);
    }
    if (d) closedir(d);
}

void backtest_remove_state(const char *dir) {
    remove_all(dir, "");
    rmdir(dir);
}

int backtest_dir_open(const char *dir, struct err *e) {
    char path[4200];
    snprintf(path, sizeof path, "%.4000s/runs", dir);
    if ((mkdir(dir, 0777) != 0 && errno != EEXIST) || (mkdir(path, 0777) != 0 && errno != EEXIST))
        return err_set(e, ERR_IO, "report", "%s cannot be made: %s", path, strerror(errno));
    remove_all(dir, "state-");
    return 0;
}

void backtest_dir_remove(const char *dir) {
    char path[4200];
    snprintf(path, sizeof path, "%.4000s/runs", dir);
    remove_all(path, "");
    rmdir(path);
    rmdir(dir);
}

static void path_of(const struct backtest_world *w, const struct backtest_run *run, const char *end, char out[4200]) {
    snprintf(out, 4200, "%.4000s/runs/%016llx.%s", w->dir, (unsigned long long)run->id, end);
}

/* --- one run, in its own process --- */

static void on_stop(int number) {
    (void)number;
    backtest_stop = 1;
}

static int save(const struct backtest_world *w, const struct backtest_run *run, struct err *e) {
    char path[4200];
    path_of(w, run, "digest", path);
    FILE *f = fopen(path, "we");
    if (!f || fprintf(f, "%s\n", run->digest) < 0 || fclose(f) != 0)
        return err_set(e, ERR_IO, "report", "%s: %s", path, strerror(errno));
    path_of(w, run, backtest_stop ? "partial" : "outcome", path);
    return outcome_run_save(&run->outcome, outcome_set_id(&w->cases.set), path, e);
}

static _Noreturn void be_child(const struct backtest_world *w, struct backtest_run *run, _Atomic uint64_t *done) {
    struct sigaction stop = {.sa_handler = on_stop}, ignore = {.sa_handler = SIG_IGN};
    sigset_t none;
    struct err e = {0};
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &ignore, NULL); /* of the terminal: the first process decides */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int rc = run->kind ? backtest_run_baseline(w, run, done, &e) : backtest_run_rankd(w, run, done, &e);
    if (rc == 0) rc = save(w, run, &e);
    if (rc < 0) fprintf(stderr, "rankd: %s: %s\n", run->outcome.name, e.text);
    _exit(rc < 0 ? 1 : 0);
}

/* --- all of them --- */

struct job {
    pid_t pid;
    size_t run;
};

struct crew {
    struct backtest_jobs *j;
    struct backtest_run *runs; /* (n) */
    size_t n, next;
    struct job *jobs; /* (n_jobs) at work */
    size_t n_jobs;
    _Atomic uint64_t *done; /* (n) shared with the processes */
    struct backtest_progress progress;
};

/* The outcome of a run in its file: true when it is there and whole. What is damaged or of another kind is computed
 * again. */
static bool load(const struct backtest_world *w, struct backtest_run *run, const char *end) {
    struct outcome_run found;
    struct err e;
    char path[4200];
    path_of(w, run, end, path);
    if (outcome_run_load(path, outcome_set_id(&w->cases.set), &found, &e) < 0) return false;
    bool whole = found.n == w->cases.set.n || strcmp(end, "partial") == 0;
    bool same = strcmp(found.name, run->outcome.name) == 0 && found.seed == run->seed &&
                strcmp(found.settings, run->outcome.settings) == 0;
    if (!whole || !same) {
        outcome_run_free(&found);
        return false;
    }
    found.role = run->outcome.role;
    outcome_run_free(&run->outcome);
    run->outcome = found;
    path_of(w, run, "digest", path);
    FILE *f = fopen(path, "re");
    if (f && !fgets(run->digest, sizeof run->digest, f)) run->digest[0] = '\0';
    if (f) (void)fclose(f);
    run->digest[strcspn(run->digest, "\n")] = '\0';
    return true;
}

static int begin_run(struct crew *c, size_t k, struct err *e) {
    struct backtest_run *run = &c->runs[k];
    fflush(stdout);
    fflush(stderr);
    pid_t parent = getpid(), pid = fork();
    if (pid < 0) return err_set(e, ERR_IO, "jobs", "no process can be made: %s", strerror(errno));
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) _exit(1);
        be_child(c->j->w, run, &c->done[k]);
    }
    run->state = BACKTEST_RUNNING;
    c->jobs[c->n_jobs++] = (struct job){pid, k};
    return 0;
}

static void end_run(struct crew *c, size_t at, int status) {
    struct backtest_run *run = &c->runs[c->jobs[at].run];
    const struct backtest_world *w = c->j->w;
    char path[4200];
    c->jobs[at] = c->jobs[--c->n_jobs];
    run->state = BACKTEST_FAILED;
    if (status == 0 && load(w, run, "outcome"))
        run->state = BACKTEST_DONE;
    else if (status == 0 && load(w, run, "partial"))
        run->state = BACKTEST_PARTLY;
    path_of(w, run, "partial", path);
    unlink(path);
    if (run->state == BACKTEST_FAILED) c->j->failed++;
    if (WIFSIGNALED(status)) {
        backtest_progress_clear(c->j);
        fprintf(stderr, "rankd: %s: ended by signal %d\n", run->outcome.name, WTERMSIG(status));
    }
    c->progress.runs_done++;
    backtest_progress_run(c->j, run);
}

static void reap(struct crew *c) {
    for (size_t at = 0; at < c->n_jobs;) {
        int status;
        if (waitpid(c->jobs[at].pid, &status, WNOHANG) == c->jobs[at].pid)
            end_run(c, at, status);
        else
            at++;
    }
}

/* The first signal asks the processes to end and keep what they have, a second one ends them. */
static void stop(struct crew *c) {
    for (size_t at = 0; at < c->n_jobs; at++) kill(c->jobs[at].pid, c->j->stopped ? SIGKILL : SIGTERM);
    if (!c->j->stopped) {
        backtest_progress_clear(c->j);
        fputs("rankd: stopping; the report tells about what was done\n", stderr);
    }
    c->j->stopped = true;
}

static void wait_and_show(struct crew *c) {
    struct timespec wait = {.tv_nsec = WAIT_NS};
    sigset_t set;
    siginfo_t info;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    int number = sigtimedwait(&set, &info, &wait);
    if (number == SIGINT || number == SIGTERM) stop(c);
    reap(c);
    c->progress.done = 0;
    for (size_t k = 0; k < c->n; k++) c->progress.done += atomic_load_explicit(&c->done[k], memory_order_relaxed);
    backtest_progress_show(c->j, &c->progress);
}

static int work(struct crew *c, struct err *e) {
    int rc = 0;
    for (;;) {
        while (rc == 0 && !c->j->stopped && c->next < c->n && c->n_jobs < c->j->at_once) {
            if (c->runs[c->next].state == BACKTEST_WAITING) rc = begin_run(c, c->next, e);
            c->next++;
        }
        if (c->n_jobs == 0) break;
        if (rc < 0 && !c->j->stopped) stop(c);
        wait_and_show(c);
    }
    backtest_progress_clear(c->j);
    return rc;
}

void backtest_jobs_begin(struct backtest_jobs *j) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    j->terminal = isatty(STDERR_FILENO) != 0;
    j->start_ns = j->shown_ns = clock_steady_ns();
}

int backtest_jobs_run(struct backtest_jobs *j, struct backtest_run *runs, size_t n, struct err *e) {
    struct crew c = {.j = j, .runs = runs, .n = n};
    j->start_ns = clock_steady_ns();
    size_t bytes = (n + 1) * sizeof *c.done;
    for (size_t k = 0; k < n; k++) {
        if (runs[k].state != BACKTEST_WAITING) continue;
        runs[k].reused = load(j->w, &runs[k], "outcome");
        if (runs[k].reused) {
            runs[k].state = BACKTEST_DONE;
            backtest_progress_run(j, &runs[k]);
        } else {
            c.progress.runs++;
            c.progress.all += j->w->log.n;
        }
    }
    c.jobs = mem_zalloc((j->at_once + 1) * sizeof *c.jobs);
    c.done = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int rc = c.jobs && c.done != MAP_FAILED ? work(&c, e) : err_set(e, ERR_NOMEM, "jobs", "no memory");
    if (c.done != MAP_FAILED) munmap((void *)c.done, bytes);
    mem_free(c.jobs);
    return rc;
}
