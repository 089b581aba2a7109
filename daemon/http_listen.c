/* Listening sockets, TCP and unix. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/http_priv.h"

static int refused(struct err *e, const char *address, const char *what) {
    return err_set(e, ERR_IO, "listen", "%s: %s: %s", address, what, strerror(errno));
}

/* host:port or [host]:port into two texts; the port is 0 to 65535 in digits. */
static int split(const char *address, char host[256], char port[8], struct err *e) {
    const char *colon = strrchr(address, ':');
    size_t n = colon ? (size_t)(colon - address) : 0;
    const char *from = address;
    if (n > 2 && address[0] == '[' && address[n - 1] == ']') {
        from++;
        n -= 2;
    } else if (n > 0 && (address[0] == '[' || memchr(address, ':', n))) {
        n = 0;
    }
    unsigned value = 0;
    size_t digits = colon ? strspn(colon + 1, "0123456789") : 0;
    for (size_t i = 0; i < digits && value <= 65535; i++) value = value * 10 + (unsigned)(colon[1 + i] - '0');
    if (n == 0 || n > 255 || digits == 0 || digits > 5 || colon[1 + digits] != '\0' || value > 65535)
        return err_set(e, ERR_SYNTAX, "listen", "%s: not host:port or [address]:port with a port of 0 to 65535",
                       address);
    memcpy(host, from, n);
    host[n] = '\0';
    snprintf(port, 8, "%u", value);
    return 0;
}

static bool is_loopback(const union http_address *a) {
    if (a->any.sa_family == AF_INET) return ntohl(a->four.sin_addr.s_addr) >> 24 == 127;
    const struct in6_addr *six = &a->six.sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(six) || (IN6_IS_ADDR_V4MAPPED(six) && six->s6_addr[12] == 127);
}

static int name_bound(int fd, const char *address, char bound[64], bool *loopback, struct err *e) {
    union http_address own = {.largest = {0}};
    socklen_t n = sizeof own;
    char host[INET6_ADDRSTRLEN + 20], port[8];
    if (getsockname(fd, &own.any, &n) != 0) return refused(e, address, "getsockname");
    if (getnameinfo(&own.any, n, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return err_set(e, ERR_IO, "listen", "%s: the bound address has no text", address);
    if (bound) snprintf(bound, 64, own.any.sa_family == AF_INET6 ? "[%.46s]:%s" : "%.46s:%s", host, port);
    if (loopback) *loopback = is_loopback(&own);
    return 0;
}

/* A socket bound to one address and listening; -1 with errno. SO_REUSEPORT set before bind would let it share the
 * address with whoever has set it too, another daemon included; set after bind it lets others of ours join later. */
static int bind_one(const struct addrinfo *a, bool joins) {
    int on = 1, off = 0;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        (joins && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) ||
        (a->ai_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) != 0) ||
        bind(fd, a->ai_addr, a->ai_addrlen) != 0 ||
        (!joins && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) || listen(fd, SOMAXCONN) != 0) {
        int kept = errno;
        close(fd);
        errno = kept;
        return -1;
    }
    return fd;
}

int http_listen_tcp(const char *address, bool joins, int *fd, char bound[64], bool *loopback, struct err *e) {
    char host[256], port[8];
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int rc = split(address, host, port, e);
    if (rc) return rc;
    int gai = getaddrinfo(host, port, &hints, &found);
    if (gai != 0) return err_set(e, ERR_IO, "listen", "%s: %s", address, gai_strerror(gai));
    int made = -1;
    for (struct addrinfo *a = found; a && made < 0; a = a->ai_next) made = bind_one(a, joins);
    rc = made < 0 ? refused(e, address, "cannot listen") : name_bound(made, address, bound, loopback, e);
    freeaddrinfo(found);
    if (rc) {
        if (made >= 0) close(made);
        return rc;
    }
    *fd = made;
    return 0;
}

/* Removes the socket file of a process that is gone; anything else at the path is left alone. */
static int remove_stale(const struct sockaddr_un *a, struct err *e) {
    struct stat st;
    if (lstat(a->sun_path, &st) != 0) return errno == ENOENT ? 0 : refused(e, a->sun_path, "stat");
    if (!S_ISSOCK(st.st_mode)) return err_set(e, ERR_MISMATCH, "socket", "%s: exists and is no socket", a->sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return refused(e, a->sun_path, "socket");
    int failed = connect(fd, (const struct sockaddr *)a, sizeof *a) != 0 ? errno : 0;
    close(fd);
    if (failed != ECONNREFUSED && failed != ENOENT)
        return err_set(e, ERR_BUSY, "socket", "%s: somebody listens there", a->sun_path);
    if (unlink(a->sun_path) != 0 && errno != ENOENT) return refused(e, a->sun_path, "unlink");
    return 0;
}

int http_listen_unix(const char *path, int *fd, struct err *e) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof a.sun_path)
        return err_set(e, ERR_RANGE, "socket", "%s: the path of a socket has 1 to %zu bytes", path,
                       sizeof a.sun_path - 1);
    memcpy(a.sun_path, path, n + 1);
    int rc = remove_stale(&a, e);
    if (rc) return rc;
    int made = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* The mode of the socket before bind is that of the file it makes: at no instant is it open to others. */
    if (made < 0 || fchmod(made, 0600) != 0 || bind(made, (struct sockaddr *)&a, sizeof a) != 0 ||
        listen(made, SOMAXCONN) != 0) {
        rc = refused(e, path, "cannot listen");
        if (made >= 0) close(made);
        return rc;
    }
    *fd = made;
    return 0;
}
