"""Learning, publishing, checkpoints, reloads and every kind of question at once: for ThreadSanitizer and AddressSanitizer."""
import json
import os
import signal
import socket
import threading
import time

from rankd import PATIENCE, http_request, poll, shop

NDJSON = "application/x-ndjson"
SECONDS = float(os.environ.get("RANKD_TEST_STRESS_SECONDS", "8"))


class Crowd:
    """Threads that each repeat one thing until the end; what fails in one of them fails the test."""

    def __init__(self, seconds):
        self.end = time.monotonic() + seconds
        self.threads, self.failures, self.counts = [], [], {}

    def add(self, name, act):
        def repeat():
            n = 0
            try:
                while time.monotonic() < self.end and not self.failures:
                    act(n)
                    n += 1
            except Exception as e:  # noqa: BLE001: reported below
                self.failures.append(f"{name}, round {n}: {e!r}")
            self.counts[name] = n
        self.threads.append(threading.Thread(target=repeat, name=name))

    def run(self):
        for thread in self.threads:
            thread.start()
        for thread in self.threads:
            thread.join(self.end - time.monotonic() + 60 * PATIENCE)
            assert not thread.is_alive(), f"{thread.name} hangs"
        assert not self.failures, self.failures
        assert all(self.counts.values()), self.counts


CONFIG = "[http]\nmax_k = %d\n[file.shop]\npath = %s\n"
RULES = "[rule.a]\ntypes = click\nattributes = user=u1|u2|u3\nweight = %g\n[rule.b]\nattributes = value\nhistory = no\n"


class Acts:
    """What frontends, operators and followed files do, each once a round."""

    def __init__(self, daemon, lines, followed):
        self.daemon, self.lines, self.half, self.followed, self.sent = daemon, lines, len(lines) // 2, followed, [0, 0]

    def send(self, n):
        part = self.lines[n * 100 % self.half:n * 100 % self.half + 100]
        self.sent[0] += self.daemon.post("/v1/events", "\n".join(part), NDJSON).ok()["accepted"]

    def follow(self, n):
        with open(self.followed, "a") as f:
            f.write("\n".join(self.lines[self.half + n * 20 % self.half:self.half + n * 20 % self.half + 20]) + "\n{broken\n")
        time.sleep(0.01)

    def recommend(self, n):
        answer = self.daemon.get("/v1/recommend", user=f"u{n * 7 % 3100}", k=30).ok()
        scores = [x["score"] for x in answer["items"]]
        assert scores == sorted(scores, reverse=True) and len(scores) <= 30

    def history(self, n):
        items = [f"i{(n + j) % 1500}" for j in range(5)]
        self.daemon.post("/v1/recommend", {"history": items, "exclude": items[:2], "k": 10, "items": items * 3}).ok()
        self.daemon.post("/v1/score", {"user": f"u{n % 3000}", "items": items}).ok()

    def others(self, n):
        self.daemon.get("/v1/popular", k=50).ok()
        assert self.daemon.get("/v1/similar", item=f"i{n % 1500}").status in (200, 404)
        self.daemon.metrics()

    def operate(self, n):
        self.daemon.status()
        if n % 4 == 0:
            self.daemon.admin("POST", "/admin/checkpoint")
        if n % 8 == 1:
            http_request(self.daemon.admin_address, "GET", "/admin/digest").ok()
        if n % 8 == 2:
            self.daemon.admin("POST", "/admin/pause")
            self.daemon.recommend("u1")
            self.daemon.admin("POST", "/admin/resume")
        if n % 8 == 3:
            self.daemon.admin("GET", "/admin/bad-events")
        if n % 8 == 5:
            self.daemon.write_config(CONFIG % (100 + n, self.followed) + RULES % (1 + n % 5 / 4))
            self.daemon.signal(signal.SIGHUP)

    def erase(self, n):
        events = [{"type": "delete", "user": f"u{n % 50}"}, {"type": "delete", "item": f"i{n * 13 % 1500}"},
                  {"type": "item", "item": f"i{n * 17 % 1500}", "available": n % 2 == 0, "features": {"n": n}}]
        self.sent[1] += self.daemon.admin("POST", "/v1/events", "\n".join(map(json.dumps, events)), NDJSON)["accepted"]

    def leave(self, n):
        host, port = self.daemon.http.rsplit(":", 1)
        body = self.lines[n % self.half].encode()
        with socket.create_connection((host, int(port)), 20 * PATIENCE) as s:
            s.sendall(b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                      % (len(body), body))
        time.sleep(0.02)


