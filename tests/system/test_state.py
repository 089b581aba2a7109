"""What is on disk: whose it is, and whether it is whole."""
import fcntl
import http.client
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
import zlib

import pytest

from rankd import PATIENCE, ROOT, binary, clean_environment, poll, run, shop
from test_lifecycle import tree_digest


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


@pytest.mark.parametrize("option, asked, made", [("model.dim=32", "32", "64"), ("model.seed=7", "7", "1"),
                                                 ("model.trend_short=12h", "43200000ms", "21600000ms"),
                                                 ("model.lately_half_life=1d", "86400000ms", "604800000ms")])
def test_what_is_fixed_for_a_directory_names_both_values_and_the_choices(stored, option, asked, made):
    before = tree_digest(stored.data_dir)
    said = refused(stored, option)
    name = option.split("=")[0]
    for part in (name, asked, made, " back", "empty", "replay"):
        assert part in said, said
    assert tree_digest(stored.data_dir) == before
    stored.start()
    assert stored.digest()[0] == stored.live_digest


@pytest.mark.parametrize("option", ["http.listen", "metrics.listen"])
def test_a_port_in_use_names_its_option_and_address(rankd, make_rankd, option):
    said = refused(make_rankd("other"), f"{option}={rankd.http}")
    assert "event=start_failed" in said and f'field="{option}"' in said and rankd.http in said, said


def test_another_format_is_refused_and_left_alone(stored):
    with open(os.path.join(ROOT, "lib", "store", "store.h"), encoding="utf-8") as f:
        number = int(re.search(r"#define STORE_FORMAT (\d+)", f.read())[1])
    stamp, older = (f"rankd store {n} little-endian".encode() for n in (number, number - 1))
    assert len(stamp) == len(older)

    def row(text):
        """As the store writes it: followed by the checksum of table, key and value."""
        return text + zlib.crc32(bytes([0, len("format"), 0]) + b"format" + text).to_bytes(4, "little")

    with open(model_file(stored), "rb") as f:
        whole = f.read()
    assert row(stamp) in whole
    with open(model_file(stored), "wb") as f:
        f.write(whole.replace(row(stamp), row(older)))
    before = tree_digest(stored.data_dir)
    for options, command in ((), "run"), (("rankd.verify_at_start=yes",), "run"), ((), "verify"), ((), "digest"):
        said = refused(stored, *options, command=command)
        for part in (stamp.decode(), older.decode(), "the version of rankd that wrote it", "empty data_dir", "replay the log"):
            assert part in said, (command, said)
        assert "damaged" not in said.lower(), said
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


@pytest.mark.parametrize("arguments, status", [(["verify"], -signal.SIGTERM), (["run", "-o", "rankd.verify_at_start=yes"], 0)])
def test_a_verification_that_is_ended_lets_go_of_the_directory(make_rankd, arguments, status):
    """The child that reads ends with its parent. Here it reads a pipe, for ever. A daemon that is told to end while it starts does
    so in order."""
    daemon = make_rankd()
    os.mkdir(daemon.log_dir)
    os.mkfifo(os.path.join(daemon.log_dir, "00000000000000000000.jsonl"))
    open(os.path.join(daemon.log_dir, "00000000000000000000.sum"), "wb").close()
    verifying = subprocess.Popen([binary("rankd"), *arguments, *daemon.overrides()], stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL, env=clean_environment())

    def children():
        with open(f"/proc/{verifying.pid}/task/{verifying.pid}/children") as f:
            return f.read().split()

    def lock_is_free():
        with open(os.path.join(daemon.data_dir, "lock")) as f:
            try:
                fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

    (child,) = poll("the child is there", children)
    try:
        verifying.terminate()
        assert verifying.wait(20 * PATIENCE) == status
        poll("the lock is free", lock_is_free)
        child = None
    finally:
        if child:
            os.kill(int(child), signal.SIGKILL)


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

    def load(part):  # until the daemon is gone, however fast it is
        for start in itertools.cycle(range(part * 250, len(lines), 500)):
            try:
                daemon.send(lines[start:start + 250])
            except (OSError, AssertionError, http.client.HTTPException):
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
    assert time.monotonic() - began < 5.5 * PATIENCE
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
