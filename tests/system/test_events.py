"""What of an event lasts: ids, times, erasures, bounds; and the options that decide it."""
import json
import os
import re
import signal
import time

import pytest

from rankd import http_request, poll, run, shop
from test_state import click, model_file, places, refused


def test_ids_are_remembered_over_restarts_up_to_the_window(make_rankd):
    """The window is rounded up to whole blocks of 1,024 ids."""
    daemon = make_rankd(events__dedup_window=2000).start()
    daemon.send([click(n) for n in range(5000)])
    daemon.wait_learned(5000)
    daemon.restart()
    daemon.send([click(n) for n in range(3000, 5000)])
    status = daemon.wait_events(7000)
    assert status["events"]["learned"] == 5000 and status["events"]["skipped"] == {"duplicate": 2000}
    daemon.send([click(n) for n in range(100)])  # forgotten: learned again, and remembered again
    assert daemon.wait_events(7100)["events"]["learned"] == 5100
    daemon.restart()
    daemon.send([click(n) for n in range(100)])
    status = daemon.wait_events(7200)
    assert status["events"]["learned"] == 5100 and status["events"]["skipped"] == {"duplicate": 2100}


def test_the_same_event_with_a_mended_fault_is_no_duplicate(rankd):
    assert rankd.post("/v1/events", {"id": "x", "type": "clack", "user": "u1", "item": "i1"}).status == 400
    rankd.send([{"id": "x", "type": "click", "user": "u1", "item": "i1"}])
    assert rankd.wait_learned(1)["events"]["skipped"] == {}


def test_the_three_forms_of_time_mean_the_same(rankd):
    now = int(time.time())
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
    expected = stamp + ".250Z"
    for n, ts in enumerate([f"{now}.25", now + 0.25, now * 1000 + 250, f"{stamp}.25Z", f"{stamp}.250+00:00"]):
        rankd.send([{"type": "click", "user": f"form{n}", "item": f"i{n}", "ts": ts}])
        assert rankd.wait_learned(n + 1)["as_of"] == expected, ts


def test_clock_guards_with_a_trusted_arrival(rankd):
    """Over HTTP an event from the future is learned at its arrival, one from the past as of then."""
    now = time.time()
    rankd.send([click(1, ts=now + 3600)])
    rankd.wait_learned(1)
    clock = rankd.metrics().value("rankd_model_clock_seconds")
    assert abs(clock - now) < 60
    rankd.send([click(2, ts=now + 240)])  # within max_ahead
    rankd.wait_learned(2)
    assert abs(rankd.metrics().value("rankd_model_clock_seconds") - now - 240) < 1
    rankd.send([click(3, ts=now - 30 * 86400)])
    rankd.wait_learned(3)
    metrics = rankd.metrics()
    assert abs(metrics.value("rankd_model_clock_seconds") - now - 240) < 1
    assert metrics.value("rankd_late_events_total") >= 1


@pytest.mark.parametrize("step, days", [("1d", 1), ("none", 400)])
def test_clock_guard_of_a_source_without_arrival_times(make_rankd, step, days):
    daemon = make_rankd(events__max_clock_step=step)
    path = os.path.join(daemon.dir, "old")
    with open(path, "w") as f:
        for e in (click(1, ts=1700000000), click(2, ts=1700000000 + 400 * 86400)):
            f.write(json.dumps(e) + "\n")
    daemon.write_config(f"[file.old]\npath = {path}\n").start()
    daemon.wait_learned(2)
    assert daemon.metrics().value("rankd_model_clock_seconds") == 1700000000 + days * 86400


def test_the_clock_does_not_run_back_over_restarts(make_rankd):
    daemon = make_rankd().start()
    daemon.send([click(1)])
    as_of = daemon.wait_learned(1)["as_of"]
    daemon.restart()
    assert daemon.status()["as_of"] == as_of and as_of.startswith("2023-11-14T22:13:20.001")


