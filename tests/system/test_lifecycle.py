"""Start, stop, kill and refuse: the process and its directory."""
import hashlib
import http.client
import itertools
import os
import signal
import socket
import threading
import time

import pytest

from rankd import PATIENCE, binary, parse_metrics, run, shop

SUBCOMMANDS = ["run", "check-config", "digest", "verify", "replay"]


def tree_digest(directory):
    """Names and contents of all files but LMDB's lock table, which readers write to."""
    h = hashlib.sha256()
    for root, _, files in sorted(os.walk(directory)):
        for name in sorted(files):
            if "lock" in name:
                continue
            h.update(os.path.join(root, name).encode())
            with open(os.path.join(root, name), "rb") as f:
                h.update(f.read())
    return h.hexdigest()


def test_version_and_help():
    version = run("rankd", "--version")
    assert version.returncode == 0 and version.stdout.startswith("rankd ")
    for subcommand in SUBCOMMANDS:
        helped = run("rankd", subcommand, "--help")
        assert helped.returncode == 0 and subcommand in helped.stdout, subcommand
    assert run("rankd", "no-such-thing").returncode != 0
    assert run("rankctl", "--help").returncode == 0


def test_starts_answers_and_ends_on_sigterm(rankd):
    assert rankd.get("/healthz").status == 200
    assert rankd.get("/readyz").status == 200
    status = rankd.status()
    assert status["state"] == "running" and status["sequence"] == 0
    rankd.stop()


def test_options_come_from_file_environment_and_command_line_in_this_order(make_rankd):
    daemon = make_rankd().write_config("[http]\nmax_k = 11\nmax_items = 12\n[model]\ndim = 32\n")
    daemon.set(model__dim=48)
    shown = run("rankd", "check-config", *daemon.overrides(), env={"RANKD_HTTP_MAX_ITEMS": "13", "RANKD_MODEL_DIM": "80"})
    assert shown.returncode == 0, shown.stderr
    lines = {line.split(" =")[0]: line for line in shown.stdout.splitlines() if " =" in line}
    assert lines["max_k"].startswith("max_k = 11 ") and "rankd.conf:2" in lines["max_k"]
    assert lines["max_items"].startswith("max_items = 13 ") and "environment" in lines["max_items"]
    assert lines["dim"].startswith("dim = 48 ") and "-o" in lines["dim"]


@pytest.mark.parametrize("option, hints", [
    ("model.dimm=64", ["dimm", "[model]", "dim"]),
    ("modle.dim=64", ["modle", "model"]),
    ("model.dim=8", ["model.dim", "16", "256"]),
    ("model.dim=abc", ["model.dim", "abc"]),
    ("http.workers=0", ["http.workers", "64"]),
    ("checkpoint.max_interval=10ms", ["checkpoint"]),
])
def test_wrong_option_stops_the_start_and_says_why(make_rankd, option, hints):
    daemon = make_rankd()
    refused = run("rankd", "run", *daemon.overrides(), "-o", option)
    assert refused.returncode not in (0, -signal.SIGSEGV, -signal.SIGABRT)
    for hint in hints:
        assert hint in refused.stderr, refused.stderr


def test_wrong_file_names_the_line(make_rankd):
    daemon = make_rankd().write_config("[http]\nworkers = 1\nworker = 2\n")
    refused = run("rankd", "run", *daemon.overrides())
    assert refused.returncode > 0
    assert "rankd.conf:3" in refused.stderr and "workers" in refused.stderr, refused.stderr


def test_learned_state_survives_an_orderly_restart(make_rankd):
    daemon = make_rankd().start()
    daemon.send(shop("--events", 2000, "--users", 100, "--items", 100))
    daemon.wait_learned(2000)
    before = daemon.digest()
    answer = daemon.recommend("u1", k=10)
    daemon.stop()
    daemon.start()
    assert daemon.digest() == before
    status = daemon.status()
    assert status["durable_sequence"] == status["sequence"]
    assert daemon.recommend("u1", k=10)["items"] == answer["items"]


def test_nothing_is_lost_or_learned_twice_over_kill_9(make_rankd):
    """The same log gives the same digest, wherever the process died."""
    daemon = make_rankd(checkpoint__min_interval="10ms", checkpoint__max_interval="100ms").start()
    lines = shop("--events", 3000, "--users", 100, "--items", 100)
    for start in range(0, 3000, 500):
        daemon.send(lines[start:start + 500])
        daemon.kill9()
        daemon.start()
    status = daemon.wait_events(3000)
    digest = daemon.digest()
    daemon.stop()

    replayed = daemon.replay("again", "--journal", daemon.data_dir, "--log", daemon.log_dir)
    assert replayed["digest"] == digest[0] and replayed["learned"] == 3000
    assert status["sequence"] == digest[1]


