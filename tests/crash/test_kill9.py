"""kill -9 at random moments under load: no event lost, none learned twice, and the bits of a run without kills."""
import collections
import glob
import json
import os
import random

import pytest

from kills import BUSY, Feed, check_account, id_of, intake_sender, kill_often, seed_of
from rankd import run, shop, with_baskets

KILLS = 30
EVENTS = 60000
BATCH = 100


@pytest.fixture(scope="module")
def lines():
    return with_baskets(shop("--events", EVENTS, "--users", 3000, "--items", 2000))


def batches(lines):
    return [lines[k:k + BATCH] for k in range(0, len(lines), BATCH)]


def digest_of(daemon):
    """Of the data directory of a stopped daemon, as rankd digest reads it from the disk."""
    done = run("rankd", "digest", *daemon.overrides(), "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["digest"]


def stop_and_digest(daemon):
    """The digest of the live model, which must be the one of the disk too."""
    live = daemon.digest()[0]
    daemon.stop()
    assert digest_of(daemon) == live
    verified = run("rankd", "verify", *daemon.overrides())
    assert verified.returncode == 0, verified.stdout + verified.stderr
    return live


def test_own_log(request, make_rankd, lines):
    rng = random.Random(seed_of(request))
    daemon = make_rankd("killed", **BUSY)
    feed = Feed(batches(lines), intake_sender(daemon), portion=EVENTS // BATCH // (KILLS + 1))
    request.addfinalizer(feed.end)
    relearned = kill_often(daemon, KILLS, rng, feed)
    feed.finish()
    daemon.wait_caught_up()
    status = daemon.status()
    digest = stop_and_digest(daemon)

    ids = collections.Counter()
    for path in sorted(glob.glob(os.path.join(daemon.log_dir, "*.jsonl"))):
        with open(path) as segment:
            ids.update(id_of(line) for line in segment)
    assert set(ids) == {id_of(line) for line in lines}
    check_account(status, records=ids.total(), distinct=len(ids))
    print(f"{KILLS} kills, {feed.repeats} repeats, {ids.total() - len(ids)} events twice in the log, {relearned} times learned again")
    assert relearned >= KILLS // 10, "the kills cost too little to prove anything"

    again = daemon.replay("again", "--log", daemon.log_dir)
    assert (again["digest"], again["records"], again["learned"]) == (digest, ids.total(), len(ids))


def reading(kafka, *topics):
    """Options of a daemon that learns from topics and writes into the first."""
    return {"kafka__brokers": kafka.bootstrap, "kafka__topics": ",".join(topics),
            "kafka__intake_topic": topics[0].partition(":")[0]}


def bad_lines(lines, rng):
    """The same with, among every BATCH lines, one that is no JSON, one without an item, and one repeated."""
    out = []
    for k, line in enumerate(lines):
        out.append(line)
        if k % BATCH == 30:
            out.append("u1\tno json")
        if k % BATCH == 60:
            out.append('u2\t{"id":"x%d","type":"click","user":"u2"}' % k)
        if k % BATCH == 90:
            out.append(out[rng.randrange(max(0, len(out) - 300), len(out))] if k > 100 else line)
    return out


def keyed(lines):
    return [f"{json.loads(line)['user']}\t{line}" for line in lines]


def producer(kafka, topics):
    """Sends (which topic, rows) to the broker itself, not through the daemon."""
    def send(batch):
        which, rows = batch
        kafka.produce(topics[which], rows, keys=True)
        return True
    return send


def account_of(rows):
    """records, distinct ids, and bad ones by reason of rows as bad_lines makes them."""
    values = [row.split("\t", 1)[1] for row in rows]
    good = [v for v in values if '"item' in v]
    return {"records": len(values), "distinct": len({id_of(v) for v in good}),
            "not_json": sum(v == "no json" for v in values),
            "no_item": sum(v != "no json" and '"item' not in v for v in values)}


def test_one_kafka_partition(request, make_rankd, kafka, topic, lines):
    rng = random.Random(seed_of(request))
    name = topic("one", partitions=1)
    options = reading(kafka, name)
    daemon = make_rankd("killed", **options, **BUSY)
    rows = bad_lines(keyed(lines), rng)
    size = len(rows) // (KILLS + 4) + 1
    portions = [(0, rows[k:k + size]) for k in range(0, len(rows), size)]
    feed = Feed(portions, producer(kafka, [name]), portion=1)
    request.addfinalizer(feed.end)
    feed.allow(3)
    relearned = kill_often(daemon, KILLS, rng, feed)
    feed.finish()
    daemon.wait_sequence(len(rows), timeout_s=60)
    check_account(daemon.status(), **account_of(rows))
    digest = stop_and_digest(daemon)
    print(f"{KILLS} kills, {relearned} times learned again")
    assert relearned >= KILLS // 10, "the kills cost too little to prove anything"

    again = daemon.replay("again", "--kafka", name)
    assert (again["digest"], again["records"]) == (digest, len(rows))
    twin = make_rankd("twin", **options).start()
    twin.wait_sequence(len(rows), timeout_s=60)
    assert stop_and_digest(twin) == digest


def test_intake_into_one_kafka_partition(request, make_rankd, kafka, topic, lines):
    """What the intake acknowledged is in the topic, also when the daemon dies right afterwards."""
    rng = random.Random(seed_of(request))
    name = topic("in", partitions=1)
    daemon = make_rankd("killed", **reading(kafka, name), **BUSY)
    few = lines[:6000]
    feed = Feed(batches(few), intake_sender(daemon), portion=10)
    request.addfinalizer(feed.end)
    kill_often(daemon, 5, rng, feed)
    feed.finish()
    records = sum(high for _, high in kafka.watermarks(name))
    check_account(daemon.wait_sequence(records), records=records, distinct=len(few))
    digest = stop_and_digest(daemon)
    assert daemon.replay("again", "--kafka", name)["digest"] == digest


def test_two_topics_of_four_partitions(request, make_rankd, kafka, topic, lines):
    rng = random.Random(seed_of(request))
    names = [topic("clicks", partitions=4), topic("purchases", partitions=4)]
    daemon = make_rankd("killed", **reading(kafka, f"{names[0]}:click", f"{names[1]}:purchase"), **BUSY)
    rows = bad_lines(keyed(lines), rng)
    which = [int('"type":"purchase"' in row or rng.random() < 0.3) for row in rows]
    size = len(rows) // (KILLS + 4) + 1
    portions = [(t, [r for r, w in zip(rows[k:k + size], which[k:k + size]) if w == t])
                for k in range(0, len(rows), size) for t in (0, 1)]
    feed = Feed(portions, producer(kafka, names), portion=2)
    request.addfinalizer(feed.end)
    feed.allow(6)
    relearned = kill_often(daemon, KILLS, rng, feed)
    feed.finish()
    daemon.wait_sequence(len(rows), timeout_s=60)
    check_account(daemon.status(), **account_of(rows))
    digest = stop_and_digest(daemon)
    print(f"{KILLS} kills, {relearned} times learned again")
    assert relearned >= KILLS // 10, "the kills cost too little to prove anything"

    again = daemon.replay("again", "--journal", daemon.data_dir, "--kafka", *names)
    assert (again["digest"], again["records"]) == (digest, len(rows))