def test_everything_at_once(make_rankd):
    """Nothing for a sanitizer to say (the fixture looks), nothing lost, and the digest of a replay."""
    daemon = make_rankd(http__workers=2, checkpoint__min_interval="10ms", checkpoint__max_interval="100ms",
                        checkpoint__write_budget="1GiB/s", learner__user_cache="128KiB", log__segment_bytes="64KiB",
                        learner__batch_time="2ms", http__request_timeout="20s", events__dedup_window=5000, model__negatives=8,
                        model__dim=16)
    followed = os.path.join(daemon.dir, "followed")
    open(followed, "w").close()
    daemon.write_config(CONFIG % (100, followed)).start()
    lines = shop("--events", 60000, "--users", 3000, "--items", 1500, "--trend-days", 1)
    acts, crowd = Acts(daemon, lines, followed), Crowd(SECONDS)

    for name in ("send", "recommend", "history", "others", "operate", "follow", "erase", "leave"):
        crowd.add(name, getattr(acts, name))
    crowd.run()

    poll("all connections are closed", lambda: daemon.metrics().value("rankd_http_connections", listener="public") == 0)
    # Clients that did not wait for the answer have sent a whole event, too; the last ones may still have to be accepted.
    in_log, in_file = sum(acts.sent) + crowd.counts["leave"], crowd.counts["follow"] * 21
    poll("all that was sent is in the log", lambda: daemon.log_events() >= in_log)
    assert daemon.log_events() == in_log
    status = daemon.wait_events(in_log + in_file, timeout_s=60)
    figures = status["events"]
    assert figures["learned"] + sum(figures["skipped"].values()) == in_log + in_file
    assert figures["skipped"]["not_json"] == crowd.counts["follow"]
    assert status["checkpoint"]["count"] > 3 and status["checkpoint"]["failures"] == 0
    assert daemon.metrics().value("rankd_rows_refused_total") == 0
    digest, sequence = daemon.digest()
    assert sequence == status["sequence"]
    daemon.stop(timeout_s=5.5)
    stored = daemon.restart().digest()
    assert stored == (digest, sequence)
    daemon.stop()


def test_stop_in_the_middle_of_serving_and_learning(make_rankd):
    daemon = make_rankd(http__workers=2, checkpoint__min_interval="10ms", checkpoint__max_interval="100ms",
                        learner__user_cache="128KiB", log__segment_bytes="64KiB")
    lines = shop("--events", 20000, "--users", 2000, "--items", 800)
    for round_ in range(3):
        daemon.start()
        stopping = threading.Event()

        def ask(path):
            while not stopping.is_set():
                try:
                    if path is None:
                        daemon.send(lines[:200])
                    else:
                        assert daemon.get(path).status in (200, 503)
                except (OSError, AssertionError, ValueError):
                    if not stopping.is_set() and daemon.process.poll() is None:
                        continue
                    return
                except Exception:  # noqa: BLE001: a reply cut by the stop
                    return

        threads = [threading.Thread(target=ask, args=(p,)) for p in (None, None, "/v1/popular", "/v1/recommend?user=u1")]
        for thread in threads:
            thread.start()
        daemon.wait_events(daemon.status()["sequence"] + 500 + 300 * round_)
        began = time.monotonic()
        daemon.stop(timeout_s=5.5)
        assert time.monotonic() - began < 5.5 * PATIENCE
        stopping.set()
        for thread in threads:
            thread.join(30 * PATIENCE)
            assert not thread.is_alive()
    daemon.start()
    kept = daemon.log_events()
    assert daemon.wait_events(kept)["sequence"] == kept