def test_an_erased_user_is_gone_from_the_file_after_a_checkpoint(make_rankd):
    daemon = make_rankd().start()
    daemon.send([click(n, user="erase-me-wholly") for n in range(20)] + [click(n) for n in range(20, 60)])
    daemon.wait_learned(60)
    daemon.admin("POST", "/v1/events", {"type": "user", "user": "erase-me-wholly", "features": {"secret": "of-the-user"}})
    daemon.wait_learned(61)
    daemon.admin("POST", "/admin/checkpoint")
    assert places(model_file(daemon), b"erase-me-wholly") and places(model_file(daemon), b"of-the-user")
    daemon.admin("POST", "/v1/events", {"type": "delete", "user": "erase-me-wholly"})
    daemon.wait_learned(62)
    assert daemon.recommend("erase-me-wholly")["basis"] == "popular"
    daemon.admin("POST", "/admin/checkpoint")
    daemon.restart()
    assert daemon.recommend("erase-me-wholly")["basis"] == "popular"
    assert daemon.recommend("u1")["basis"] == "personal"
    left = live_places(daemon, b"erase-me-wholly") + live_places(daemon, b"of-the-user")
    assert left == []
    digest = daemon.digest()[0]
    daemon.stop()
    assert daemon.replay("again", "--journal", daemon.data_dir, "--log", daemon.log_dir)["digest"] == digest


def live_places(daemon, text):
    """Where a text stands in model.mdb. Pages that LMDB has freed keep old bytes until they are used again: they are
    asked for by writing more than one generation of pages."""
    for n in range(6):
        daemon.send([click(1000 * (n + 1) + i, user=f"filler{n}-{i}") for i in range(60)])
        daemon.wait_caught_up()
        daemon.admin("POST", "/admin/checkpoint")
    return places(model_file(daemon), text)


def test_an_erased_item_is_not_answered_and_its_row_is_used_again(make_rankd):
    daemon = make_rankd(model__max_items=16).start()
    daemon.send([click(n, item=f"i{n}") for n in range(16)])
    daemon.wait_learned(16)
    daemon.send([click(20, item="one-more")])
    assert daemon.wait_events(17)["events"]["skipped"] == {"items_full": 1}
    assert daemon.status()["items"] == 16 and daemon.status()["items_full"] == 1
    daemon.admin("POST", "/v1/events", {"type": "delete", "item": "i3"})
    daemon.wait_events(18)
    names = [x["item"] for x in daemon.get("/v1/popular", k=100).ok()["items"]]
    assert len(names) == 15 and "i3" not in names
    daemon.send([click(21, item="one-more")])
    daemon.wait_sequence(19)
    names = {x["item"] for x in daemon.get("/v1/popular", k=100).ok()["items"]}
    assert "one-more" in names and "i3" not in names
    daemon.restart()
    assert {x["item"] for x in daemon.get("/v1/popular", k=100).ok()["items"]} == names


def test_a_full_catalogue_still_learns_of_known_items(make_rankd):
    daemon = make_rankd(model__max_items=16).start()
    daemon.send([click(n, item=f"i{n % 40}") for n in range(400)])
    status = daemon.wait_events(400)
    assert status["items"] == 16 and status["events"]["learned"] == 160
    assert status["events"]["skipped"] == {"items_full": 240} and status["items_full"] == 240
    assert daemon.metrics().value("rankd_items_full_total") == 240


def test_types_that_a_source_may_not_send_are_refused(make_rankd):
    daemon = make_rankd(log__allowed_types="click,impression,delete")
    path = os.path.join(daemon.dir, "followed")
    with open(path, "w") as f:
        for e in (click(1), {"type": "item", "item": "i1", "ts": 1700000000}, {"type": "delete", "user": "u1", "ts": 1700000000}):
            f.write(json.dumps(e) + "\n")
    daemon.write_config(f"[file.shop]\npath = {path}\n").start()
    daemon.wait_events(3)
    assert daemon.status()["events"]["skipped"] == {"type_denied": 2}
    public = {"click": 200, "impression": 200, "delete": 400, "item": 400, "user": 400, "purchase": 400}
    for kind, status in public.items():
        event = {"type": kind, "user": "u1"} if kind in ("user", "delete") else {"type": kind, "user": "u1", "item": "i1"}
        answer = daemon.post("/v1/events", event)
        assert answer.status == status, (kind, answer)
        if status == 400:
            assert answer.json["rejected"][0]["reason"] == "type_denied"
    assert daemon.admin("POST", "/v1/events", {"type": "delete", "user": "u1"})["accepted"] == 1


