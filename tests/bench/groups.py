"""The measurements of scripts/bench, in groups. Each yields (name, value, unit)."""
import os
import subprocess
import time

from drift import run_drift
from world import (MIB, TOOLS, Load, Memory, histogram, learned_daemon, made_once, new_daemon, quantile, raw_fdatasync, say,
                   shop_file, system, thread_seconds, tool, wrk)

SHOP_EVENTS, SHOP_USERS, SHOP_ITEMS, SHOP_GROUPS = 2000000, 1000000, 100000, 1000
SMALL_USERS, SMALL_ITEMS = 943, 1682


def head_of(path, lines):
    """The first lines of a file, as a file."""
    return made_once(f"{os.path.basename(path)}.{lines}", ["head", "-n", lines, path])


def shop_100k():
    return shop_file(SHOP_EVENTS, SHOP_USERS, SHOP_ITEMS, SHOP_GROUPS)


def daemon_100k(**options):
    return learned_daemon("shop-100k", head_of(shop_100k(), 500000), **options)


def run_decode():
    out = tool("bench_proto_decode")
    yield "decode_events_per_s", out["decode_fast_events_per_s"], "events/s"
    yield "decode_jansson_events_per_s", out["decode_jansson_events_per_s"], "events/s"
    yield "decode_ratio", out["decode_ratio"], "x"


def run_steps():
    out = tool("bench_model_learn")
    for name in ("1m", "100k", "scalar", "floor"):
        yield f"steps_{name}_per_s", out[f"learn_{name}_steps_per_s"], "steps/s"
    yield "steps_of_scalar", out["learn_1m_steps_per_s"] / out["learn_scalar_steps_per_s"], "x"
    yield "steps_of_floor", out["learn_1m_steps_per_s"] / out["learn_floor_steps_per_s"], "x"


def run_topk():
    out = tool("bench_model_topk")
    yield "topk_ms", out["topk_ms"], "ms"
    yield "topk_scalar_ms", out["topk_scalar_ms"], "ms"
    yield "topk_ratio", out["topk_ratio"], "x"


def fill_topic(kafka, path):
    """A new topic of four partitions with the lines of a file, by kcat."""
    topic = kafka.create(f"bench-{int(time.time())}", 4)
    began = time.monotonic()
    subprocess.run(["kcat", "-P", "-q", "-b", kafka.bootstrap, "-t", topic, "-z", "lz4", "-X", "linger.ms=50", "-l", path], check=True)
    return topic, time.monotonic() - began


def run_kafka():
    kafka = system.Kafka(os.path.join(system.BUILD, "bench", "kafka"))
    path = shop_100k()
    d = None
    kafka.start()
    try:
        topic, seconds = fill_topic(kafka, path)
        say(f"{topic} filled in {seconds:.1f} s")
        began = time.monotonic()
        subprocess.run(["kcat", "-C", "-q", "-e", "-b", kafka.bootstrap, "-t", topic, "-o", "beginning", "-f", ""],
                       check=True, stdout=subprocess.DEVNULL)
        raw = SHOP_EVENTS / (time.monotonic() - began)
        d = new_daemon("kafka", kafka__brokers=kafka.bootstrap, kafka__topics=f"{topic}:click",
                       kafka__intake_topic=topic)
        began = time.monotonic()
        d.start()
        d.wait_sequence(SHOP_EVENTS, 300)
        learned = time.monotonic() - began
        d.admin("POST", "/admin/checkpoint")
        durable = time.monotonic() - began
        m, cpu = d.metrics(), thread_seconds(d.process.pid, "learner")
        yield "kafka_events_per_s", SHOP_EVENTS / durable, "events/s"
        yield "kafka_learned_events_per_s", SHOP_EVENTS / learned, "events/s"
        yield "kafka_learner_cpu_events_per_s", SHOP_EVENTS / cpu, "events/s"
        yield "kafka_learner_share_of_core", cpu / learned, "x"
        yield "kafka_raw_events_per_s", raw, "events/s"
        yield "kafka_of_raw", SHOP_EVENTS / durable / raw, "x"
        yield "kafka_pairs_share", m.value("rankd_pairs_total") / SHOP_EVENTS, "x"
        d.stop(timeout_s=30)
        kafka.delete(topic)
    finally:
        if d:
            d.close()
        kafka.stop()


