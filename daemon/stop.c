/* A thread that waits for the end, since the others may be in the middle of anything. */
#include "daemon/stop.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "daemon/log.h"
#include "lib/base/check.h"
#include "lib/base/clock.h"

/* The end must not hang on a disk that does not answer. */
static void cut_short(bool ready) {
    clock_sleep_ms(STOP_LIMIT_MS);
    log_line(LOG_WARN, "stop_cut_short", " after_ms=%d detail=\"%s\"", STOP_LIMIT_MS,
             ready ? "without the last checkpoint: what it would have held is learned again from the log"
                   : "it was still starting: nothing new was learned");
    _exit(0);
}

static void *wait_for_the_end(void *arg) {
    struct stop *s = arg;
    sigset_t ends;
    int number = 0;
    pthread_setname_np(pthread_self(), "stop");
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    while (sigwait(&ends, &number) != 0) {
    }
    bool ready = atomic_load(s->ready);
    atomic_store(s->stopping, true);
    log_line(LOG_INFO, "stopping", " signal=%d", number);
    sd_notify(0, "STOPPING=1");
    CHECK(eventfd_write(s->fd, 1) == 0);
    cut_short(ready);
    return NULL;
}

int stop_watch(struct stop *s, struct err *e) {
    sigset_t held;
    pthread_t thread;
    s->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->fd < 0) return err_set(e, ERR_IO, "signals", "no descriptor: %s", strerror(errno));
    sigemptyset(&held);
    sigaddset(&held, SIGTERM);
    sigaddset(&held, SIGINT);
    sigaddset(&held, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &held, NULL);
    int rc = pthread_create(&thread, NULL, wait_for_the_end, s);
    if (rc != 0) return err_set(e, ERR_NOMEM, "signals", "no thread to wait for them: %s", strerror(rc));
    pthread_detach(thread);
    return 0;
}

void stop_take_reloads(void) {
    sigset_t reload;
    sigemptyset(&reload);
    sigaddset(&reload, SIGHUP);
    pthread_sigmask(SIG_UNBLOCK, &reload, NULL);
}