def test_stop_under_load_is_quick_and_keeps_everything(make_rankd):
    daemon = make_rankd().start()
    lines = shop("--events", 40000, "--users", 500, "--items", 500)
    accepted, stopped = [0], threading.Event()

    def load():  # until the daemon is gone, however fast it is
        for start in itertools.cycle(range(0, len(lines), 200)):
            try:
                accepted[0] += daemon.send(lines[start:start + 200])["accepted"]
            except (OSError, AssertionError, http.client.HTTPException):
                break
        stopped.set()

    thread = threading.Thread(target=load)
    thread.start()
    daemon.wait_learned(400)
    assert not stopped.is_set()
    begin = time.monotonic()
    daemon.stop(timeout_s=5)
    assert time.monotonic() - begin < 5.5 * PATIENCE
    thread.join(60 * PATIENCE)
    assert stopped.is_set() and accepted[0] >= 400
    daemon.start()
    # What was acknowledged is there; a request cut off by the stop may be there too.
    kept = daemon.log_events()
    assert accepted[0] <= kept <= accepted[0] + 200
    assert daemon.wait_learned(kept)["sequence"] == kept


def test_second_daemon_is_refused_with_the_first_ones_pid(rankd):
    refused = run("rankd", "run", *rankd.overrides())
    assert refused.returncode > 0
    assert str(rankd.process.pid) in refused.stderr, refused.stderr
    assert rankd.get("/healthz").status == 200


@pytest.mark.parametrize("option", ["model.dim=32", "model.seed=2"])
def test_directory_of_another_model_is_refused_and_left_alone(make_rankd, option):
    daemon = make_rankd(model__dim=64, model__seed=1).start()
    daemon.send(shop("--events", 100))
    daemon.wait_learned(100)
    daemon.stop()
    before = tree_digest(daemon.data_dir)
    refused = run("rankd", "run", *daemon.overrides(), "-o", option)
    assert refused.returncode > 0
    assert option.split("=")[0].split(".")[1] in refused.stderr, refused.stderr
    assert tree_digest(daemon.data_dir) == before


def test_a_restarted_daemon_with_nothing_to_learn_is_caught_up(make_rankd):
    daemon = make_rankd().start()
    daemon.send(shop("--events", 100))
    daemon.wait_learned(100)
    daemon.restart()
    assert daemon.wait_caught_up()["sequence"] == 100


def test_digest_and_verify_of_a_directory_not_in_use(make_rankd):
    daemon = make_rankd().start()
    daemon.send(shop("--events", 500))
    daemon.wait_learned(500)
    live, _ = daemon.digest()
    busy = run("rankd", "digest", *daemon.overrides())
    assert busy.returncode > 0 and "rankctl digest" in busy.stderr, busy.stderr
    assert run("rankd", "verify", *daemon.overrides()).returncode > 0
    daemon.stop()
    stored = run("rankd", "digest", *daemon.overrides())
    assert stored.returncode == 0 and live in stored.stdout, stored.stderr
    verified = run("rankd", "verify", *daemon.overrides())
    assert verified.returncode == 0, verified.stderr


def test_sighup_reloads_what_can_be_and_names_what_cannot(make_rankd):
    daemon = make_rankd().write_config("[http]\nmax_k = 50\n[model]\nnegatives = 32\n").start()
    assert daemon.get("/v1/popular", k=40).status == 200
    daemon.write_config("[http]\nmax_k = 30\n[model]\nnegatives = 16\n")
    daemon.signal(signal.SIGHUP)
    daemon.wait_log("model.negatives")
    assert daemon.get("/v1/popular", k=40).status == 400
    assert daemon.get("/v1/popular", k=30).status == 200
    daemon.write_config("[http]\nmax_k = many\n")
    daemon.signal(signal.SIGHUP)
    daemon.wait_log("many")
    assert daemon.get("/v1/popular", k=30).status == 200


def test_paused_learning_leaves_intake_and_serving_on(rankd):
    rankd.send(shop("--events", 200))
    rankd.wait_learned(200)
    rankd.admin("POST", "/admin/pause")
    assert rankd.status()["state"] == "paused"
    assert rankd.send(shop("--events", 100, "--seed", 9))["accepted"] == 100
    assert rankd.recommend("u1")["sequence"] == 200
    assert rankd.status()["sequence"] == 200
    rankd.admin("POST", "/admin/resume")
    rankd.wait_learned(300)
    assert rankd.status()["state"] == "running"


def test_checkpoint_on_demand_makes_all_durable(make_rankd):
    daemon = make_rankd(checkpoint__min_interval="1h", checkpoint__max_interval="1h").start()
    daemon.send(shop("--events", 300))
    daemon.wait_learned(300)
    daemon.admin("POST", "/admin/checkpoint")
    daemon.wait_durable(300)


