"""Every bound has a counter that tells when it was met, and every record is counted by source, type and outcome."""
import gzip
import json
import os

import pytest

from rankd import poll, shop
from test_state import click

NDJSON = "application/x-ndjson"
LIMITS = {"disk_full": "log.max_bytes", "too_many_events": "1", "body_too_large": "1024"}


def follow(daemon, name, events):
    """A followed file of these lines, in the daemon's configuration."""
    path = os.path.join(daemon.dir, name)
    with open(path, "w") as f:
        f.writelines((e if isinstance(e, str) else json.dumps(e)) + "\n" for e in events)
    return daemon.write_config(f"[file.{name}]\npath = {path}\n")


def test_records_are_counted_by_source_type_and_outcome(make_rankd):
    daemon = make_rankd(model__max_items=16)
    follow(daemon, "shop", [click(1), click(1), click(2, type="purchase"), click(3, type="purchase", id="e2"), "broken",
                            click(4, type="impression"), {"type": "item", "item": "i1", "ts": 1700000000}]).start()
    daemon.wait_events(7)
    daemon.send([click(10, type="purchase"), click(11)])
    daemon.admin("POST", "/v1/events", [{"type": "delete", "user": "u1"}, {"type": "user", "user": "u2"}, {"type": "item", "item": "i1"}])
    daemon.send([click(20 + n, item=f"more{n}") for n in range(15)])
    daemon.wait_events(27)
    series = {tuple(dict(s)[k] for k in ("source", "type", "outcome")): v for s, v in daemon.metrics()["rankd_events_total"].items() if v}
    full = daemon.status()["items_full"]
    assert full > 0 and series == {
        ("file:shop", "click", "learned"): 1, ("file:shop", "click", "duplicate"): 1, ("file:shop", "purchase", "learned"): 1,
        ("file:shop", "purchase", "duplicate"): 1, ("file:shop", "unknown", "not_json"): 1,
        ("file:shop", "impression", "stored"): 1, ("file:shop", "unknown", "type_denied"): 1,
        ("log", "purchase", "learned"): 1, ("log", "delete", "stored"): 1, ("log", "user", "stored"): 1, ("log", "item", "stored"): 1,
        ("log", "click", "learned"): 16 - full, ("log", "click", "items_full"): full}
    assert {t: n for t, n in daemon.status()["events"]["types"].items() if n} == {"click": 17 - full, "purchase": 2}


def test_ids_that_leave_the_window_are_counted_for_good(make_rankd):
    daemon = make_rankd(events__dedup_window=1024).start()
    daemon.send([click(n) for n in range(1024)])
    daemon.wait_learned(1024)
    assert daemon.metrics().value("rankd_ids_forgotten_total") == 0
    daemon.send([click(n) for n in range(1024, 1030)])
    daemon.wait_learned(1030)
    assert daemon.metrics().value("rankd_ids_forgotten_total") == 6
    daemon.restart()
    assert daemon.metrics().value("rankd_ids_forgotten_total") == 6


def test_bad_events_that_are_kept_no_longer_are_counted(make_rankd):
    daemon = make_rankd(events__bad_events_kept=3)
    follow(daemon, "shop", [click(1)] + ["broken"] * 10).start()
    daemon.wait_events(11)
    daemon.admin("POST", "/admin/checkpoint")
    assert daemon.metrics().value("rankd_bad_events_dropped_total") == 7
    assert daemon.admin("GET", "/admin/bad-events")["kept"] == 3


def test_a_source_that_waits_for_the_learner_is_counted(make_rankd):
    daemon = make_rankd(learner__queue_bytes="1MiB").start()
    assert daemon.metrics().value("rankd_source_waits_total", source="log") == 0
    daemon.admin("POST", "/admin/pause")
    lines = shop("--events", 12000)
    for n in range(0, 12000, 1000):
        daemon.send(lines[n:n + 1000])
    poll("the source waits", lambda: daemon.metrics().value("rankd_source_waits_total", source="log") >= 1)
    assert daemon.metrics().value("rankd_inbox_bytes") <= 1 << 20
    daemon.admin("POST", "/admin/resume")
    daemon.wait_learned(12000)


def test_deleted_segments_are_counted(make_rankd):
    daemon = make_rankd(log__segment_bytes="64KiB", log__retain_bytes="128KiB").start()
    lines = shop("--events", 4000)
    for n in range(0, 4000, 500):
        daemon.send(lines[n:n + 500])
    daemon.wait_learned(4000)
    daemon.admin("POST", "/admin/checkpoint")
    daemon.send(lines[:10])
    poll("segments go", lambda: daemon.metrics().value("rankd_log_deleted_bytes_total") > 64 << 10)


@pytest.mark.parametrize("code, status, options, ask", [
    ("out_of_range", 400, {"http__max_k": 5}, lambda d: d.get("/v1/popular", k=6)),
    ("out_of_range", 400, {"http__max_items": 2}, lambda d: d.post("/v1/recommend", {"exclude": ["a", "b", "c"]})),
    ("body_too_large", 413, {"http__max_body": "1KiB"}, lambda d: d.post("/v1/events", b"x" * 1025)),
    ("body_too_large", 413, {"http__max_body": "1KiB"},
     lambda d: d.post("/v1/events", gzip.compress(b" " * 2000), headers={"Content-Encoding": "gzip"})),
    ("header_too_large", 431, {"http__max_header": "1KiB"}, lambda d: d.get("/v1/popular", headers={"X": "a" * 1100})),
    ("uri_too_long", 414, {"http__max_header": "1KiB"}, lambda d: d.get("/" + "a" * 1100)),
    ("too_many_events", 413, {"intake__max_batch": 1}, lambda d: d.send_two()),
    ("disk_full", 507, {"log__segment_bytes": "64KiB", "log__max_bytes": "64KiB"}, lambda d: d.send_much()),
    ("not_found", 404, {}, lambda d: d.get("/nothing")),
    ("method_not_allowed", 405, {}, lambda d: d.get("/v1/events")),
], ids=lambda x: str(x) if isinstance(x, (str, int)) else "")
def test_bounds_of_requests_are_counted_by_code(make_rankd, code, status, options, ask):
    daemon = make_rankd(**options).start()
    daemon.send_two = lambda: daemon.post("/v1/events", [click(1), click(2)])
    daemon.send_much = lambda: daemon.post("/v1/events", "\n".join(json.dumps(click(n)) for n in range(2000)), NDJSON)
    for n in (1, 2):
        answer = ask(daemon)
        assert (answer.status, answer.error()) == (status, code)
        assert answer.json["error"]["limit"] == LIMITS.get(code, answer.json["error"]["limit"])
        errors = daemon.metrics()["rankd_http_errors_total"]
        assert {tuple(sorted(dict(s).items())): v for s, v in errors.items()} == {(("code", code), ("listener", "public")): n}
