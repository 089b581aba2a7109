/* Letters in a locked list; an eventfd wakes the owner when the list was empty. */
#include "daemon/mailbox.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/base/mem.h"

struct mailbox {
    pthread_mutex_t lock; /* guards the list */
    struct letter *first, **last;
    int fd;
    struct event *readable;
};

static void deliver(struct mailbox *m) {
    pthread_mutex_lock(&m->lock);
    struct letter *l = m->first;
    m->first = NULL;
    m->last = &m->first;
    pthread_mutex_unlock(&m->lock);
    for (struct letter *next; l; l = next) {
        next = l->next; /* the letter is the callee's from here on */
        l->fn(l->arg);
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg) {
    (void)what;
    uint64_t n;
    while (read(fd, &n, sizeof n) < 0 && errno == EINTR) {
    }
    deliver(arg);
}

int mailbox_new(struct event_base *base, struct mailbox **out, struct err *e) {
    struct mailbox *m = mem_zalloc(sizeof *m);
    if (!m) return err_set(e, ERR_NOMEM, "mailbox", "no memory");
    pthread_mutex_init(&m->lock, NULL);
    m->last = &m->first;
    m->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    m->readable = m->fd < 0 ? NULL : event_new(base, m->fd, EV_READ | EV_PERSIST, on_readable, m);
    if (m->readable && event_add(m->readable, NULL) == 0) {
        *out = m;
        return 0;
    }
    int saved = errno;
    mailbox_free(m);
    return err_set(e, ERR_IO, "mailbox", "eventfd: %s", strerror(saved));
}

void mailbox_post(struct mailbox *m, struct letter *l) {
    l->next = NULL;
    pthread_mutex_lock(&m->lock);
    bool was_empty = m->first == NULL;
    *m->last = l;
    m->last = &l->next;
    pthread_mutex_unlock(&m->lock);
    const uint64_t one = 1;
    while (was_empty && write(m->fd, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

void mailbox_free(struct mailbox *m) {
    if (!m) return;
    deliver(m);
    if (m->readable) event_free(m->readable);
    if (m->fd >= 0) close(m->fd);
    pthread_mutex_destroy(&m->lock);
    mem_free(m);
}