def test_an_unavailable_item_is_not_answered_until_it_is_back(rankd):
    rankd.send([click(n) for n in range(40)])
    rankd.wait_learned(40)

    def names():
        return {x["item"] for x in rankd.get("/v1/popular", k=100).ok()["items"]}

    rankd.admin("POST", "/v1/events", [{"type": "item", "item": "i3", "available": False},
                                       {"type": "item", "item": "i4", "expires": "2001-01-01T00:00:00Z"}])
    rankd.wait_learned(42)
    poll("both are hidden", lambda: names() == {f"i{n}" for n in range(11)} - {"i3", "i4"})
    assert not {x["item"] for x in rankd.recommend("fresh", k=100)["items"]} & {"i3", "i4"}
    rankd.admin("POST", "/v1/events", [{"type": "item", "item": "i3", "available": True},
                                       {"type": "item", "item": "i4", "expires": None}])
    rankd.wait_learned(44)
    poll("both are back", lambda: names() == {f"i{n}" for n in range(11)})


def test_old_segments_are_deleted_up_to_the_checkpoint_and_a_replay_says_from_where(make_rankd):
    daemon = make_rankd(log__segment_bytes="64KiB", log__retain_bytes="128KiB").start()
    daemon.admin("POST", "/admin/pause")
    lines = shop("--events", 6000, "--users", 100, "--items", 100)
    for start in range(0, 6000, 500):
        daemon.send(lines[start:start + 500])
    assert min(os.listdir(daemon.log_dir)).startswith("0" * 10)  # not learned: nothing is deleted
    before = len(os.listdir(daemon.log_dir))
    daemon.admin("POST", "/admin/resume")
    daemon.wait_learned(6000)
    daemon.admin("POST", "/admin/checkpoint")
    daemon.send(lines[:10])
    poll("old segments go", lambda: len(os.listdir(daemon.log_dir)) < before)
    daemon.restart()
    assert daemon.wait_events(6010)["events"]["learned"] == 6000
    daemon.stop()
    first = min(int(n.split(".")[0]) for n in os.listdir(daemon.log_dir))
    assert first > 0
    cut = run("rankd", "replay", *daemon.overrides(), "--log", daemon.log_dir, "--into", os.path.join(daemon.dir, "again"))
    assert cut.returncode == 0 and f"begins at offset {first}," in cut.stderr, cut.stderr
    journaled = run("rankd", "replay", *daemon.overrides(), "--journal", daemon.data_dir, "--log", daemon.log_dir, "--into",
                    os.path.join(daemon.dir, "journaled"))
    assert journaled.returncode == 1 and str(first) in journaled.stderr and "needed" in journaled.stderr, journaled.stderr


def test_a_full_log_that_gets_a_bound_at_a_restart_takes_events_again(make_rankd):
    """What the last checkpoint holds may go at once: a full log has nothing new that a further checkpoint could wait for."""
    daemon = make_rankd(log__segment_bytes="64KiB", log__max_bytes="512KiB").start()
    lines, sent = shop("--events", 8000, "--users", 100, "--items", 100), 0
    while daemon.post("/v1/events", "\n".join(lines[sent:sent + 200]), "application/x-ndjson").status == 200:
        sent += 200
    assert 1000 < sent < 8000
    daemon.wait_learned(sent)
    daemon.restart(log__retain_bytes="128KiB")
    assert daemon.send(lines[sent:sent + 200])["accepted"] == 200
    assert daemon.wait_learned(sent + 200)["events"]["learned"] == sent + 200
    assert min(int(n.split(".")[0]) for n in os.listdir(daemon.log_dir)) > 0


# --- options ---

def test_options_from_everywhere_reach_the_running_daemon(make_rankd):
    daemon = make_rankd().write_config("[http]\nmax_k = 11\nmax_items = 12\n")
    daemon.env = {"RANKD_HTTP_MAX_ITEMS": "13", "RANKD_MODEL_NEGATIVES": "8", "RANKD_KAFKA_RDKAFKA_FETCH_WAIT_MAX_MS": "5"}
    daemon.set(model__negatives=9).start()
    assert daemon.get("/v1/popular", k=12).json["error"]["limit"] == "11"
    assert daemon.get("/v1/recommend", exclude=",".join("abcdefghijklm")).status == 200
    assert daemon.get("/v1/recommend", exclude=",".join("abcdefghijklmn")).json["error"]["limit"] == "13"
    shown = http_request(daemon.admin_address, "GET", "/admin/config").body.decode()
    assert re.search(r"^negatives = 9 .*-o", shown, re.M) and re.search(r"^max_items = 13 .*environment", shown, re.M)


