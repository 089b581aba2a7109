"""The same log gives the same bits on every kernel of this machine, with one user in a hundred in the cache, through orderly
restarts, and when it is read back from Kafka. (More ways to cut a log are in tests/replay.)"""
import json
import os
import random

import pytest

from rankd import run, shop, with_baskets

EVENTS = 40000
USERS = 20000


def kernels():
    """Those of this machine; portable always."""
    with open("/proc/cpuinfo") as f:
        flags = next(set(line.split()) for line in f if line.startswith("flags"))
    found = ["portable"]
    if "avx2" in flags:
        found.append("avx2")
    if {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni"} <= flags:
        found.append("avx512")
    return found


@pytest.fixture(scope="module")
def lines():
    """Of a simulated shop with baskets, every other event given to any of many users: hardly one is met in the cache."""
    rng, out = random.Random(1), []
    for n, line in enumerate(with_baskets(shop("--events", EVENTS, "--users", 2000, "--items", 3000))):
        out.append(json.dumps({**json.loads(line), "user": f"w{rng.randrange(USERS)}"}) if n % 2 else line)
    return out


def users_of(lines):
    return len({json.loads(line)["user"] for line in lines})


def send_all(daemon, lines, at_once=2000):
    for k in range(0, len(lines), at_once):
        assert daemon.send(lines[k:k + at_once])["accepted"] == len(lines[k:k + at_once])


@pytest.fixture(scope="module")
def first(lines, tmp_path_factory):
    """One run with the defaults: its log stays for the tests of this file; (log directory, digest)."""
    from rankd import Rankd
    daemon = Rankd(tmp_path_factory.mktemp("rankd")).start()
    try:
        send_all(daemon, lines)
        daemon.wait_sequence(EVENTS)
        digest = daemon.digest()[0]
        daemon.stop()
    finally:
        daemon.close()
    return daemon, digest


@pytest.mark.parametrize("kernel", kernels())
def test_kernels(first, kernel):
    daemon, digest = first
    again = daemon.replay(f"kernel-{kernel}", "--log", daemon.log_dir, learner__kernel=kernel)
    assert (again["digest"], again["records"]) == (digest, EVENTS)


@pytest.mark.parametrize("kernel", kernels())
@pytest.mark.parametrize("dim", [16, 48, 256])
def test_kernels_with_other_dimensions(first, dim, kernel, request):
    """All kernels of this machine agree with the portable one at each dimension."""
    daemon, digest = first
    seen = request.config.stash.setdefault(KEY, {})
    short = os.path.join(daemon.dir, "short.jsonl")
    if not os.path.exists(short):
        with open(short, "w") as out:
            out.writelines(f"{line}\n" for line in shop("--events", 4000, "--users", 300, "--items", 500))
    again = daemon.replay(f"dim{dim}-{kernel}", "--log", short, learner__kernel=kernel, model__dim=dim)
    assert again["learned"] == 4000 and again["digest"] != digest
    assert seen.setdefault(dim, again["digest"]) == again["digest"]


KEY = pytest.StashKey()


def same_without(daemon):
    """The digest, which must be that of a replay of the same log in one go with the defaults. Stops the daemon."""
    digest = daemon.digest()[0]
    daemon.stop()
    again = daemon.replay("again", "--log", daemon.log_dir, learner__user_cache="1GiB", learner__neighbour_cache="1GiB",
                          learner__kernel="auto", learner__batch_events=1024)
    assert (again["digest"], again["records"]) == (digest, EVENTS)


def test_one_user_in_a_hundred_in_the_cache(make_rankd, lines):
    daemon = make_rankd("small", learner__user_cache="64KiB", learner__batch_events=100,
                        checkpoint__min_interval="10ms", checkpoint__write_budget="16GiB/s").start()
    send_all(daemon, lines)
    status = daemon.wait_sequence(EVENTS, timeout_s=120)
    assert status["users_cached"] * 100 <= users_of(lines), status["user_cache"]
    assert status["user_cache"]["evicted"] > users_of(lines)
    same_without(daemon)


def test_one_neighbour_row_in_ten_in_the_cache(make_rankd, lines):
    daemon = make_rankd("few", learner__neighbour_cache="64KiB", learner__batch_events=100,
                        checkpoint__min_interval="10ms", checkpoint__write_budget="16GiB/s").start()
    send_all(daemon, lines)
    status = daemon.wait_sequence(EVENTS, timeout_s=240)
    cache = status["neighbour_cache"]
    assert cache["bytes"] <= cache["max_bytes"] == 65536
    assert cache["rows"] * 10 <= 3 * status["items"], cache
    assert cache["evicted"] > 10 * status["items"]
    same_without(daemon)


def test_restarts_segments_and_checkpoints(make_rankd, lines):
    """Stopped in order eight times, with small segments, other kernels and a checkpoint asked for in between."""
    daemon = make_rankd("restarted", log__segment_bytes="256KiB", learner__batch_time="1ms").start()
    for n in range(8):
        part = lines[n * EVENTS // 8:(n + 1) * EVENTS // 8]
        send_all(daemon, part[:1234])
        daemon.admin("POST", "/admin/checkpoint")
        send_all(daemon, part[1234:], at_once=777)
        daemon.restart(learner__kernel=kernels()[n % len(kernels())], learner__batch_events=1 + 37 * n)
    daemon.wait_sequence(EVENTS)
    same_without(daemon)


def learn_from(kafka, make_rankd, name, topics, records, **options):
    daemon = make_rankd(name, kafka__brokers=kafka.bootstrap, kafka__topics=",".join(topics), kafka__intake_topic=topics[0],
                        **options).start()
    daemon.wait_sequence(records, timeout_s=60)
    digest = daemon.digest()[0]
    daemon.stop()
    return daemon, digest


def test_journal_of_eight_partitions(make_rankd, kafka, topic, lines):
    """Two daemons may learn the partitions in different orders; each is repeated by its own journal, under other options."""
    names = [topic("a", partitions=4), topic("b", partitions=4)]
    rows = [json.loads(line) for line in lines[:20000]]
    for k, name in enumerate(names):
        kafka.produce_events(name, rows[k::2])
    for n, options in enumerate(({"learner__batch_events": 17}, {"learner__batch_events": 1000, "learner__user_cache": "64KiB"})):
        daemon, digest = learn_from(kafka, make_rankd, f"d{n}", names, len(rows), **options)
        for m, other in enumerate(({"learner__kernel": "portable"}, {"learner__user_cache": "64KiB", "learner__batch_events": 3})):
            again = daemon.replay(f"again{m}", "--journal", daemon.data_dir, "--kafka", *names, **other)
            assert (again["digest"], again["records"]) == (digest, len(rows))


def test_replay_passes_over_what_was_not_committed(make_rankd, kafka, topic, lines):
    """Aborted transactions, markers and an open transaction at the end: the same as the daemon saw."""
    name = topic()
    kafka.produce(name, lines[:500])
    kafka.produce(name, lines[500:700], txn="abort")
    kafka.produce(name, lines[700:900], txn="commit")
    kafka.produce(name, lines[900:1000], txn="abort")
    daemon, digest = learn_from(kafka, make_rankd, "d", [name], 700)
    for n, arguments in enumerate(([], ["--journal", daemon.data_dir])):
        again = daemon.replay(f"again{n}", *arguments, "--kafka", name)
        assert (again["digest"], again["records"]) == (digest, 700)


def test_replay_of_a_topic_whose_start_is_gone(make_rankd, kafka, topic, lines):
    """Without a journal it begins at the oldest record, as a daemon would; with one it says from where the log goes on."""
    name = topic()
    kafka.produce(name, lines[:1000])
    whole, _ = learn_from(kafka, make_rankd, "whole", [name], 1000)
    kafka.delete_records(name, 0, 400)
    late, digest = learn_from(kafka, make_rankd, "late", [name], 600)
    again = late.replay("again", "--kafka", name)
    assert (again["digest"], again["records"]) == (digest, 600)
    done = run("rankd", "replay", *whole.overrides(), "--journal", whole.data_dir, "--kafka", name,
               "--into", os.path.join(whole.dir, "cut"))
    assert done.returncode == 1 and "goes on from 400" in done.stderr, done.stderr


@pytest.mark.parametrize("topics, text", [(["no-such-topic"], "no-such-topic"), (["a", "b"], "journal")])
def test_replays_that_cannot_be(make_rankd, kafka, topic, topics, text):
    topics = [name if name == "no-such-topic" else topic(name) for name in topics]
    daemon = make_rankd(kafka__brokers=kafka.bootstrap, kafka__topics=",".join(topics), kafka__intake_topic=topics[0])
    done = run("rankd", "replay", *daemon.overrides(), "--kafka", *topics, "--into", os.path.join(daemon.dir, "again"))
    assert done.returncode == 1 and text in done.stderr, done.stderr
