/* Which names a Host header may have: the guard against DNS rebinding. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "daemon/http_priv.h"

/* Bytes of the name in name[:port], brackets included. */
static size_t name_length(struct slice host) {
    size_t n = host.n;
    while (n > 0 && host.p[n - 1] != ':' && host.p[n - 1] != ']') n--;
    return n > 0 && host.p[n - 1] == ':' ? n - 1 : host.n;
}

static bool same(const char *a, size_t a_n, const char *b, size_t b_n) {
    return a_n == b_n && strncasecmp(a, b, a_n) == 0;
}

/* Whether the name is an address in digits, the one this connection came to; such a name cannot be rebound. */
static bool is_own_address(struct slice name, int fd) {
    char text[INET6_ADDRSTRLEN + 2];
    union http_address own = {.largest = {0}};
    socklen_t own_n = sizeof own;
    bool six = name.n > 2 && name.p[0] == '[';
    if (six) name = slice_of(name.p + 1, name.n - 2);
    if (name.n >= sizeof text || getsockname(fd, &own.any, &own_n) != 0) return false;
    memcpy(text, name.p, name.n);
    text[name.n] = '\0';

    struct in6_addr want6, have6;
    struct in_addr want4;
    if (six) {
        if (inet_pton(AF_INET6, text, &want6) != 1 || own.any.sa_family != AF_INET6) return false;
        have6 = own.six.sin6_addr;
        return memcmp(&want6, &have6, sizeof want6) == 0;
    }
    if (inet_pton(AF_INET, text, &want4) != 1) return false;
    if (own.any.sa_family == AF_INET) return want4.s_addr == own.four.sin_addr.s_addr;
    if (own.any.sa_family != AF_INET6) return false;
    have6 = own.six.sin6_addr;
    return IN6_IS_ADDR_V4MAPPED(&have6) && memcmp(have6.s6_addr + 12, &want4, sizeof want4) == 0;
}

bool http_host_allowed(const char *hosts, struct slice host, int fd) {
    if (!hosts || strcmp(hosts, "*") == 0) return true;
    struct slice name = slice_of(host.p, name_length(host));
    const char *list = *hosts ? hosts : "localhost,127.0.0.1,[::1]";
    for (;;) {
        size_t n = strcspn(list, ",");
        bool with_port = name_length(slice_of(list, n)) < n;
        if (n == 1 && list[0] == '*') return true;
        if (n > 0 && (with_port ? same(list, n, host.p, host.n) : same(list, n, name.p, name.n))) return true;
        if (list[n] == '\0') break;
        list += n + 1;
    }
    return *hosts == '\0' && is_own_address(name, fd);
}