def test_unknown_environment_variable_is_refused(make_rankd):
    daemon = make_rankd()
    done = run("rankd", "check-config", *daemon.overrides(), env={"RANKD_HTTP_MAX_ITEM": "13"})
    assert done.returncode == 2 and "RANKD_HTTP_MAX_ITEM" in done.stderr and "RANKD_HTTP_MAX_ITEMS" in done.stderr, done.stderr


@pytest.mark.parametrize("options, parts", [
    (["checkpoint.min_interval=2m"], ["checkpoint.min_interval", "checkpoint.max_interval"]),
    (["checkpoint.preallocate=8GiB"], ["checkpoint.preallocate", "checkpoint.map_size"]),
    (["log.max_bytes=1MiB"], ["log.max_bytes", "log.segment_bytes"]),
    (["log.enabled=no"], ["log.enabled", "kafka.brokers"]),
    (["model.dim=40"], ["model.dim", "multiple of 16"]),
    (["http.listen=0.0.0.0:0"], ["http.listen", "tokens_file"]),
    (["metrics.listen=0.0.0.0:0"], ["metrics.listen", "loopback"]),
    (["admin.listen=127.0.0.1:0"], ["admin.listen", "admin.token_file"]),
    (["http.listen=localhost"], ["http.listen"]),
    (["kafka.brokers=127.0.0.1:1", "kafka.topics=a:clack"], ["kafka.topics", "clack", "click"]),
    (["kafka.brokers=127.0.0.1:1", "kafka.start=soon"], ["kafka.start", "earliest"]),
    (["log.allowed_types=clicks"], ["log.allowed_types", "click"]),
    (["events.user=a,b,c,d,e"], ["events.user", "4"]),
    (["events.user=x", "events.item=x"], ["events.user", "events.item"]),
    (["model.tau=nan"], ["model.tau"]),
    (["model.tau=1e400"], ["model.tau"]),
    (["rankd.log_level=loud"], ["rankd.log_level", "warn"]),
    (["checkpoint.write_budget=16MB/s"], ["checkpoint.write_budget", "MiB"]),
    (["learner.user_cache=-1"], ["learner.user_cache"]),
    (["intake.queue_bytes=64KiB"], ["intake.queue_bytes", "http.max_body"]),
    (["http.worker=2"], ["worker", "[http]", "workers"]),
    (["nonsense"], ["nonsense"]),
])
def test_contradictions_and_nonsense_are_refused_by_check_config_and_run(make_rankd, options, parts):
    daemon = make_rankd()
    for command in ("check-config", "run"):
        said = refused(daemon, *options, command=command)
        for part in parts:
            assert part in said, said
    assert os.listdir(daemon.data_dir) == []


def test_sighup_takes_over_tokens_limits_and_hosts_and_keeps_the_old_when_wrong(make_rankd):
    daemon = make_rankd()
    tokens = os.path.join(daemon.dir, "tokens")

    def write(text):
        with open(tokens, "w") as f:
            f.write(text)
        os.chmod(tokens, 0o600)

    def reload(*parts):
        seen = len(daemon.lines)
        daemon.signal(signal.SIGHUP)
        poll(f"a log line with {parts}", lambda: [x for x in daemon.lines[seen:] if all(p in x for p in parts)])

    def ask(token):
        return daemon.get("/v1/popular", headers={"Authorization": f"Bearer {token}"}).status

    write("first-token-of-the-frontend read\n")
    daemon.write_config(f"[http]\ntokens_file = {tokens}\n").start()
    assert ask("first-token-of-the-frontend") == 200 and ask("second-token-of-the-frontend") == 401
    write("second-token-of-the-frontend read\n")
    reload("event=reloaded")
    assert ask("first-token-of-the-frontend") == 401 and ask("second-token-of-the-frontend") == 200
    write("short read\n")
    reload("event=reload_failed")
    assert ask("second-token-of-the-frontend") == 200
    write("second-token-of-the-frontend read\n")
    daemon.write_config(f"[http]\ntokens_file = {tokens}\nhosts = shop.example\nworkers = 3\n")
    reload("event=reload_refused", "http.workers")
    assert ask("second-token-of-the-frontend") == 403
    answer = daemon.get("/v1/popular", headers={"Host": "shop.example", "Authorization": "Bearer second-token-of-the-frontend"})
    assert answer.status == 200
    assert "token-of" not in daemon.log()
