/* One bufferevent, one request, one look at the status line. */
#include "daemon/probe.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/util.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/check.h"
#include "lib/base/mem.h"

struct probe {
    struct event_base *base;
    struct sockaddr_storage address;
    int address_bytes;
    struct bufferevent *bev; /* NULL: none under way */
    struct timeval limit;
    void (*done)(void *arg, bool ok);
    void *arg;
};

static void end(struct probe *p, bool ok) {
    bufferevent_free(p->bev);
    p->bev = NULL;
    p->done(p->arg, ok);
}

static void on_read(struct bufferevent *bev, void *arg) {
    static const char expected[] = "HTTP/1.1 200 ";
    char head[sizeof expected - 1];
    if (evbuffer_get_length(bufferevent_get_input(bev)) < sizeof head) return;
    bufferevent_read(bev, head, sizeof head);
    end(arg, memcmp(head, expected, sizeof head) == 0);
}

static void on_event(struct bufferevent *bev, short what, void *arg) {
    (void)bev;
    if (what & (BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT | BEV_EVENT_EOF)) end(arg, false);
}

int probe_new(struct event_base *base, const char *address, uint64_t limit_us, void (*done)(void *arg, bool ok),
              void *arg, struct probe **out, struct err *e) {
    struct probe *p = mem_zalloc(sizeof *p);
    if (!p) return err_set(e, ERR_NOMEM, "probe", "no memory");
    p->base = base;
    p->limit = (struct timeval){(time_t)(limit_us / 1000000), (suseconds_t)(limit_us % 1000000)};
    p->done = done;
    p->arg = arg;
    p->address_bytes = sizeof p->address;
    if (evutil_parse_sockaddr_port(address, (struct sockaddr *)&p->address, &p->address_bytes) != 0) {
        mem_free(p);
        return err_set(e, ERR_SYNTAX, "http.listen", "\"%s\" is no address to probe", address);
    }
    /* A wildcard address is reached over loopback. */
    struct sockaddr_in *v4 = (struct sockaddr_in *)&p->address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&p->address;
    if (v4->sin_family == AF_INET && v4->sin_addr.s_addr == htonl(INADDR_ANY))
        v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (v6->sin6_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr)) v6->sin6_addr = in6addr_loopback;
    *out = p;
    return 0;
}

void probe_begin(struct probe *p) {
    CHECK(!p->bev);
    p->bev = bufferevent_socket_new(p->base, -1, BEV_OPT_CLOSE_ON_FREE);
    if (!p->bev) {
        p->done(p->arg, false);
        return;
    }
    bufferevent_setcb(p->bev, on_read, NULL, on_event, p);
    bufferevent_set_timeouts(p->bev, &p->limit, &p->limit);
    static const char request[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    bufferevent_write(p->bev, request, sizeof request - 1);
    bufferevent_enable(p->bev, EV_READ | EV_WRITE);
    if (bufferevent_socket_connect(p->bev, (struct sockaddr *)&p->address, p->address_bytes) != 0 && p->bev)
        end(p, false);
}

void probe_free(struct probe *p) {
    if (!p) return;
    if (p->bev) bufferevent_free(p->bev);
    mem_free(p);
}