def run_intake():
    d = new_daemon("intake").start()
    try:
        sync = raw_fdatasync(12000)
        out = Load(d, seconds=10, events=10**9, users=100000, items=10000, batch=100, connections=64).result()
        m = d.metrics()
        commits, size = m.value("rankd_intake_commits_total"), m.value("rankd_intake_written_bytes_total")
        yield "intake_events_per_s", out["rate"], "events/s"
        yield "intake_p99_ms", out["p99_ms"], "ms"
        yield "intake_refused", out["refused"], "requests"
        yield "intake_events_per_commit", out["accepted"] / max(1, commits), "events"
        yield "intake_bytes_per_event", size / max(1, out["accepted"]), "bytes"
        yield "intake_fdatasync_per_s", sync, "1/s"
        yield "intake_sync_each_events_per_s", sync * 100, "events/s"
        yield "intake_of_sync_each", out["rate"] / (sync * 100), "x"
        d.admin("POST", "/admin/pause")
        out = Load(d, seconds=5, events=10**9, users=100000, items=10000, batch=100, connections=64).result()
        yield "intake_not_learning_events_per_s", out["rate"], "events/s"
    finally:
        d.close()


def serve(name, d, users, items):
    d.start(60)
    try:
        wrk(d, users, 1)
        for learning in ("", "_learning"):
            load = Load(d, rate=10000, events=10**9, users=users, items=items, batch=20) if learning else None
            before = thread_seconds(d.process.pid, "worker-0")
            rate, p99 = wrk(d, users)
            cpu = thread_seconds(d.process.pid, "worker-0") - before
            yield f"recommend_{name}{learning}_per_s", rate, "1/s"
            yield f"recommend_{name}{learning}_p99_ms", p99, "ms"
            yield f"recommend_{name}{learning}_per_worker_cpu_s", 5 * rate / cpu, "1/s"
            if load:
                load.stop()
        d.stop(timeout_s=30)
    finally:
        d.close()


def run_serve():
    out = tool("bench_model_recommend")
    for name in ("1k7", "100k"):
        yield f"recommend_{name}_library_us", out[f"recommend_{name}_us"], "us"
        yield f"recommend_{name}_exact_us", out[f"recommend_{name}_exact_us"], "us"
    small = shop_file(100000, SMALL_USERS, SMALL_ITEMS, 20)
    yield from serve("1k7", learned_daemon("shop-1k7", small), SMALL_USERS, SMALL_ITEMS)
    yield from serve("100k", daemon_100k(), SHOP_USERS, SHOP_ITEMS)


def run_fresh(seconds=30):
    d = daemon_100k().start(60)
    try:
        load = Load(d, rate=10000, events=10**9, seconds=seconds + 2, users=SHOP_USERS, items=SHOP_ITEMS, batch=20, connections=8)
        time.sleep(1)
        before, b, cpu = d.metrics(), time.monotonic(), thread_seconds(d.process.pid, "learner")
        asked, p99 = wrk(d, SHOP_USERS, seconds - 2, connections=1)
        after, seconds = d.metrics(), time.monotonic() - b
        cpu = thread_seconds(d.process.pid, "learner") - cpu
        posted = load.result()
        counts = [histogram(m, "rankd_freshness_seconds") for m in (before, after)]
        for name, q in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999)):
            yield f"fresh_{name}_ms", 1e3 * quantile(*counts, q), "ms"
        yield "fresh_events_per_s", (counts[1][float("inf")] - counts[0][float("inf")]) / seconds, "events/s"
        yield "fresh_learner_us_per_event", 1e6 * cpu / max(1, after.value("rankd_sequence") - before.value("rankd_sequence")), "us"
        yield "fresh_intake_p99_ms", posted["p99_ms"], "ms"
        yield "fresh_answers_per_s", asked, "1/s"
        yield "fresh_answers_p99_ms", p99, "ms"
        yield "fresh_checkpoints", after.value("rankd_checkpoints_total") - before.value("rankd_checkpoints_total"), ""
        d.stop(timeout_s=30)
    finally:
        d.close()