def test_metrics_are_well_formed_and_documented(rankd):
    from rankd import http_request
    rankd.send(shop("--events", 100))
    rankd.wait_learned(100)
    text = http_request(rankd.metrics_address, "GET", "/metrics").body.decode()
    metrics = parse_metrics(text)
    assert len(metrics) > 20
    typed = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")}
    for name in metrics:
        stem = name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count")
        assert name in typed or stem in typed, f"{name} has no TYPE"
        assert name.startswith(("rankd_", "process_")), name


@pytest.fixture
def supervised(make_rankd):
    """A daemon, and the socket at which systemd would listen to it."""
    daemon = make_rankd()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(os.path.join(daemon.dir, "notify"))
        notified.settimeout(20 * PATIENCE)
        daemon.env = {"NOTIFY_SOCKET": os.path.join(daemon.dir, "notify")}
        yield daemon, notified


def test_systemd_hears_of_readiness_the_watchdog_and_the_stop(supervised):
    """Fed as often as it asks for: a hundred times in the time that two seconds between two would not suffice for."""
    daemon, notified = supervised
    daemon.env["WATCHDOG_USEC"] = "40000"
    daemon.start()
    assert daemon.find_log("event=watchdog", "within_ms=40.000", "fed_each_ms=20.000")
    assert notified.recv(4096).decode().splitlines() == ["READY=1", f"STATUS=serving on {daemon.http}"]
    begun = time.monotonic()
    for _ in range(100):
        assert notified.recv(4096) == b"WATCHDOG=1"
    assert time.monotonic() - begun < 50 * PATIENCE
    daemon.signal(signal.SIGTERM)  # and be read meanwhile: the socket holds few datagrams, who sends more waits
    told = notified.recv(4096)
    while told == b"WATCHDOG=1":
        told = notified.recv(4096)
    assert told == b"STOPPING=1"
    assert daemon.wait_exit() == 0


def test_the_watchdog_is_fed_at_half_its_time(supervised):
    daemon, notified = supervised
    daemon.env["WATCHDOG_USEC"] = str(3600 * 10 ** 6)
    daemon.start()
    assert daemon.find_log("event=watchdog", "fed_each_ms=1800000.000")
    assert notified.recv(4096).startswith(b"READY=1")
    assert notified.recv(4096) == b"WATCHDOG=1"
    notified.settimeout(3)
    with pytest.raises(TimeoutError):  # one for two seconds would have come by now
        notified.recv(4096)


@pytest.mark.parametrize("asks", [{}, {"WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}])
def test_the_watchdog_of_another_process_or_none_is_not_fed(supervised, asks):
    daemon, notified = supervised
    daemon.env.update(asks)
    daemon.start()
    assert not daemon.find_log("event=watchdog")
    assert bool(daemon.find_log("event=watchdog_unreadable")) == (asks.get("WATCHDOG_USEC") == "soon")
    daemon.stop()
    told = []
    while b"STOPPING=1" not in told:
        told.append(notified.recv(4096))
    assert len(told) == 2 and told[0].startswith(b"READY=1")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("moment", ["event=starting", "event=model_loaded"])
def test_told_to_end_while_it_starts_it_ends_in_order(make_rankd, moment, number):
    daemon = make_rankd().start()
    daemon.send(shop("--events", 2000))
    daemon.wait_learned(2000)
    before = daemon.digest()
    daemon.stop()
    for _ in range(3):
        daemon.launch()
        daemon.wait_log(moment)
        daemon.signal(number)
        assert daemon.wait_exit() == 0, daemon.log()
        assert daemon.find_log("event=stopping", f"signal={int(number)}") and daemon.find_log("event=stopped")
        assert not os.path.exists(os.path.join(daemon.data_dir, "running"))
    daemon.start()
    assert daemon.digest() == before


def test_told_to_end_while_it_hangs_at_the_start_it_ends_within_seconds(make_rankd):
    """It waits for ever for somebody to write into a pipe in place of a log segment; nothing that looks whether to end is reached."""
    daemon = make_rankd()
    os.mkdir(daemon.log_dir)
    os.mkfifo(os.path.join(daemon.log_dir, "00000000000000000000.jsonl"))
    open(os.path.join(daemon.log_dir, "00000000000000000000.sum"), "wb").close()
    daemon.launch()
    daemon.wait_log("event=model_loaded")
    daemon.signal(signal.SIGHUP)  # ends nothing
    daemon.signal(signal.SIGTERM)
    assert daemon.wait_exit() == 0
    assert daemon.find_log("event=stopping") and daemon.find_log("event=stop_cut_short", "still starting")


def test_a_reload_asked_for_while_it_starts_is_done_once_it_is_ready(make_rankd):
    daemon = make_rankd()
    daemon.launch()
    daemon.wait_log("event=starting")
    daemon.signal(signal.SIGHUP)
    daemon.wait_log("event=ready")
    daemon.wait_log("event=reloaded")
    daemon.stop()


def test_binaries_are_hardened_position_independent():
    with open(binary("rankd"), "rb") as f:
        head = f.read(18)
    assert head[:4] == b"\x7fELF" and head[16] == 3
