"""Hostile and broken HTTP clients: each is refused with a JSON error or bounded, while others are served."""
import gzip
import json
import os
import select
import signal
import socket
import threading
import time

import pytest

from one_thread import one_thread_stopped
from rankd import PATIENCE, UnixConnection, http_request, poll, shop
from raw_http import Raw, post_of

HOST = b"Host: localhost\r\n"
GET = b"GET /v1/popular HTTP/1.1\r\n" + HOST
CLICK = b'{"type":"click","user":"u1","item":"i1"}'


@pytest.fixture
def raw(rankd):
    with Raw(rankd.http) as connection:
        yield connection


def check_alive(daemon):
    """Another client is served, without waiting for anybody's time to be up."""
    assert http_request(daemon.http, "GET", "/v1/popular", timeout_s=10).status == 200


BAD_REQUESTS = {
    "two-content-lengths": (post_of(CLICK, b"Content-Length: 40", b"Content-Length: 40"), 400, "repeated_header"),
    "two-different-content-lengths": (post_of(CLICK, b"Content-Length: 40", b"Content-Length: 0"), 400, "repeated_header"),
    "content-length-list": (post_of(CLICK, b"Content-Length: 40, 40"), 400, "bad_content_length"),
    "content-length-with-sign": (post_of(CLICK, b"Content-Length: +40"), 400, "bad_content_length"),
    "content-length-negative": (post_of(CLICK, b"Content-Length: -1"), 400, "bad_content_length"),
    "content-length-hexadecimal": (post_of(CLICK, b"Content-Length: 0x28"), 400, "bad_content_length"),
    "content-length-empty": (post_of(CLICK, b"Content-Length:"), 400, "bad_content_length"),
    "content-length-blank-before-colon": (post_of(CLICK, b"Content-Length : 40"), 400, "bad_header"),
    "content-length-beyond-64-bits": (post_of(CLICK, b"Content-Length: 184467440737095516160"), 413, "body_too_large"),
    "chunked": (post_of(b"5\r\nhello\r\n0\r\n\r\n", b"Transfer-Encoding: chunked"), 411, "length_required"),
    "chunked-and-length": (post_of(CLICK, b"Content-Length: 40", b"Transfer-Encoding: chunked"), 411, "length_required"),
    "xchunked": (post_of(b"0\r\n\r\n", b"Transfer-Encoding: xchunked"), 411, "length_required"),
    "chunked-blank-before-colon": (post_of(b"0\r\n\r\n", b"Transfer-Encoding : chunked"), 400, "bad_header"),
    "chunked-tab-before-colon": (post_of(b"0\r\n\r\n", b"Transfer-Encoding\t: chunked"), 400, "bad_header"),
    "chunked-identity": (post_of(CLICK, b"Content-Length: 40", b"Transfer-Encoding: identity"), 411, "length_required"),
    "chunked-in-odd-case": (post_of(b"0\r\n\r\n", b"tRANSFER-eNCODING: CHUNKED"), 411, "length_required"),
    "chunk-size-with-sign": (post_of(b"+5\r\nhello\r\n0\r\n\r\n", b"Transfer-Encoding: chunked"), 411, "length_required"),
    "chunk-size-hexadecimal": (post_of(b"0x5\r\nhello\r\n0\r\n\r\n", b"Transfer-Encoding: chunked"), 411, "length_required"),
    "nul-in-value": (GET + b"X-A: a\0b\r\n\r\n", 400, "bad_header"),
    "nul-in-name": (GET + b"X\0A: ab\r\n\r\n", 400, "bad_header"),
    "nul-in-target": (b"GET /v1/popular\0x HTTP/1.1\r\n" + HOST + b"\r\n", 400, "bad_target"),
    "nul-encoded-in-path": (b"GET /v1/popular%00 HTTP/1.1\r\n" + HOST + b"\r\n", 400, "bad_target"),
    "bare-lf-after-request-line": (b"GET /v1/popular HTTP/1.1\n" + HOST + b"\r\n", 400, "bad_line_end"),
    "bare-lf-after-header": (GET + b"X-A: b\n\r\n", 400, "bad_line_end"),
    "bare-lf-at-end-of-head": (GET + b"\n", 400, "bad_line_end"),
    "bare-cr": (GET + b"X-A: a\rX-B: b\r\n\r\n", 400, "bad_line_end"),
    "obs-fold-blank": (GET + b"X-A: a\r\n b\r\n\r\n", 400, "bad_header"),
    "obs-fold-tab": (GET + b"X-A: a\r\n\tb\r\n\r\n", 400, "bad_header"),
    "header-before-fold": (b"GET /v1/popular HTTP/1.1\r\n Host: localhost\r\n\r\n", 400, "bad_header"),
    "empty-header-name": (GET + b": value\r\n\r\n", 400, "bad_header"),
    "header-without-colon": (GET + b"nothing\r\n\r\n", 400, "bad_header"),
    "no-host": (b"GET /v1/popular HTTP/1.1\r\n\r\n", 400, "bad_host"),
    "two-hosts": (GET + HOST + b"\r\n", 400, "repeated_header"),
    "empty-host": (b"GET /v1/popular HTTP/1.1\r\nHost:\r\n\r\n", 400, "bad_host"),
    "host-with-path": (b"GET /v1/popular HTTP/1.1\r\nHost: localhost/x\r\n\r\n", 400, "bad_host"),
    "absolute-target": (b"GET http://localhost/v1/popular HTTP/1.1\r\n" + HOST + b"\r\n", 400, "bad_target"),
    "blank-in-target": (b"GET /v1/popular x HTTP/1.1\r\n" + HOST + b"\r\n", 400, "bad_request_line"),
    "byte-beyond-ascii-in-target": (b"GET /v1/\xc3\xa4 HTTP/1.1\r\n" + HOST + b"\r\n", 400, "bad_target"),
    "half-an-escape": (b"GET /v1/popular%4 HTTP/1.1\r\n" + HOST + b"\r\n", 400, "bad_target"),
    "no-version": (b"GET /v1/popular\r\n" + HOST + b"\r\n", 400, "bad_request_line"),
    "http-2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "version_not_supported"),
    "http-0.9": (b"GET /v1/popular HTTP/0.9\r\n" + HOST + b"\r\n", 505, "version_not_supported"),
    "tls": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "bad_request_line"),
    "no-content-length": (b"POST /v1/events HTTP/1.1\r\nContent-Type: application/json\r\n" + HOST + b"\r\n", 411, "length_required"),
    "odd-expectation": (post_of(CLICK, b"Content-Length: 40", b"Expect: the-best"), 417, "expectation_failed"),
    "two-authorizations": (GET + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n", 400, "repeated_header"),
    "foreign-encoding": (post_of(CLICK, b"Content-Length: 40", b"Content-Encoding: br"), 415, "unsupported_encoding"),
    "broken-gzip": (post_of(CLICK, b"Content-Length: 40", b"Content-Encoding: gzip"), 400, "bad_gzip"),
    "body-of-a-get": (GET + b"Content-Length: 3\r\n\r\nabc", 415, "body_refused"),
    "foreign-host": (b"GET /v1/popular HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403, "host_not_allowed"),
    "unknown-method": (b"BREW /v1/popular HTTP/1.1\r\n" + HOST + b"\r\n", 405, "method_not_allowed"),
}


@pytest.mark.parametrize("cut", ["whole", "byte by byte"])
def test_what_two_parsers_could_read_in_two_ways_is_refused(rankd, cut):
    """Each with a JSON error, and what follows on the connection is never taken for a request."""
    for name, (request, status, code) in BAD_REQUESTS.items():
        with Raw(rankd.http) as raw:
            raw.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            smuggled = b"GET /v1/recommend?user=smuggled HTTP/1.1\r\n" + HOST + b"\r\n"
            try:
                if cut == "whole":
                    raw.send(request + smuggled)
                else:
                    for i in range(len(request)):
                        raw.send(request[i:i + 1])
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused before all was sent
            answer = raw.reply()
            assert (answer.status, answer.error()) == (status, code), name
            assert answer.headers["content-type"] == "application/json", name
            if code in ("host_not_allowed", "bad_gzip", "unsupported_encoding") or answer.headers.get("connection") != "close":
                continue  # where its end is certain the connection may go on
            try:
                raw.socket.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # the server waited long enough for this
            assert raw.ended(), f"{name}: {raw.kept!r} after the refusal"
    check_alive(rankd)
    metrics = rankd.metrics()
    assert metrics.value("rankd_http_malformed_total", listener="public") >= 30
    assert rankd.status()["sequence"] == 0
    poll("all connections are closed", lambda: rankd.metrics().value("rankd_http_connections", listener="public") == 0)


def test_limits_of_header_line_path_and_body(make_rankd):
    daemon = make_rankd(http__max_header="2KiB", http__max_body="4KiB").start()
    cases = [
        (b"GET /" + b"a" * 3000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414, "uri_too_long"),
        (b"GET /" + b"a" * 1500 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414, "uri_too_long"),
        (GET + b"X: " + b"a" * 3000 + b"\r\n\r\n", 431, "header_too_large"),
        (GET + b"a: b\r\n" * 600 + b"\r\n", 431, "header_too_large"),
        (b"A" * 5000, 414, "uri_too_long"),
        (post_of(b"", b"Content-Length: 4097"), 413, "body_too_large"),
    ]
    for request, status, code in cases:
        with Raw(daemon.http) as raw:
            answer = raw.send(request).reply()
            assert (answer.status, answer.error()) == (status, code), request[:60]
            assert answer.json["error"]["limit"], answer
    bomb = gzip.compress(b" " * 4000000)
    assert len(bomb) < 4096
    answer = daemon.post("/v1/events", bomb, headers={"Content-Encoding": "gzip"})
    assert (answer.status, answer.error()) == (413, "body_too_large")
    assert daemon.post("/v1/events", b" " * 4056 + CLICK).ok()["accepted"] == 1
    check_alive(daemon)


def test_endless_header_without_a_line_break_is_cut_off(make_rankd):
    daemon = make_rankd(http__max_header="4KiB").start()
    with Raw(daemon.http) as raw:
        raw.send(GET + b"X: ")
        answer = raw.send(b"a" * 65536).reply()
        assert (answer.status, answer.error()) == (431, "header_too_large")
        with pytest.raises(OSError):
            for _ in range(2000):  # what still comes is dropped for a moment only
                raw.send(b"a" * 65536)
                time.sleep(0.005)
    check_alive(daemon)


def test_slow_clients_are_cut_by_the_time_of_the_whole_request(make_rankd):
    """One byte now and then lives for ever where timeouts are per read."""
    daemon = make_rankd(http__request_timeout="2s", http__idle_timeout="2s").start()
    slow = {
        "header": b"GET /v1/popular HTTP/1.1\r\n" + HOST + b"X-Slow: ",
        "body": post_of(b"", b"Content-Length: 100"),
    }
    for name, start in slow.items():
        began, answered = time.monotonic(), threading.Event()
        with Raw(daemon.http) as raw:
            raw.send(start)

            def drip():
                while not answered.wait(0.05):
                    try:
                        raw.send(b" ")
                    except OSError:
                        return
            dripping = threading.Thread(target=drip)
            dripping.start()
            try:
                answer = raw.reply()
            finally:
                answered.set()
                dripping.join()
            assert (answer.status, answer.error()) == (408, "request_timeout"), name
            assert 1.9 < time.monotonic() - began < 10 * PATIENCE
            assert raw.ended()
        check_alive(daemon)
    with Raw(daemon.http) as raw:  # nothing at all is no request: closed without a word
        assert raw.ended()
    assert daemon.metrics().value("rankd_http_timeouts_total", listener="public") == 2


def test_a_client_that_does_not_read_is_cut(make_rankd):
    daemon = make_rankd(http__max_k=10000).start()
    daemon.send([{"type": "click", "user": f"u{n}", "item": f"item-with-a-long-name-{n:0200d}"} for n in range(3000)])
    daemon.wait_learned(3000)
    daemon.restart(http__request_timeout="500ms")
    with Raw(daemon.http) as raw:
        raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sent = 0
        raw.socket.settimeout(0.2)
        try:
            for sent in range(1, 200):
                raw.send(b"GET /v1/popular?k=3000 HTTP/1.1\r\n" + HOST + b"\r\n")
        except (socket.timeout, OSError):
            pass
        check_alive(daemon)
        poll("the stalled reply is given up", lambda: daemon.metrics().value("rankd_http_timeouts_total", listener="public") == 1)
        poll("the connection is closed", lambda: daemon.metrics().value("rankd_http_connections", listener="public") == 0)
    assert daemon.status()["memory"]["rss_anon"] < 1 << 30


def test_connections_beyond_the_limit_wait_and_are_served_later(make_rankd):
    daemon = make_rankd(http__max_connections=8, http__idle_timeout="30s").start()
    idle = [Raw(daemon.http) for _ in range(8)]
    metric = lambda name: daemon.metrics().value(name, listener="public")  # noqa: E731
    poll("eight are open", lambda: metric("rankd_http_connections") == 8)
    with Raw(daemon.http) as waiting:
        waiting.send(GET + b"\r\n")
        poll("the limit is met", lambda: metric("rankd_http_at_connection_limit_total") == 1)
        assert metric("rankd_http_connections") == 8
        assert idle[0].send(GET + b"\r\n").reply().status == 200  # those inside are served
        assert daemon.status()["state"] == "running"              # and so is the other listener
        idle[3].socket.close()
        assert waiting.reply().status == 200
    for connection in idle:
        connection.socket.close()
    poll("all are closed", lambda: metric("rankd_http_connections") == 0)
    check_alive(daemon)


def test_no_descriptors_left_is_survived_quietly(make_rankd):
    """At EMFILE the listener rests; nothing spins, nothing floods the log, and the end of the shortage is noticed."""
    daemon = make_rankd(http__idle_timeout="30s")
    daemon.wrapper = ["prlimit", "--nofile=80:80"]
    daemon.start()
    connections = [Raw(daemon.http) for _ in range(100)]
    poll("descriptors run out", lambda: has_no_descriptors(daemon))
    cpu = cpu_seconds(daemon.process.pid)
    began = time.monotonic()
    assert connections[0].send(GET + b"\r\n").reply().status == 200
    poll("a second passes", lambda: time.monotonic() - began > 1)
    assert cpu_seconds(daemon.process.pid) - cpu < 0.7 * (time.monotonic() - began)
    assert len(daemon.lines) < 60, daemon.log()[-2000:]
    for connection in connections:
        connection.socket.close()
    poll("others are served again", lambda: daemon.get("/v1/popular").status == 200)
    assert daemon.metrics().value("rankd_http_no_descriptors_total", listener="public") >= 1
    daemon.send([{"type": "click", "user": "u1", "item": "i1"}])
    daemon.wait_learned(1)


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def has_no_descriptors(daemon):
    return len(os.listdir(f"/proc/{daemon.process.pid}/fd")) >= 79


def test_pipelined_requests_are_answered_in_order(raw, rankd):
    rankd.send(shop("--events", 300))
    rankd.wait_learned(300)
    users = [f"u{n}" for n in range(200)]
    raw.send(b"".join(b"GET /v1/recommend?k=1&user=%s HTTP/1.1\r\n" % u.encode() + HOST + b"\r\n" for u in users))
    assert [raw.reply().ok()["user"] for _ in users] == users
    # Mixed with replies that come later, from another thread.
    mixed = b""
    for n in range(30):
        body = b'{"type":"click","user":"u1","item":"p%d"}' % n
        mixed += post_of(body, b"Content-Length: %d" % len(body)) + b"HEAD /v1/popular HTTP/1.1\r\n" + HOST + b"\r\n"
        mixed += b"GET /v1/nothing HTTP/1.1\r\n" + HOST + b"\r\n"
    raw.send(mixed)
    for _ in range(30):
        assert raw.reply().ok()["accepted"] == 1
        assert raw.reply(head=True).status == 200
        assert raw.reply().error() == "not_found"
    check_alive(rankd)


def test_a_flood_of_pipelined_requests_leaves_room_for_others(rankd):
    rankd.send(shop("--events", 300))
    rankd.wait_learned(300)
    with Raw(rankd.http) as greedy:
        flood = (GET + b"\r\n") * 2000
        sender = threading.Thread(target=lambda: greedy.send(flood))
        sender.start()
        for _ in range(20):
            check_alive(rankd)
        for _ in range(2000):
            assert greedy.reply().status == 200
        sender.join()


def test_head_has_the_length_of_get_and_no_body(raw):
    raw.send(b"HEAD /v1/popular HTTP/1.1\r\n" + HOST + b"\r\n" + GET + b"\r\n")
    head = raw.reply(head=True)
    get = raw.reply()
    assert head.status == get.status == 200 and head.body == b""
    assert abs(int(head.headers["content-length"]) - len(get.body)) <= 2
    raw.send(b"HEAD /v1/nothing HTTP/1.1\r\n" + HOST + b"\r\n" + b"HEAD /v1/events HTTP/1.1\r\n" + HOST + b"\r\n" + GET + b"\r\n")
    assert raw.reply(head=True).status == 404
    refused = raw.reply(head=True)
    assert refused.status == 405 and refused.headers["allow"] == "POST"
    assert raw.reply().status == 200


def test_half_closed_connections_get_their_answer(raw, rankd):
    raw.send(GET + b"\r\n" + post_of(CLICK, b"Content-Length: 40"))
    raw.socket.shutdown(socket.SHUT_WR)
    assert raw.reply().status == 200
    assert raw.reply().ok()["accepted"] == 1
    assert raw.ended()
    rankd.wait_learned(1)
    with Raw(rankd.http) as cut:
        cut.send(post_of(CLICK[:10], b"Content-Length: 40")).socket.shutdown(socket.SHUT_WR)
        assert cut.ended()
    poll("the cut one is counted", lambda: rankd.metrics().value("rankd_http_disconnects_total", listener="public") == 1)


def test_expect_continue_is_answered_before_the_body(raw):
    raw.send(post_of(b"", b"Content-Length: 40", b"Expect: 100-continue"))
    assert raw.reply().status == 100
    assert raw.send(CLICK).reply().ok()["accepted"] == 1
    raw.send(post_of(b"", b"Content-Length: 99999999", b"Expect: 100-continue"))
    assert raw.reply().status == 413


def test_http_1_0_is_answered_and_closed(raw):
    answer = raw.send(b"GET /v1/popular HTTP/1.0\r\n" + HOST + b"\r\n").reply()
    assert answer.status == 200 and answer.headers["connection"] == "close"
    assert raw.ended()


def test_disconnects_while_a_reply_is_due_do_no_harm(rankd):
    """Replies that are deferred (intake, checkpoint, digest) find their connection gone, reset or half closed."""
    sent = 0
    for n in range(120):
        body = json.dumps([{"type": "click", "user": f"u{n}", "item": f"i{i}"} for i in range(20)]).encode()
        raw = Raw(rankd.http)
        raw.send(post_of(body, b"Content-Length: %d" % len(body)))
        sent += 20
        if n % 3 == 0:
            raw.reset()
        elif n % 3 == 1:
            raw.socket.close()
        else:
            raw.send(GET)  # and half of another request
            raw.socket.close()
    for n in range(12):
        raw = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        raw.connect(rankd.admin_address)
        path = (b"POST /admin/checkpoint", b"GET /admin/digest")[n % 2]
        raw.sendall(path + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        raw.close()
    check_alive(rankd)
    poll("all connections are closed", lambda: rankd.metrics().value("rankd_http_connections", listener="public") == 0)
    assert rankd.wait_events(1)["events"]["learned"] <= sent
    poll("a digest can be asked for again", lambda: http_request(rankd.admin_address, "GET", "/admin/digest").status == 200)


def test_stop_while_replies_are_due_is_orderly(make_rankd):
    daemon = make_rankd(http__request_timeout="30s").start()
    body = b"\n".join(b'{"type":"click","user":"u%d","item":"i%d"}' % (n % 50, n % 70) for n in range(5000))
    stuck = [Raw(daemon.http) for _ in range(5)]
    for raw in stuck:
        raw.send(post_of(body[:100], b"Content-Length: %d" % len(body)))
    asking = [Raw(daemon.http) for _ in range(20)]
    for raw in asking:
        raw.send(post_of(body, b"Content-Length: %d" % len(body)))
    began = time.monotonic()
    daemon.stop(timeout_s=5.5)
    assert time.monotonic() - began < 5.5 * PATIENCE
    for raw in asking:
        while raw.more():
            pass
        if raw.kept:  # one that was cut off before it was read has no answer, and none is half an answer
            assert raw.reply().status in (200, 503)
        raw.socket.close()
    for raw in stuck:
        raw.socket.close()
    assert daemon.find_log("event=stopped")


def test_a_full_intake_queue_is_429_with_retry_after(make_rankd):
    """More than intake.queue_bytes while the disk does not answer: one is let in, others are told to come later, none is dropped."""
    daemon = make_rankd(intake__queue_bytes="64KiB", intake__deadline="60s", http__max_body="64KiB", http__workers=2).start()
    body = b"\n".join(b'{"type":"click","user":"u%d","item":"i%d","ts":1700000000}' % (n % 50, n % 70) for n in range(800))
    waiting = {raw.socket: raw for raw in (Raw(daemon.http) for _ in range(24))}
    with one_thread_stopped(daemon.process.pid, "intake"):
        for raw in waiting.values():
            raw.send(post_of(body, b"Content-Length: %d" % len(body)))
        while len(waiting) > 1:
            for answered in select.select(list(waiting), [], [], 20 * PATIENCE)[0] or pytest.fail(f"{len(waiting)} without an answer"):
                answer = waiting.pop(answered).reply()
                assert (answer.status, answer.error()) == (429, "queue_full") and int(answer.headers["retry-after"]) >= 1
                answered.close()
    (raw,) = waiting.values()
    assert raw.reply().ok()["accepted"] == 800
    assert raw.send(post_of(body, b"Content-Length: %d" % len(body))).reply().ok()["accepted"] == 800
    raw.socket.close()
    metrics = daemon.metrics()
    assert metrics.value("rankd_intake_refused_full_total") == 23
    assert metrics.value("rankd_intake_requests_total", outcome="queue_full") == 23
    assert daemon.log_events() == 2 * 800


def test_a_second_digest_at_once_is_429(make_rankd):
    daemon = make_rankd().start()
    daemon.send(shop("--events", 3000, "--users", 1500, "--items", 800))
    daemon.wait_learned(3000)
    daemon.freeze()  # it finds all of them together
    connections = [UnixConnection(daemon.admin_address, 30 * PATIENCE) for _ in range(8)]
    for connection in connections:
        connection.request("GET", "/admin/digest")
    daemon.thaw()
    answers = [(answer.status, answer.headers, json.loads(answer.read())) for answer in (c.getresponse() for c in connections)]
    for connection in connections:
        connection.close()
    assert sorted(status for status, _, _ in answers) == [200] + [429] * 7
    for status, headers, body in answers:
        if status == 429:
            assert body["error"]["code"] == "busy" and headers["Retry-After"]
        else:
            assert body["digest"] == daemon.digest()[0]


def test_mixed_hostile_crowd_and_one_good_client(make_rankd):
    """All of the above at once from many sides, for two seconds."""
    daemon = make_rankd(http__request_timeout="3s", http__idle_timeout="3s", http__max_connections=64, http__workers=2).start()
    requests = [r for r, _, _ in BAD_REQUESTS.values()]
    stop = threading.Event()
    failures = []

    def attack(kind):
        n = kind
        while not stop.is_set():
            n += 1
            try:
                with Raw(daemon.http, 2) as raw:
                    raw.send(requests[n % len(requests)])
                    if kind == 0:
                        raw.reset()
                    elif kind == 1:
                        raw.reply()
                    elif kind == 2:
                        raw.send(post_of(CLICK, b"Content-Length: 40") * 20)
                        raw.reset()
            except (OSError, AssertionError):
                pass

    threads = [threading.Thread(target=attack, args=(k % 3,)) for k in range(6)]
    for thread in threads:
        thread.start()
    began = time.monotonic()
    served = 0
    while time.monotonic() - began < 2 or served <= 5:
        try:
            assert http_request(daemon.http, "GET", "/v1/popular", timeout_s=10).status == 200
        except (OSError, AssertionError) as e:
            failures.append(e)
            break
        served += 1
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures, failures
    poll("all connections are closed", lambda: daemon.metrics().value("rankd_http_connections", listener="public") == 0)
    daemon.signal(signal.SIGHUP)
    daemon.wait_log("event=reloaded")
