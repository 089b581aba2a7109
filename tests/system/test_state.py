"""What is on disk: whose it is, whether it is whole, and what of an event lasts."""
import json
import os
import re
import shutil
import signal
import threading
import time

import pytest

from rankd import http_request, poll, run, shop
from test_lifecycle import tree_digest

DAY_MS = 86400000


def click(n, **more):
    return {"id": f"e{n}", "type": "click", "user": f"u{n % 7}", "item": f"i{n % 11}", "ts": 1700000000000 + n, **more}


def model_file(daemon):
    return os.path.join(daemon.data_dir, "model.mdb")


def flip(path, offset, mask=0x20):
    with open(path, "r+b") as f:
        f.seek(offset)
        byte = f.read(1)[0]
        f.seek(offset)
        f.write(bytes([byte ^ mask]))


def places(path, text):
    with open(path, "rb") as f:
        return [m.start() for m in re.finditer(re.escape(text), f.read())]


def refused(daemon, *options, command="run"):
    """The error text of a start, or another subcommand, that must fail by itself."""
    overrides = [part for option in options for part in ("-o", option)]
    done = run("rankd", command, *daemon.overrides(), *overrides)
    assert done.returncode in (1, 2), (done.returncode, done.stderr)
    return done.stdout + done.stderr


@pytest.fixture
def stored(make_rankd):
    """A daemon that has learned a small shop and was stopped."""
    daemon = make_rankd().start()
    daemon.events = [json.loads(line) for line in shop("--events", 1500, "--users", 60, "--items", 80)]
    daemon.send([json.dumps(e) for e in daemon.events])
    daemon.wait_learned(1500)
    daemon.live_digest = daemon.digest()[0]
    daemon.stop()
    return daemon


# --- whose directory it is ---

def test_a_second_daemon_and_every_tool_leave_a_running_directory_alone(rankd):
    rankd.send(shop("--events", 200))
    rankd.wait_learned(200)
    rankd.admin("POST", "/admin/checkpoint")
    pid = str(rankd.process.pid)
    for command in ("run", "digest", "verify"):
        said = refused(rankd, command=command)
        assert pid in said and rankd.data_dir in said, said
    assert "rankctl digest" in refused(rankd, command="digest")
    into = run("rankd", "replay", *rankd.overrides(), "--log", rankd.log_dir, "--into", rankd.data_dir)
    assert into.returncode == 1 and pid in into.stderr, into.stderr
    assert rankd.status()["sequence"] == 200
    rankd.stop()
    assert not os.path.exists(os.path.join(rankd.data_dir, "running"))


@pytest.mark.parametrize("option, asked, made", [("model.dim=32", "32", "64"), ("model.seed=7", "7", "1")])
def test_another_dimension_or_seed_names_both_values_and_the_choices(stored, option, asked, made):
    before = tree_digest(stored.data_dir)
    said = refused(stored, option)
    name = option.split("=")[0]
    for part in (name, asked, made, "set them back", "empty", "replay"):
        assert part in said, said
    assert tree_digest(stored.data_dir) == before
    stored.start()
    assert stored.digest()[0] == stored.live_digest


@pytest.mark.parametrize("option", ["http.listen", "metrics.listen"])
def test_a_port_in_use_names_its_option_and_address(rankd, make_rankd, option):
    said = refused(make_rankd("other"), f"{option}={rankd.http}")
    assert "event=start_failed" in said and f'field="{option}"' in said and rankd.http in said, said


def test_another_format_is_refused_and_left_alone(stored):
    stamps = places(model_file(stored), b"rankd store 1 ")
    assert stamps
    # The row's checksum must fit as well, or it would be damage: only a file written so by another version is one.
    for at in stamps:
        flip(model_file(stored), at + len("rankd store "), 0x08)
    before = tree_digest(stored.data_dir)
    said = refused(stored)
    assert "format" in said or "damaged" in said or "CRC" in said, said
    assert tree_digest(stored.data_dir) == before


def test_a_foreign_database_is_refused_and_left_alone(make_rankd):
    daemon = make_rankd()
    with open(model_file(daemon), "wb") as f:
        f.write(b"no database " * 4096)
    before = tree_digest(daemon.data_dir)
    assert "model.mdb" in refused(daemon)
    assert tree_digest(daemon.data_dir) == before


# --- whether it is whole ---