def checkpoint_load(name, d, users, items, seconds, at_least=0):
    """50,000 events/s for a while, and until so many are learned; then kill -9 under load, and a start. The daemon is left running."""
    load = Load(d, rate=50000, events=10**9, users=users, items=items, batch=500, connections=8)
    before, began = d.metrics(), time.monotonic()
    time.sleep(seconds / 2)
    d.admin("POST", "/admin/checkpoint")  # at least one under load, also where the budget would put it later
    time.sleep(max(0.0, began + seconds - time.monotonic()))
    d.wait_sequence(before.value("rankd_sequence") + at_least, 600)
    after, took = d.metrics(), time.monotonic() - began

    def grown(metric):
        return after.value(metric) - before.value(metric)

    last = d.status()
    d.kill9()
    load.stop()
    yield f"checkpoint_{name}_offered_events_per_s", 50000, "events/s"
    yield f"checkpoint_{name}_accepted_events_per_s", grown("rankd_intake_accepted_total") / took, "events/s"
    yield f"checkpoint_{name}_learned_events_per_s", grown("rankd_sequence") / took, "events/s"
    yield f"checkpoint_{name}_count", grown("rankd_checkpoints_total"), ""
    yield f"checkpoint_{name}_seconds", after.value("rankd_checkpoint_last_seconds"), "s"
    yield f"checkpoint_{name}_mib", after.value("rankd_checkpoint_last_bytes") / MIB, "MiB"
    yield f"checkpoint_{name}_longest_pause_ms", 1e3 * after.value("rankd_checkpoint_longest_pause_seconds"), "ms"
    yield f"checkpoint_{name}_written_mib_per_s", grown("rankd_checkpoint_written_bytes_total") / took / MIB, "MiB/s"
    yield f"checkpoint_{name}_budget_mib_per_s", 16, "MiB/s"
    d.start(120)
    seconds = system.poll("replayed after kill -9", lambda: d.metrics().value("rankd_replay_after_crash_seconds"), 400)
    yield f"checkpoint_{name}_not_durable_events", max(0, last["sequence"] - last["durable_sequence"]), "events"
    yield f"checkpoint_{name}_replayed_events", max(0, d.status()["sequence"] - last["durable_sequence"]), "events"
    yield f"checkpoint_{name}_replay_seconds", seconds, "s"


def run_checkpoint():
    d = daemon_100k().start(60)
    try:
        yield from checkpoint_load("100k", d, SHOP_USERS, SHOP_ITEMS, 30)
    finally:
        d.close()
        learned_daemon.done.discard("shop-100k")


def run_files():
    d = daemon_100k(checkpoint__min_interval="10s").start(60)
    try:
        # The same users and items all the time, and every pair of them seen before: what is stored does not grow.
        few = {"rate": 20000, "users": 10000, "items": 10, "batch": 500, "connections": 8}
        Load(d, events=400000, **few).result()
        d.wait_caught_up(120)
        load = Load(d, events=10**9, **few)
        sizes = []
        for _ in range(100):
            d.admin("POST", "/admin/checkpoint")
            sizes.append(d.metrics().value("rankd_store_file_bytes") / MIB)
        load.stop()
        m = d.metrics()
        for n in (1, 10, 50, 100):
            yield f"file_after_{n}_mib", sizes[n - 1], "MiB"
        yield "file_growth_after_10", sizes[99] / sizes[9], "x"
        yield "file_load_rate", 20000, "events/s"
        yield "file_used_mib", m.value("rankd_store_used_bytes") / MIB, "MiB"
    finally:
        d.close()
        learned_daemon.done.discard("shop-100k")


def run_large():
    n = 1000000
    path = made_once("cover-1m.jsonl", [os.path.join(TOOLS, "bench_daemon_load"), f"events={n}", f"users={n}", f"items={n}", "cover=1"])
    d = new_daemon("large", path)
    try:
        d.start(60)
        memory = Memory(d.process.pid)
        began = time.monotonic()
        d.wait_sequence(n, 600)
        yield "large_first_events_per_s", n / (time.monotonic() - began), "events/s"
        d.admin("POST", "/admin/checkpoint")
        d.stop(timeout_s=60)
        first = memory.end()
        d.start(120)
        d.stop(timeout_s=60)  # the first start brought the file into the page cache
        began = time.monotonic()
        d.start(120)
        yield "start_ready_s", time.monotonic() - began, "s"
        yield "start_load_s", d.metrics().value("rankd_load_seconds"), "s"
        memory = Memory(d.process.pid)
        yield from checkpoint_load("1m", d, n, n, 50, at_least=2500000)  # memory grows with what is learned
        highest = max(first, memory.end())
        m = d.metrics()
        yield "memory_highest_mib", highest / MIB, "MiB"
        yield "memory_users_cached", m.value("rankd_user_cache_users"), "users"
        yield "memory_user_cache_mib", m.value("rankd_user_cache_bytes") / MIB, "MiB"
        yield "memory_items", m.value("rankd_items"), "items"
    finally:
        d.close()


GROUPS = {"decode": run_decode, "steps": run_steps, "topk": run_topk, "intake": run_intake, "serve": run_serve,
          "fresh": run_fresh, "checkpoint": run_checkpoint, "files": run_files, "kafka": run_kafka, "large": run_large,
          "drift": run_drift}