def test_no_flipped_byte_goes_unnoticed(stored):
    """One byte of every page in turn: verify reports it, or it was no part of the state and the digest is the same."""
    whole = model_file(stored) + ".whole"
    os.rename(model_file(stored), whole)
    size, noticed, crashed = os.path.getsize(whole), 0, 0
    pages = range(2 * 4096, size, 4096)
    for page in pages[::max(1, len(pages) // 40)]:
        shutil.copyfile(whole, model_file(stored))
        flip(model_file(stored), page + 2048 + page // 4096 * 37 % 1024)
        verified = run("rankd", "verify", *stored.overrides())
        if verified.returncode == 1:
            assert "damaged" in verified.stdout, verified.stdout
            noticed += 1
            crashed += "signal" in verified.stdout
            continue
        assert verified.returncode == 0, verified.stderr
        digest = run("rankd", "digest", *stored.overrides())
        assert digest.returncode == 0 and stored.live_digest in digest.stdout, f"page {page // 4096}: {digest.stdout}"
    assert noticed >= 5, f"{noticed} of {len(pages)}"


def flip_user_row(daemon, user):
    """A byte of the values that stand behind every copy of the user's key."""
    found = places(model_file(daemon), user.encode())
    assert found
    for at in found:
        flip(model_file(daemon), at + len(user) + 40)


def test_a_damaged_user_row_is_never_served_nor_learned_from(make_rankd):
    daemon = make_rankd().start()
    daemon.send([click(n, user="flipped-user") for n in range(30)] + [click(100 + n) for n in range(30)])
    daemon.wait_learned(60)
    daemon.stop()
    flip_user_row(daemon, "flipped-user")

    verified = run("rankd", "verify", *daemon.overrides())
    assert verified.returncode == 1 and "flipped-user" in verified.stdout and "damaged" in verified.stdout, verified.stdout
    said = refused(daemon, "rankd.verify_at_start=yes")
    assert "flipped-user" in said and "damaged" in said
    assert "flipped-user" in refused(daemon, command="digest")

    daemon.start()
    broken = daemon.get("/v1/recommend", user="flipped-user")
    assert (broken.status, broken.error()) == (500, "corrupt"), broken
    assert daemon.recommend("u1")["basis"] == "personal"
    daemon.send([click(200), click(201, user="flipped-user"), click(202)])
    daemon.wait_log("event=learn_failed", "code=corrupt")
    assert daemon.status()["events"]["learned"] <= 61
    assert daemon.metrics().value("rankd_learner_errors_total") >= 1
    assert daemon.get("/healthz").status == 200
    daemon.stop()


def test_a_damaged_item_row_stops_the_start_with_its_place(make_rankd):
    daemon = make_rankd().start()
    daemon.send([click(n, item=f"flipped-item-{n % 5}") for n in range(30)])
    daemon.wait_learned(30)
    daemon.stop()
    for at in places(model_file(daemon), b"flipped-item-3"):
        flip(model_file(daemon), at + 4)
    assert run("rankd", "verify", *daemon.overrides()).returncode == 1
    said = refused(daemon)
    assert "start_failed" in said and "code=corrupt" in said, said


@pytest.mark.parametrize("segment, user", [(0, "u300"), (-1, "u2999")])
def test_a_damaged_log_is_refused_with_its_place(make_rankd, segment, user):
    """In an older segment: that source stops and serving goes on. In the newest, which intake would go on with: no start."""
    daemon = make_rankd(log__segment_bytes="64KiB").start()
    daemon.send([click(n, item="i1") for n in range(50)])
    daemon.wait_learned(50)
    daemon.admin("POST", "/admin/pause")
    for n in range(0, 3000, 100):
        daemon.send([click(10000 + i, user=f"u{i}") for i in range(n, n + 100)])
    daemon.stop()
    segments = sorted(n for n in os.listdir(daemon.log_dir) if n.endswith(".jsonl"))
    assert len(segments) > 3
    path = os.path.join(daemon.log_dir, segments[segment])
    (within,) = places(path, f'"{user}"'.encode())
    flip(path, within + 2, 0x01)
    at = int(segments[segment].split(".")[0]) + within

    verified = run("rankd", "verify", *daemon.overrides())
    assert verified.returncode == 1 and "damaged" in verified.stdout, verified.stdout
    place = int(re.search(r"log offset (\d+)", verified.stdout)[1])
    assert at - 16384 < place <= at and segments[segment] in verified.stdout
    assert "damaged" in refused(daemon, "rankd.verify_at_start=yes")
    if segment == -1:
        said = refused(daemon)
        assert "event=start_failed code=corrupt" in said and segments[segment] in said and str(place) in said
        return
    daemon.start()
    line = daemon.wait_log("event=source_stopped", "source=log")
    assert segments[segment] in line and str(place) in line
    poll("the status says stopped", lambda: daemon.status()["state"] == "stopped")
    status = daemon.wait_learned(350)  # what stands before the damage
    assert status["events"]["learned"] == 350 and not status["events"]["skipped"]
    assert daemon.recommend("u1")["basis"] == "personal" and daemon.get("/v1/recommend", user=user).json["basis"] == "popular"
    assert len([x for x in daemon.lines if "event=source_stopped" in x]) == 1
    daemon.restart()
    daemon.wait_log("event=source_stopped", "source=log")
    assert daemon.status()["events"]["learned"] == 350


def test_a_damaged_checksum_of_the_log_is_damage_too(make_rankd):
    daemon = make_rankd().start()
    for n in range(0, 50, 10):
        daemon.send([click(n + i) for i in range(10)])
    daemon.wait_learned(50)
    daemon.stop()
    sums = os.path.join(daemon.log_dir, next(n for n in os.listdir(daemon.log_dir) if n.endswith(".sum")))
    flip(sums, os.path.getsize(sums) // 2)
    verified = run("rankd", "verify", *daemon.overrides())
    assert verified.returncode == 1 and "damaged" in verified.stdout, verified.stdout


def test_a_log_that_is_not_the_learned_one_takes_no_events(make_rankd):
    """What it took would be lost when the right log comes back."""
    daemon = make_rankd().start()
    daemon.send([click(n) for n in range(50)])
    daemon.wait_learned(50)
    daemon.stop()
    kept = os.path.join(daemon.dir, "kept")
    os.rename(daemon.log_dir, kept)
    for _ in range(2):
        daemon.start()
        daemon.wait_log("event=source_stopped", "source=log")
        answer = daemon.post("/v1/events", click(50))
        assert answer.status == 503 and "it is not the log of this data directory" in answer.body.decode(), answer
        assert daemon.recommend("u1")["basis"] == "personal"
        daemon.stop()
        assert daemon.log_events() == 0
        verified = run("rankd", "verify", *daemon.overrides())
        assert verified.returncode == 1 and "was learned: it is another log" in verified.stdout, verified.stdout
    shutil.rmtree(daemon.log_dir)
    os.rename(kept, daemon.log_dir)
    daemon.start()
    daemon.send([click(50)])
    assert daemon.wait_learned(51)["events"]["learned"] == 51


# --- what lasts ---

def test_a_paused_learner_learns_nothing_at_the_stop(make_rankd):
    daemon = make_rankd().start()
    daemon.send([click(n) for n in range(10)])
    daemon.wait_learned(10)
    daemon.admin("POST", "/admin/pause")
    daemon.send([click(n) for n in range(10, 500)])
    daemon.stop()
    stored = run("rankd", "digest", *daemon.overrides(), "--json")
    assert json.loads(stored.stdout)["sequence"] == 10
    assert daemon.start().wait_learned(500)["events"]["learned"] == 500  # a restart resumes


def test_stop_under_load_ends_with_the_digest_of_a_replay(make_rankd):
    daemon = make_rankd(checkpoint__min_interval="20ms", checkpoint__max_interval="200ms").start()
    lines = shop("--events", 60000, "--users", 500, "--items", 500)
    stopped = threading.Event()

    def load(part):
        for start in range(part * 250, len(lines), 500):
            try:
                daemon.send(lines[start:start + 250])
            except (OSError, AssertionError):
                return
            if stopped.is_set():
                return

    threads = [threading.Thread(target=load, args=(part,)) for part in (0, 1)]
    for thread in threads:
        thread.start()
    daemon.wait_learned(3000)
    daemon.admin("POST", "/admin/pause")
    daemon.admin("POST", "/admin/resume")
    began = time.monotonic()
    daemon.stop(timeout_s=5)
    stopped.set()
    assert time.monotonic() - began < 5.5
    for thread in threads:
        thread.join()
    assert daemon.find_log("event=stopped") and not daemon.find_log("event=stop_cut_short")
    daemon.start()
    kept = daemon.log_events()
    daemon.wait_learned(kept)
    digest = daemon.digest()[0]
    daemon.stop()
    again = daemon.replay("again", "--journal", daemon.data_dir, "--log", daemon.log_dir)
    assert (again["digest"], again["learned"]) == (digest, kept)
    plain = daemon.replay("plain", "--log", daemon.log_dir)
    assert plain["digest"] == digest


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
    daemon.wait_learned(18)
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
